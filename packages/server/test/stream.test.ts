import { type JobEnd, type OutputChunk, WardenError } from '@warden/interface';
import { MessageType } from '@warden/protocol';
import { describe, expect, it, onTestFinished } from 'vitest';
import { JOB_INFO, ProgrammableHost } from './programmable-host.ts';
import { failure, pause, startServer, TestClient, until } from './test-client.ts';

const { Ping, Stream } = MessageType;
const REQUEST = { handle: 'h', job_id: 1 };
const END: JobEnd = { exitStatus: 3, info: JOB_INFO };

type Output = (signal: AbortSignal) => AsyncGenerator<OutputChunk, JobEnd, undefined>;

function streaming(output: Output): ProgrammableHost {
  return new ProgrammableHost({
    warden: { ping: async () => {} },
    job: { stream: (options) => output(options!.signal!) },
  });
}

describe('stream', () => {
  it('answers each chunk with its raw bytes, then once with the end', async () => {
    const host = streaming(async function* () {
      yield { stream: 'stdout', data: Uint8Array.of(0xff, 0) };
      yield { stream: 'stderr', data: Uint8Array.of(1) };
      return END;
    });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Stream, REQUEST);
    client.send(Ping);
    const answers = [await client.next(), await client.next(), await client.next(), await client.next()];
    expect(answers.map(({ type }) => type)).toEqual([Stream, Stream, Stream, Ping]);
    expect(answers.map(({ payload }) => payload)).toEqual([
      { name: 'stdout', data: Uint8Array.of(0xff, 0) },
      { name: 'stderr', data: Uint8Array.of(1) },
      { exit_status: 3, info: { state: 'stopped' } },
      {},
    ]);
  });

  it('puts an error in the place of the end', async () => {
    const host = streaming(async function* () {
      yield { stream: 'stdout', data: Uint8Array.of(1) };
      throw new Error('lost');
    });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Stream, REQUEST);
    client.send(Ping);
    expect((await client.next()).payload.name).toBe('stdout');
    expect(failure(await client.next()).message).toBe('lost');
    expect((await client.next()).type).toBe(Ping);
  });

  it('takes no more output than a slow reader reads, and leaves no listener behind', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    onTestFinished(() => void process.off('warning', onWarning));
    let produced = 0;
    const total = 400;
    const data = new Uint8Array(64 * 1024);
    const host = streaming(async function* () {
      for (; produced < total; produced++) yield { stream: 'stdout', data };
      return END;
    });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.socket.pause();
    client.send(Stream, REQUEST);
    await until(() => produced > 0, 'the first chunk');
    await pause(150);
    const whilePaused = produced;
    // buffers of the two sockets and one write: far below the 25 MiB of output
    expect(whilePaused * data.length).toBeLessThan(2 * 1024 * 1024);
    await pause(50);
    expect(produced).toBe(whilePaused);
    client.socket.resume();
    for (let n = 0; n < total; n++) expect((await client.next()).payload.data).toHaveLength(data.length);
    expect((await client.next()).payload.exit_status).toBe(3);
    expect(warnings).toEqual([]);
  });

  it('lets others have their turns while pieces come without a pause', async () => {
    let longest = 0;
    let inRow = 0;
    const total = 200;
    const host = streaming(async function* () {
      for (let produced = 0; produced < total; produced++) {
        if (inRow++ === 0)
          setImmediate(() => {
            longest = Math.max(longest, inRow);
            inRow = 0;
          });
        for (const until = performance.now() + 0.5; performance.now() < until; );
        yield { stream: 'stdout', data: Uint8Array.of(produced) };
      }
      return END;
    });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Stream, REQUEST);
    for (let n = 0; n < total; n++) expect((await client.next()).payload.data).toEqual(Uint8Array.of(n));
    expect((await client.next()).payload.exit_status).toBe(3);
    // two milliseconds' worth
    expect(longest).toBeLessThan(20);
  });

  it('aborts the step in progress when the client disappears, so that the job keeps its result', async () => {
    let isAborted = false;
    const host = streaming(async function* (signal) {
      yield { stream: 'stdout', data: Uint8Array.of(1) };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      isAborted = true;
      throw signal.reason;
    });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    await client.ask(Stream, REQUEST);
    client.socket.destroy();
    await until(() => isAborted, 'the abort');
    await until(() => host.closedSessions === 1, 'the end of the session');
  });

  it('takes nothing more when the client disappears while it reads slowly', async () => {
    let produced = 0;
    const host = streaming(async function* () {
      for (; produced < 1000; produced++) yield { stream: 'stdout', data: new Uint8Array(64 * 1024) };
      return END;
    });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.socket.pause();
    client.send(Stream, REQUEST);
    await until(() => produced > 0, 'the first chunk');
    await pause(100);
    client.socket.destroy();
    await until(() => host.closedSessions === 1, 'the end of the session');
    await pause(50);
    expect(produced).toBeLessThan(100);
  });

  it('lets the stream clean up when the client disappears between two pieces', async () => {
    let isClean = false;
    let produced = 0;
    const host = streaming(async function* () {
      try {
        for (; ; produced++) yield { stream: 'stdout', data: new Uint8Array(64 * 1024) };
      } finally {
        isClean = true;
      }
    });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.socket.pause();
    client.send(Stream, REQUEST);
    await until(() => produced > 0, 'the first chunk');
    client.socket.destroy();
    await until(() => isClean, 'the clean-up');
    await until(() => host.closedSessions === 1, 'the end of the session');
  });

  it('breaks the connection off, without an answer, where a piece was broken off on its way', async () => {
    // biome-ignore lint/correctness/useYield: what went past Node is not seen here
    const host = streaming(async function* () {
      throw new WardenError('UNAVAILABLE', 'a piece of output was broken off', {
        fields: { operation: 'relay' },
      });
    });
    const { path } = await startServer(host);
    const client = await TestClient.connect(path);
    client.send(Stream, REQUEST);
    client.send(Ping);
    await client.ended();
    expect(client.answers).toEqual([]);
  });
});
