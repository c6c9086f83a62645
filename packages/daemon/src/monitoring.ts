/**
 * The endpoint for whoever watches the daemon: metrics, health, readiness and the status page by HTTP, on 127.0.0.1 or on a unix socket. It is off
 * unless it is configured, answers GET and HEAD only, and takes nothing a request says but its path, and for the page the query and two headers.
 */
import { once } from 'node:events';
import type http from 'node:http';
import { WardenError } from '@warden/interface';
import type { PageAnswer, PageRequest } from '@warden/page';
import { listenAt, removeSocket, requireFreePath } from '@warden/server';
import { CONTENT_TYPE } from './openmetrics.ts';

/** What the daemon is about. Only `ready` ones should be sent requests. */
export type Phase = 'starting' | 'ready' | 'draining';

/** What the endpoint shows. */
export interface Monitored {
  phase(): Phase;
  metrics(): string;
  /** What the status page has at a path; `undefined`: nothing, or there is no page. */
  page(request: PageRequest): PageAnswer | undefined;
}

const TEXT = 'text/plain; charset=utf-8';
const MAX_CONNECTIONS = 64;
const IDLE_MS = 10_000;
/** Browsers send some hundreds. */
const MAX_HEADER_BYTES = 8_192;

/** Listens on 127.0.0.1 and answers the function that ends it. Errors: `ALREADY_EXISTS` naming a port that is taken. */
export async function listenOnMonitoringPort(
  port: number,
  monitored: Monitored,
): Promise<() => Promise<void>> {
  const server = await makeServer(monitored);
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (cause) {
    const object = `127.0.0.1:${port}`;
    throw new WardenError(
      'ALREADY_EXISTS',
      `the monitoring port ${object} cannot be used: ${(cause as Error).message}; configure another monitoring.port`,
      {
        cause,
        fields: { operation: 'listen for monitoring', object, errno: (cause as NodeJS.ErrnoException).code },
      },
    );
  }
  return () => close(server);
}

/** The same on a unix socket. Errors: `ALREADY_EXISTS` naming a path that is taken, `NATIVE_FAILED`. */
export async function listenOnMonitoringSocket(
  path: string,
  mode: number,
  monitored: Monitored,
): Promise<() => Promise<void>> {
  await requireFreePath(path, 'monitoring.socket');
  const server = await makeServer(monitored);
  const inode = await listenAt(server, path, mode);
  return async () => {
    removeSocket(path, inode);
    await close(server);
  };
}

async function makeServer(monitored: Monitored): Promise<http.Server> {
  // loading it takes some of the daemon's start, which only those pay who want it
  const { createServer } = await import('node:http');
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) =>
    answer(request, response, monitored),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.headersTimeout = IDLE_MS;
  server.requestTimeout = IDLE_MS;
  server.keepAliveTimeout = IDLE_MS;
  server.timeout = IDLE_MS; // who does not read what was asked for keeps a connection from others
  return server;
}

async function close(server: http.Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}

function answer(request: http.IncomingMessage, response: http.ServerResponse, monitored: Monitored): void {
  const sendWith = (
    status: number,
    headers: Readonly<Record<string, string>>,
    body: string | Buffer,
  ): void => {
    response.writeHead(status, {
      ...headers,
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  const send = (status: number, type: string, body: string): void =>
    sendWith(status, { 'Content-Type': type }, body);
  request.resume();
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    send(405, TEXT, 'only GET and HEAD\n');
    return;
  }
  const [path] = (request.url ?? '').split('?');
  const phase = monitored.phase();
  switch (path) {
    case '/metrics':
      try {
        send(200, CONTENT_TYPE, monitored.metrics());
      } catch (error) {
        // no descriptor left, for instance: whoever watches must not be what ends the daemon
        send(500, TEXT, `${(error as Error).message}\n`);
      }
      return;
    case '/health':
      // whoever reads this has been answered by the event loop
      send(200, TEXT, 'alive\n');
      return;
    case '/ready':
      send(phase === 'ready' ? 200 : 503, TEXT, `${phase}\n`);
      return;
    default:
      answerPage();
  }

  function answerPage(): void {
    const { host, 'sec-fetch-site': fetchSite } = request.headers;
    const found = monitored.page({
      url: request.url ?? '',
      host,
      fetchSite: typeof fetchSite === 'string' ? fetchSite : undefined,
    });
    if (found === undefined)
      send(404, TEXT, 'there are /metrics, /health and /ready, and with monitoring.page the page at /\n');
    else sendWith(found.status, found.headers, found.body);
  }
}
