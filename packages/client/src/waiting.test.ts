import { MessageType } from '@warden/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Arrived, RawServer, until } from '../test/raw-server.ts';
import type { ClientContainer } from './client-container.ts';
import { connect, type WardenClient } from './warden-client.ts';

/** What the daemon does not answer by itself. */
const ENDLESS = new Set<number>([
  MessageType.Link,
  MessageType.Stream,
  MessageType.Run,
  MessageType.JobInput,
  MessageType.Events,
  MessageType.ImagePull,
]);
const FACTS = { type: 'file', mode: 0o644, uid: 0, gid: 0, size: 1n, modified_ns: 1n };
const features = ['job-input', 'files', 'job-command', 'live-output', 'events', 'images'];
let server: RawServer;
let warden: WardenClient;
let box: ClientContainer;
let held: Arrived[];

beforeEach(async () => {
  held = [];
  server = await RawServer.start((request) => {
    if (ENDLESS.has(request.type)) held.push(request);
    else if (request.type === MessageType.Features) request.reply({ features });
    else if (request.type === MessageType.Spawn) request.reply({ job_id: 7 });
    else if (request.type === MessageType.Files) {
      const { operation } = request.payload as { operation: string };
      if (operation === 'list') request.reply({ entries: ['a', 'b'].map((name) => ({ name, ...FACTS })) });
      if (operation === 'stat') request.reply({ entries: [FACTS] });
      request.reply({ end: true });
    } else request.reply();
  });
  warden = await connect({ path: server.path, maxConnections: 1 });
  box = warden.container('h');
});
afterEach(async () => {
  await warden.close();
  await server[Symbol.asyncDispose]();
});

const waiting = (promises: readonly Promise<unknown>[]): void => {
  for (const promise of promises) promise.catch(() => {});
};

describe('with a single connection at a time', () => {
  it('waits for jobs keep nobody from asking, writing and ending', async () => {
    const job = await box.spawn('cat', { stdin: 'pipe' });
    waiting([job.stream().next(), box.job(8).link(), box.job(9).result(), job.write('no room')]);
    await until(() => held.length === 4, 'all four wait');
    await box.info();
    waiting([box.job(8).write('a')]);
    await until(() => held.length === 5, 'the other input arrived');
    await box.job(8).kill();
    held[0]!.reply({ exit_status: 0 });
  });

  it('scripts that run keep nobody from asking, and one comes after the other', async () => {
    const runs = [box.run('first'), box.run('second')];
    await until(() => held.length === 1, 'the first');
    await box.info();
    expect(held).toHaveLength(1);
    held[0]!.reply({ exit_status: 1 });
    await until(() => held.length === 2, 'the second');
    held[1]!.reply({ exit_status: 2 });
    expect((await Promise.all(runs)).map(({ exitStatus }) => exitStatus)).toEqual([1, 2]);
  });

  it('a script that waits for its turn does so within its limits, and nothing of it starts', async () => {
    waiting([box.run('first')]);
    await until(() => held.length === 1, 'the first');
    await expect(box.run('second', { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('did not start within 20 ms'),
    });
    const controller = new AbortController();
    const third = box.run('third', { signal: controller.signal });
    controller.abort();
    await expect(third).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(box.run('fourth', { signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
      code: 'TIMEOUT',
    });
    expect(server.count(MessageType.Spawn)).toBe(0);
    expect(server.count(MessageType.Run)).toBe(1);
  });

  it('time spent waiting counts', async () => {
    waiting([box.run('first')]);
    await until(() => held.length === 1, 'the first');
    const begun = performance.now();
    const second = box.run('second', { timeoutMs: 1_100 });
    waiting([second]);
    setTimeout(() => held[0]!.reply({ exit_status: 0 }), 1_000);
    await until(() => server.count(MessageType.JobSignal) === 1, 'its end');
    // not 1,000 and 1,100
    expect(performance.now() - begun).toBeLessThan(1_900);
    await expect(second).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: 'the job did not end within 1100 ms',
    });
  }, 10_000);

  it('a file can be written from one that is read', async () => {
    await box.files.write('/b', box.files.read('/a'));
    expect(server.count(MessageType.UploadEnd)).toBe(1);
  });

  it('files can be looked at while a directory is listed, and its own directories be listed', async () => {
    const seen: string[] = [];
    for await (const { name } of box.files.list('/')) {
      seen.push(`${name} ${(await box.files.stat(`/${name}`)).size}`);
      for await (const inner of box.files.list(`/${name}`)) seen.push(`${name}/${inner.name}`);
    }
    expect(seen).toEqual(['a 1', 'a/a', 'a/b', 'b 1', 'b/a', 'b/b']);
  });

  it('what the daemon knows is asked beside everything else', async () => {
    waiting([box.run('first')]);
    await until(() => held.length === 1, 'the first');
    expect(await warden.features()).toEqual(new Set(features));
  });
});

describe('files of one container', () => {
  it('are read ten at a time, and written ten at a time, which a daemon does not refuse; those of others besides', async () => {
    await using many = await connect({ path: server.path });
    const reading: Arrived[] = [];
    const writing: Arrived[] = [];
    server.handler = (request) => {
      if (request.type === MessageType.Features) request.reply({ features });
      else if (request.type === MessageType.Files) reading.push(request);
      else if (request.type === MessageType.UploadEnd) writing.push(request);
      else request.reply();
    };
    const one = many.container('one').files;
    const all = [
      ...Array.from({ length: 13 }, (_, at) => one.readText(`/${at}`)),
      ...Array.from({ length: 13 }, (_, at) => one.write(`/${at}`, 'x')),
      many.container('other').files.readText('/'),
    ];
    await until(() => reading.length === 11 && writing.length === 10, 'all that may');
    await many.container('one').info();
    expect([reading.length, writing.length]).toEqual([11, 10]);
    for (let at = 0; at < 14; at++) {
      await until(() => reading.length > at, 'the next one that reads');
      reading[at]!.reply({ end: true });
    }
    for (let at = 0; at < 13; at++) {
      await until(() => writing.length > at, 'the next one that writes');
      writing[at]!.reply();
    }
    await Promise.all(all);
  });
});

describe('whoever gives up while the bytes do not come', () => {
  /** Aborts when they are waited for. */
  const silence = (leaving: AbortController): AsyncIterable<Uint8Array> => ({
    [Symbol.asyncIterator]: () => ({
      next: () => {
        leaving.abort(new Error('enough'));
        return new Promise<never>(() => {});
      },
    }),
  });

  it('has written no file', async () => {
    const leaving = new AbortController();
    const writing = box.files.write('/b', silence(leaving), { signal: leaving.signal });
    await expect(writing).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } });
    expect(server.count(MessageType.UploadEnd)).toBe(0);
  });

  it('has not ended the input of a job', async () => {
    const leaving = new AbortController();
    const writing = box.job(7).writeAll(silence(leaving), { signal: leaving.signal });
    await expect(writing).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } });
    expect(server.count(MessageType.JobInput)).toBe(0);
  });
});

it('who asks for a container, and has given up already, is told so', async () => {
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(warden.getOrCreate({ handle: 'h' }, { signal })).rejects.toMatchObject({
    code: 'ABORTED',
    cause: { message: 'enough' },
  });
});

it('whose progress cannot be shown has the error, and the connection is free for the next', async () => {
  const onProgress = (): void => {
    throw new Error('no screen');
  };
  for (let at = 0; at < 2; at++) {
    const pull = warden.images.pull({ reference: 'r/x' }, { onProgress });
    waiting([pull]);
    await until(() => held.length === at + 1, 'the pull');
    held[at]!.reply({ step: 'download', object: 'layer', done: 1n, total: 2n });
    await expect(pull).rejects.toThrow('no screen');
  }
});

it('who loses the daemon is told the number of the job', async () => {
  const job = await box.spawn('sleep 1000');
  const results = [job.result(), job.stream().next(), box.run('sleep 1000', { timeoutMs: 10_000 })];
  waiting(results);
  await until(() => held.length === 3, 'all wait');
  for (const socket of server.sockets.values()) socket.destroy();
  for (const result of results)
    await expect(result).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('job 7 of h may go on'),
      fields: { object: 'h', jobId: 7 },
    });
});

it('a connection that the daemon may be closing is not used again', async () => {
  await server[Symbol.asyncDispose]();
  server = await RawServer.start((request) => {
    if (request.type === MessageType.Info) request.refuse('too long', { code: 'MALFORMED_REQUEST' });
    else request.reply();
  });
  await using other = await connect({ path: server.path });
  await expect(other.container('h').info()).rejects.toMatchObject({ code: 'MALFORMED_REQUEST' });
  const before = server.accepted;
  await other.container('h').stop();
  expect(server.accepted).toBe(before + 1);
});
