import { execFileSync } from 'node:child_process';
import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import type { InitJob, JobSpec, WardenError } from '@warden/interface';
import {
  closeDescriptor,
  makePipe,
  makeSocketPair,
  receiveMessage,
  sendMessage,
  setNonBlocking,
} from '@warden/native';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Connection } from './connection.ts';
import { JobTable, waitStatus } from './job-table.ts';
import { MESSAGE, type MessageReader, MessageWriter, MessageReader as Reader } from './protocol.ts';

/** Init's side is played by the test on the other end of a socket pair. */
let peer: number;
let connection: Connection;
let jobs: JobTable;
let closedWith: WardenError | undefined;
const writer = new MessageWriter();

function openDescriptors(): number {
  return existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0;
}

beforeEach(() => {
  const [ours, theirs] = makeSocketPair('seqpacket');
  setNonBlocking(ours);
  peer = theirs;
  jobs = new JobTable();
  closedWith = undefined;
  connection = new Connection(ours, {
    onEvent: (message: MessageReader) => {
      if (message.type === MESSAGE.EXIT) jobs.exited(message);
    },
    onClosed: (reason) => {
      closedWith = reason();
      jobs.lost(reason, true);
    },
  });
});
afterEach(() => {
  connection.close();
  closeDescriptor(peer);
});

function spawnRequest(): Promise<InitJob> {
  return connection.request(
    'spawn',
    (w, sequence) => w.begin(MESSAGE.SPAWN, sequence).finish(),
    MESSAGE.SPAWNED,
    (message, fds) => jobs.spawned(message, fds, { discardOutput: false } as JobSpec),
  );
}

/** Over a connection of its own that gives up after 50 ms, whose other end is the peer from now on. */
function askImpatiently(): { readonly impatient: Connection; readonly asked: Promise<string> } {
  const [ours, theirs] = makeSocketPair('seqpacket');
  setNonBlocking(ours);
  closeDescriptor(peer);
  peer = theirs;
  const impatient = new Connection(ours, { onEvent: () => {}, onClosed: () => {} }, 50);
  const asked = impatient.request(
    'signal',
    (w, sequence) => w.begin(MESSAGE.SIGNAL, sequence).finish(),
    MESSAGE.OK,
    () => 'answered',
  );
  return { impatient, asked };
}

function nextSequence(): number {
  const buffer = Buffer.alloc(65536);
  return new Reader(buffer.subarray(0, receiveMessage(peer, buffer)!.length)).sequence;
}

describe('Connection', () => {
  test('an EXIT in the same turn as its SPAWNED is not lost', async () => {
    const spawned = spawnRequest();
    sendMessage(peer, writer.begin(MESSAGE.SPAWNED, nextSequence()).u32(4).i32(2).finish());
    sendMessage(
      peer,
      writer
        .begin(MESSAGE.EXIT, 0)
        .u32(4)
        .i32(7 << 8)
        .finish(),
    );
    expect(await (await spawned).exited).toEqual({ exitCode: 7 });
  });

  test('answers may come in any order', async () => {
    const first = spawnRequest();
    const second = spawnRequest();
    const sequences = [nextSequence(), nextSequence()];
    for (const index of [1, 0]) {
      sendMessage(
        peer,
        writer
          .begin(MESSAGE.SPAWNED, sequences[index]!)
          .u32(10 + index)
          .i32(2)
          .finish(),
      );
    }
    expect([(await first).id, (await second).id]).toEqual([10, 11]);
  });

  test('what init does not understand is UNSUPPORTED: it is older than this daemon', async () => {
    const spawned = spawnRequest();
    sendMessage(
      peer,
      writer.begin(MESSAGE.ERROR, nextSequence()).i32(71).string('message').string('Protocol error').finish(),
    );
    await expect(spawned).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/spawn.*older than this daemon/),
      fields: { operation: 'spawn', errno: 'EPROTO', advice: expect.stringMatching(/make it anew/) },
    });
    expect(connection.isOpen).toBe(true);
  });

  test('an ERROR becomes NATIVE_FAILED with errno', async () => {
    const spawned = spawnRequest();
    sendMessage(peer, writer.begin(MESSAGE.ERROR, nextSequence()).i32(11).string('fork').string('').finish());
    await expect(spawned).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: 'fork: EAGAIN',
      fields: { operation: 'spawn', step: 'fork', errno: 'EAGAIN' },
    });
  });

  test('a lost connection fails everything with UNAVAILABLE and keeps no descriptor', async () => {
    const before = openDescriptors();
    const running = spawnRequest();
    const [out, err] = [makePipe(), makePipe()];
    sendMessage(peer, writer.begin(MESSAGE.SPAWNED, nextSequence()).u32(4).i32(2).finish(), [
      out.read,
      err.read,
    ]);
    for (const fd of [out.read, err.read]) closeDescriptor(fd);
    const job = await running;
    const waiting = spawnRequest();
    const [unused, spare] = makeSocketPair('seqpacket');
    closeDescriptor(unused);
    closeDescriptor(peer);
    peer = spare;
    await expect(waiting).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(job.exited).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(spawnRequest()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(closedWith).toMatchObject({ code: 'UNAVAILABLE' });
    for (const fd of [out.write, err.write]) closeDescriptor(fd);
    // ours is gone, the spare took the place of the peer
    expect(openDescriptors()).toBe(before - 1);
  });

  test('an answer that lay there while this process stood still is one', async () => {
    const { impatient, asked } = askImpatiently();
    // behind the turn's look for what has come, and before its timers
    await new Promise((resolve) => setImmediate(resolve));
    sendMessage(peer, writer.begin(MESSAGE.OK, nextSequence()).finish());
    for (const until = performance.now() + 100; performance.now() < until; );
    expect(await asked).toBe('answered');
    impatient.close();
  });

  test('whoever leaves a request unanswered is given up', async () => {
    const { impatient, asked } = askImpatiently();
    await expect(asked).rejects.toThrow('init has not answered for 0.05 s');
    expect(impatient.isOpen).toBe(false);
  });

  test('whoever stands still on purpose is not given up before it goes on', async () => {
    const { impatient, asked } = askImpatiently();
    let settled = false;
    const heard = expect(asked.finally(() => (settled = true))).rejects.toThrow('init has not answered');
    impatient.excuse(true);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([impatient.isOpen, settled]).toEqual([true, false]);
    impatient.excuse(false);
    await heard;
  });

  test('whoever goes on has as long for the answer as anybody, whenever it was asked for', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const { impatient, asked } = askImpatiently();
      impatient.excuse(true);
      vi.advanceTimersByTime(149);
      impatient.excuse(false);
      vi.advanceTimersByTime(49);
      expect(impatient.isOpen).toBe(true);
      const heard = expect(asked).rejects.toThrow('init has not answered');
      vi.advanceTimersByTime(1);
      await heard;
    } finally {
      vi.useRealTimers();
    }
  });

  test('descriptors that go with a request are closed here when it has left, or never will', async () => {
    const ask = (fd: number): Promise<string> =>
      connection.request(
        'spawn',
        (w, sequence) => w.begin(MESSAGE.SPAWN, sequence).finish(),
        MESSAGE.OK,
        () => 'answered',
        { fds: [fd] },
      );
    const take = (): number => {
      const buffer = Buffer.alloc(65536);
      const received = receiveMessage(peer, buffer)!;
      received.fds.forEach(closeDescriptor);
      return new Reader(buffer.subarray(0, received.length)).sequence;
    };
    const { read, write } = makePipe();
    const copies = (count: number): number[] =>
      Array.from({ length: count }, () => openSync('/dev/null', 'r'));
    const before = openDescriptors();
    const [left] = copies(1);
    const answered = ask(left!);
    sendMessage(peer, writer.begin(MESSAGE.OK, take()).finish());
    expect([await answered, openDescriptors()]).toEqual(['answered', before]);
    // an answer of another kind than is awaited, or one that nobody awaits, brings what nobody takes
    const refused = expect(ask(copies(1)[0]!)).rejects.toThrow('fork: EAGAIN');
    sendMessage(peer, writer.begin(MESSAGE.ERROR, take()).i32(11).string('fork').string('').finish(), [read]);
    await refused;
    sendMessage(peer, writer.begin(MESSAGE.OK, 4_000_000_000).finish(), [read]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(openDescriptors()).toBe(before);
    // one that cannot be written
    const [unwritten] = copies(1);
    await expect(
      connection.request(
        'spawn',
        () => {
          throw new Error('too long');
        },
        MESSAGE.OK,
        () => {},
        { fds: [unwritten!] },
      ),
    ).rejects.toThrow('too long');
    expect(openDescriptors()).toBe(before);
    // nobody reads: most of them wait here, and the rest on the way
    const waiting = copies(600).map((fd) => ask(fd).catch(() => 'closed'));
    expect(openDescriptors()).toBeGreaterThan(before + 100);
    connection.close();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['closed']));
    expect(openDescriptors()).toBe(before - 1);
    for (const fd of [read, write]) closeDescriptor(fd);
  });

  describe('with as many descriptors open as this process may have', () => {
    /** Runs `action` while one more can be opened. */
    async function nearlyFull(action: () => Promise<void> | void): Promise<void> {
      const [soft, hard] = /open files\s+(\d+)\s+(\d+)/
        .exec(readFileSync('/proc/self/limits', 'latin1'))!
        .slice(1);
      const limit = (now: string): void =>
        void execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${now}:${hard}`]);
      limit('256');
      const opened: number[] = [];
      try {
        for (;;) opened.push(openSync('/dev/null', 'r'));
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe('EMFILE');
      }
      try {
        closeDescriptor(opened.pop()!);
        await action();
      } finally {
        opened.forEach(closeDescriptor);
        limit(soft!);
      }
    }

    test('an answer fails for who asked, who is told what it brought nothing for; the connection goes on', async () => {
      const { read, write } = makePipe();
      const lost: number[] = [];
      const ask = (): Promise<string> =>
        connection.request(
          'spawn',
          (w, sequence) => w.begin(MESSAGE.SPAWN, sequence).finish(),
          MESSAGE.SPAWNED,
          (_, fds) => {
            fds.forEach(closeDescriptor);
            return `${fds.length} descriptors`;
          },
          { onLostFds: (message) => lost.push(message.u32()) },
        );
      const answer = (sequence: number): void =>
        void sendMessage(peer, writer.begin(MESSAGE.SPAWNED, sequence).u32(7).i32(99).finish(), [
          read,
          write,
        ]);
      const refused = ask();
      const sequence = nextSequence();
      await nearlyFull(async () => {
        answer(sequence);
        await expect(refused).rejects.toMatchObject({
          code: 'NATIVE_FAILED',
          fields: { operation: 'spawn', errno: 'EMFILE', advice: expect.stringContaining('LimitNOFILE') },
        });
      });
      expect([lost, connection.isOpen]).toEqual([[7], true]);
      const later = ask();
      answer(nextSequence());
      expect(await later).toBe('2 descriptors');
      for (const fd of [read, write]) closeDescriptor(fd);
    });

    test('a hand-over ends the connection, with the reason', async () => {
      const { read, write } = makePipe();
      await nearlyFull(async () => {
        sendMessage(peer, writer.begin(MESSAGE.JOB, 0).finish(), [read, write]);
        await expect
          .poll(() => closedWith)
          .toMatchObject({ code: 'UNAVAILABLE', cause: { fields: { errno: 'EMFILE' } } });
      });
      for (const fd of [read, write]) closeDescriptor(fd);
    });
  });

  test('nonsense from the other side ends the connection', async () => {
    const spawned = spawnRequest();
    sendMessage(peer, Buffer.from('?'));
    await expect(spawned).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(connection.isOpen).toBe(false);
  });

  test('requests that do not fit into the socket are sent later, in order', async () => {
    const total = 600;
    const answers = Array.from({ length: total }, () => spawnRequest());
    for (let index = 0; index < total; index++) {
      await new Promise((resolve) => setImmediate(resolve));
      sendMessage(peer, writer.begin(MESSAGE.SPAWNED, nextSequence()).u32(index).i32(2).finish());
    }
    expect((await Promise.all(answers)).map((job) => job.id)).toEqual(
      Array.from({ length: total }, (_, i) => i),
    );
  });
});

describe('JobTable hand-over', () => {
  function message(type: number, fill: (w: MessageWriter) => MessageWriter): MessageReader {
    return new Reader(Buffer.from(fill(writer.begin(type, 0)).finish()));
  }

  test('rings come first, positions and losses are told, ended jobs have their status', async () => {
    const table = new JobTable();
    const pipe = makePipe();
    const error = makePipe();
    closeDescriptor(pipe.write);
    closeDescriptor(error.write);
    table.handOver(
      message(MESSAGE.JOB, (w) =>
        w.u32(9).u32(1).i32(9).u32(0).u64(100n).u64(0n).u32(4).u32(0).u64(7n).u64(0n),
      ),
      [pipe.read, error.read],
    );
    table.ring(message(MESSAGE.RING, (w) => w.u32(9).u32(1).u64(100n).bytes(Buffer.from('ab'))));
    table.ring(message(MESSAGE.RING, (w) => w.u32(9).u32(1).u64(102n).bytes(Buffer.from('cd'))));
    const [job] = table.recovered();
    expect(job!.stdout.kept).toEqual({ position: 100n, length: 4, lost: 7n });
    expect(await job!.exited).toEqual({ signal: 9 });
    const text = await new Promise<string>((resolve) => {
      let all = '';
      job!.stdout.start(
        (chunk) => {
          all += chunk.toString();
        },
        () => resolve(all),
      );
    });
    expect(text).toBe('abcd');
    job!.stderr.close();
  });

  test('a ring for a job that was not handed over is refused', () => {
    expect(() =>
      new JobTable().ring(message(MESSAGE.RING, (w) => w.u32(1).u32(1).u64(0n).bytes(Buffer.of(1)))),
    ).toThrow();
  });
});

test('wait statuses of waitpid(2)', () => {
  expect([waitStatus(0), waitStatus(255 << 8), waitStatus(9), waitStatus(0x80 | 11)]).toEqual([
    { exitCode: 0 },
    { exitCode: 255 },
    { signal: 9 },
    { signal: 11 },
  ]);
});
