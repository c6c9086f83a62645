/**
 * Registries on loopback for tests, and a store for what is pulled from them: one of our own that serves a
 * layout, and Debian's docker-registry, filled by skopeo.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import type http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ImageStore, silentLogger } from '@warden/interface';
import { expect } from 'vitest';
import { type ImageStoreOptions, imageStore } from '../src/index.ts';

/** `warden-unpack` as it was built. */
export const program = fileURLToPath(
  new URL(`../../wshd/prebuilt/linux-${process.arch}/warden-unpack`, import.meta.url),
);
const has = (name: string): boolean => spawnSync(name, ['--help']).error === undefined;

export const isRoot = process.getuid?.() === 0;

/** What {@link withDockerRegistry} and {@link skopeo} lack here; `undefined`: nothing. */
export function missingTool(): string | undefined {
  return !isRoot ? 'root' : ['docker-registry', 'skopeo'].find((name) => !has(name));
}

/** A store; unless `more` says so, of no registry. */
export function openStore(directory: string, more: Partial<ImageStoreOptions> = {}): ImageStore {
  return imageStore({
    directory,
    program,
    maxBytes: 64 << 20,
    maxEntries: 10_000,
    flatten: false,
    registries: { registries: [], insecure: [] },
    logger: silentLogger,
    ...more,
  });
}

/** What the file `hello` of an image holds. */
export function contentOf(store: ImageStore, name: string): Buffer {
  return fs.readFileSync(path.join(store.use('0123456789a', name).layers[0]!, 'hello'));
}

/** Has its turn before a registry answers; true: it has answered, or will. */
export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => boolean;

/** Serves the layout that has this manifest as `some/app:1`. */
export function serveLayout(layout: string, manifest: string, before: Handler): http.RequestListener {
  return (request, response) => {
    if (before(request, response)) return;
    const [, name] = /^\/v2\/some\/app\/(?:manifests|blobs)\/(.+)$/.exec(request.url!) ?? [];
    const file = path.join(layout, 'blobs/sha256', String(name === '1' ? manifest : name).slice(7));
    if (name === undefined || !fs.existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    const content = fs.readFileSync(file);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from > 0)
      response.writeHead(206, { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` });
    response.end(content.subarray(from));
  };
}

/** Lets it listen on loopback; answers host and port. */
export async function listen(server: net.Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

/**
 * Calls `body` with the host and port of an empty docker-registry, whose files lie in `scratch`. `tls`: what
 * its configuration says of that.
 */
export async function withDockerRegistry(
  scratch: string,
  body: (host: string) => Promise<void>,
  tls = '',
): Promise<void> {
  const probe = net.createServer();
  const host = await listen(probe); // free when it is closed
  probe.close();
  await once(probe, 'close');
  const config = path.join(scratch, 'registry.yml');
  fs.writeFileSync(
    config,
    `version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: ${scratch}/registry } }\nhttp: { addr: "${host}"${tls} }\n`,
  );
  const registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  const gone = once(registry, 'exit');
  try {
    await expect.poll(() => isListening(host), { timeout: 30_000 }).toBe(true);
    await body(host);
  } finally {
    registry.kill('SIGKILL');
    await gone;
  }
}

function isListening(host: string): Promise<boolean> {
  const [address, port] = host.split(':');
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), address);
    socket.once('connect', () => resolve(socket.destroy().destroyed));
    socket.once('error', () => resolve(false));
  });
}

/** Runs it, with its own files in `scratch`. */
export function skopeo(scratch: string, ...words: readonly string[]): void {
  const { status, stderr } = spawnSync('skopeo', ['--insecure-policy', ...words], {
    encoding: 'utf8',
    env: { ...process.env, HOME: scratch, XDG_RUNTIME_DIR: scratch },
  });
  expect([status, stderr]).toEqual([0, expect.any(String)]);
}
