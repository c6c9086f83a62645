/**
 * The endpoint for whoever watches the daemon: metrics, health, readiness and the status page by HTTP, on
 * 127.0.0.1 or on a unix socket. It is off unless it is configured, answers GET and HEAD only, and takes
 * nothing a request says but its path, and for the page the query and two headers.
 */
import { once } from 'node:events';
import type net from 'node:net';
import { type Logger, WardenError } from '@warden/interface';
import type { PageAnswer, PageRequest } from '@warden/page';
import { keepListeningAt, requireFreePath } from '@warden/server';
import { briefServer, endWith } from './brief-server.ts';
import { formatAnswer, type HttpAnswer, type HttpRequest, parseRequest } from './http-request.ts';
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
/** For a whole request, and for who does not read the answer. */
const IDLE_MS = 10_000;
/** Browsers send some hundreds. */
const MAX_HEADER_BYTES = 8_192;

/** Listens on 127.0.0.1 and answers the function that ends it. Errors: `ALREADY_EXISTS` naming a port that is taken. */
export async function listenOnMonitoringPort(
  port: number,
  monitored: Monitored,
): Promise<() => Promise<void>> {
  const { server, close } = makeServer(monitored);
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
  return close;
}

/**
 * The same on a unix socket, which is put back where somebody removes it. Errors: `ALREADY_EXISTS` naming a
 * path that is taken, `NATIVE_FAILED`.
 */
export async function listenOnMonitoringSocket(
  path: string,
  place: { readonly mode: number; readonly logger: Logger },
  monitored: Monitored,
): Promise<() => Promise<void>> {
  await requireFreePath(path, 'monitoring.socket');
  const { server, close } = makeServer(monitored);
  const socket = await keepListeningAt(server, path, place);
  server.on('error', () => {}); // of a try to put it back, which its keeper tells
  return async () => {
    socket.remove();
    await close();
  };
}

function makeServer(monitored: Monitored): ReturnType<typeof briefServer> {
  const rounds = new Rounds();
  return briefServer((socket) => serve(socket, rounds, monitored), { allowHalfOpen: true });
}

/**
 * One thing in each round of the event loop: what costs milliseconds, and is asked for at dozens of
 * connections at once, leaves others their turns.
 */
class Rounds {
  readonly #waiting: (() => void)[] = [];

  next(action: () => void): void {
    this.#waiting.push(action);
    if (this.#waiting.length === 1) setImmediate(() => this.#go());
  }

  #go(): void {
    const action = this.#waiting.shift()!;
    if (this.#waiting.length > 0) setImmediate(() => this.#go());
    action();
  }
}

/** One request, whatever else is sent behind it. */
function serve(socket: net.Socket, rounds: Rounds, monitored: Monitored): void {
  let received = Buffer.alloc(0);
  // no byte that trickles in puts it off
  let deadline = setTimeout(() => socket.destroy(), IDLE_MS);
  socket.once('close', () => clearTimeout(deadline));
  let isWhole = false;
  socket.once('end', () => {
    if (!isWhole) socket.destroy(); // nothing more comes
  });
  const send = (found: HttpAnswer, method: string): void => {
    clearTimeout(deadline);
    deadline = setTimeout(() => socket.destroy(), IDLE_MS);
    endWith(socket, formatAnswer(found, method), () => clearTimeout(deadline));
  };
  const take = (chunk: Buffer): void => {
    received = Buffer.concat([received, chunk]);
    const end = received.indexOf('\r\n\r\n');
    const isTooLong = end < 0 ? received.length > MAX_HEADER_BYTES : end > MAX_HEADER_BYTES;
    if (end < 0 && !isTooLong) return;
    isWhole = true;
    socket.off('data', take);
    socket.resume();
    const head = isTooLong ? '' : received.toString('latin1', 0, end);
    received = Buffer.alloc(0);
    rounds.next(() => {
      if (socket.destroyed) return;
      if (isTooLong) return send(text(431, 'the headers are too long'), 'GET');
      const request = parseRequest(head);
      if (request === undefined) return send(text(400, 'the request is not understood'), 'GET');
      try {
        send(answer(request, monitored), request.method);
      } catch (error) {
        // no descriptor left, for instance: whoever watches must not be what ends the daemon
        send(text(500, (error as Error).message), request.method);
      }
    });
  };
  socket.on('data', take);
}

function text(status: HttpAnswer['status'], words: string, headers: HttpAnswer['headers'] = {}): HttpAnswer {
  return { status, headers: { 'Content-Type': TEXT, ...headers }, body: `${words}\n` };
}

function answer({ method, url, headers }: HttpRequest, monitored: Monitored): HttpAnswer {
  if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD', { Allow: 'GET, HEAD' });
  const [path] = url.split('?');
  const phase = monitored.phase();
  switch (path) {
    case '/metrics':
      return { status: 200, headers: { 'Content-Type': CONTENT_TYPE }, body: monitored.metrics() };
    case '/health':
      // whoever reads this has been answered by the event loop
      return text(200, 'alive');
    case '/ready':
      return text(phase === 'ready' ? 200 : 503, phase);
    default:
      return (
        monitored.page({ url, host: headers.get('host'), fetchSite: headers.get('sec-fetch-site') }) ??
        text(404, 'there are /metrics, /health and /ready, and with monitoring.page the page at /')
      );
  }
}
