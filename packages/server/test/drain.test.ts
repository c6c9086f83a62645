import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import type { Images, JobResult, Warden } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { JOB_INFO, ProgrammableHost } from './programmable-host.ts';
import { pause, startServer, TestClient, until } from './test-client.ts';

const { Link, List, Ping, Run, Stop, Stream } = MessageType;
const JOB = { handle: 'h', job_id: 1 };

describe('drain', () => {
  it('ends idle connections at once and refuses new ones; the socket file stays [behaviour 11]', async () => {
    const host = new ProgrammableHost({ warden: { ping: async () => {} } });
    const { server, path } = await startServer(host);
    const client = await TestClient.connect(path);
    await client.ask(Ping);
    await server.drain();
    await client.ended();
    expect(client.answers).toHaveLength(1);
    expect([server.connectionCount, host.closedSessions]).toEqual([0, 1]);
    const [error] = await once(net.connect(path), 'error');
    expect(error.code).toBe('ECONNREFUSED');
    await server.close();
    expect(fs.lstatSync(path).isSocket()).toBe(true);
  });

  it('ends by its signal although a request hangs [behaviour 11 duration]', async () => {
    const host = new ProgrammableHost({ container: { stop: () => new Promise(() => {}) } });
    const { server, path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Stop, { handle: 'h' });
    await until(() => host.calls.length === 1, 'the request');
    const impatience = new AbortController();
    const drained = server.drain(impatience.signal);
    expect(await Promise.race([drained.then(() => 'drained'), pause(50).then(() => 'waiting')])).toBe(
      'waiting',
    );
    impatience.abort();
    await drained;
    await client.ended();
    expect(client.answers).toEqual([]);
  });

  it('ends at once by a signal that was given before', async () => {
    const host = new ProgrammableHost({ container: { stop: () => new Promise(() => {}) } });
    const { server, path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Stop, { handle: 'h' });
    await until(() => host.calls.length === 1, 'the request');
    await server.drain(AbortSignal.abort());
    await client.ended();
    expect(client.answers).toEqual([]);
  });

  it.each(['Link', 'Run', 'Stream'] as const)(
    'ends a connection in %s without an answer, by its signal',
    async (name) => {
      let isAborted = false;
      const wait = (options?: { signal?: AbortSignal | undefined }): Promise<never> =>
        new Promise((_resolve, reject) => {
          options!.signal!.addEventListener('abort', () => {
            isAborted = true;
            reject(options!.signal!.reason);
          });
        });
      const host = new ProgrammableHost({
        container: { spawn: async () => ({ id: 1, link: wait }) as never },
        job: {
          link: wait,
          // biome-ignore lint/correctness/useYield: a job without output
          stream: async function* (options) {
            return await wait(options);
          },
        },
      });
      const { server, path } = await startServer(host);
      const client = await TestClient.connect(path);
      if (name === 'Run') client.send(Run, { handle: 'h', script: new Uint8Array() });
      else client.send(name === 'Link' ? Link : Stream, JOB);
      await until(() => host.calls.length === 1, 'the request');
      await server.drain();
      await client.ended();
      expect(client.answers).toEqual([]);
      await until(() => isAborted, 'the abort');
    },
  );

  it.each(['ImageImport', 'ImagePull'] as const)(
    'cuts %s off, which may take long and leaves nothing half done',
    async (name) => {
      let isAsked = false;
      const fetch = (_spec: unknown, options?: { readonly signal?: AbortSignal }): Promise<never> =>
        new Promise((_resolve, reject) => {
          isAsked = true;
          options?.signal?.addEventListener('abort', () => reject(options.signal!.reason));
        });
      const images = { import: fetch, pull: fetch } as unknown as Images;
      const openSession = (): Warden => ({ ...new ProgrammableHost().openSession(), images });
      const { server, path } = await startServer({ openSession });
      const client = await TestClient.connect(path);
      if (name === 'ImagePull') client.send(MessageType.ImagePull, { reference: 'registry.test/a:1' });
      else client.send(MessageType.ImageImport, { path: '/image' });
      await until(() => isAsked, 'the request');
      await server.drain();
      await client.ended();
      expect(client.answers).toEqual([]);
    },
  );

  it.each(['Events', 'Files'] as const)(
    'ends a connection in %s, which would never end by itself',
    async (name) => {
      let isAborted = false;
      async function* endless<T>(first: T, signal: AbortSignal | undefined): AsyncGenerator<T, undefined> {
        yield first;
        await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()));
        isAborted = true;
        return undefined;
      }
      const host = new ProgrammableHost({
        warden: {
          events: async (filter) =>
            endless({ type: 'paused', handle: 'h', time: 0, lost: 0 } as const, filter?.signal),
        },
        files: { watch: async (_path, options) => endless({ kind: 'created' } as const, options?.signal) },
      });
      const { server, path } = await startServer(host);
      const client = await TestClient.connect(path);
      if (name === 'Events') client.send(MessageType.Events, {});
      else client.send(MessageType.Files, { handle: 'h', operation: 'watch', path: '/' });
      await until(() => client.answers.length > 0, 'the first of them');
      await server.drain();
      await client.ended();
      await until(() => isAborted, 'the abort');
    },
  );

  it('aborts the wait before anything else, so that a job that ends meanwhile keeps its result', async () => {
    let end: (result: JobResult) => void = () => {};
    let isTaken = false;
    const link = (options?: { signal?: AbortSignal | undefined }): Promise<JobResult> =>
      new Promise((resolve, reject) => {
        options!.signal!.addEventListener('abort', () => reject(options!.signal!.reason));
        end = (result) => {
          isTaken = !options!.signal!.aborted;
          resolve(result);
        };
      });
    const { server, path } = await startServer(new ProgrammableHost({ job: { link } }));
    const client = await TestClient.connect(path);
    client.send(Link, JOB);
    await pause(30);
    const drained = server.drain();
    end({ exitStatus: 0, stdout: new Uint8Array(), stderr: new Uint8Array(), info: JOB_INFO });
    await drained;
    expect(isTaken).toBe(false);
  });

  it('lets another request finish and answer, drops what is queued, and resolves then', async () => {
    let finish: () => void = () => {};
    const stop = (): Promise<void> =>
      new Promise((resolve) => {
        finish = resolve;
      });
    const host = new ProgrammableHost({ container: { stop }, warden: { list: async () => [] } });
    const { server, path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Stop, { handle: 'h' });
    client.send(List);
    await until(() => host.calls.length === 1, 'the stop');
    let isDrained = false;
    const drained = Promise.all([server.drain(), server.drain()]).then(() => {
      isDrained = true;
    });
    await pause(50);
    expect([isDrained, client.isEnded]).toEqual([false, false]);
    finish();
    await drained;
    await client.ended();
    expect(client.answers.map(({ type }) => type)).toEqual([Stop]);
    expect(host.calls).toHaveLength(1);
    await server.drain();
    await server.close();
  });

  it('is not held up by a client that does not read its stream', async () => {
    const host = new ProgrammableHost({
      job: {
        stream: async function* () {
          for (;;) yield { stream: 'stdout', data: new Uint8Array(64 * 1024) };
        },
      },
    });
    const { server, path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.socket.pause();
    client.send(Stream, JOB);
    await until(() => host.calls.length === 1, 'the stream');
    await pause(100);
    await server.drain();
    expect(server.connectionCount).toBe(0);
  });

  it.each(['before', 'after'])(
    'is not held up by a client that does not read an answer given %s it began [behaviour 20.51]',
    async (when) => {
      let answer: (message: Uint8Array) => void = () => {};
      const echo = (): Promise<Uint8Array> =>
        new Promise((resolve) => {
          answer = resolve;
        });
      const host = new ProgrammableHost({ warden: { echo } });
      const { server, path } = await startServer(host);
      const client = await TestClient.connect(path);
      client.socket.pause();
      client.send(MessageType.Echo, { message: new Uint8Array() });
      await until(() => host.calls.length === 1, 'the request');
      const large = new Uint8Array(8 * 1024 * 1024);
      if (when === 'before') {
        answer(large);
        await pause(100);
      }
      const drained = server.drain();
      answer(large);
      await drained;
      expect(server.connectionCount).toBe(0);
    },
  );
});

describe('close', () => {
  it('ends every connection at once, also one that a drain waits for', async () => {
    const host = new ProgrammableHost({ container: { stop: () => new Promise<void>(() => {}) } });
    const { server, path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Stop, { handle: 'h' });
    await until(() => host.calls.length === 1, 'the stop');
    const drained = server.drain();
    await Promise.all([server.close(), server.close()]);
    await drained;
    await client.ended();
    expect([client.answers.length, server.connectionCount, host.closedSessions]).toEqual([0, 0, 1]);
  });
});
