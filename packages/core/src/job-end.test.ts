/** A job ends, whatever fails on the way. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setImmediate as nextRound } from 'node:timers/promises';
import v8 from 'node:v8';
import vm from 'node:vm';
import type { ByteSource, Init, InitJob, WaitStatus } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CoreFailpoints } from './failpoint-names.ts';
import { ManagedJob } from './job.ts';
import type { OutputTap } from './output-tap.ts';

let directory: string;
const warnings: string[] = [];
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-job-'));
  warnings.length = 0;
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

const FAILPOINTS = { pass: async () => {}, passSync: () => {} } as unknown as CoreFailpoints;

/** Prints nothing. */
function source(close: () => void): ByteSource {
  return {
    kept: { position: 0n, length: 0, lost: 0n },
    start: () => {},
    pause: () => {},
    resume: () => {},
    onceReadable: () => {},
    keepIn: () => {},
    drain: () => true,
    close,
  };
}

function start(
  exited: Promise<WaitStatus>,
  close: () => void,
  taps: readonly OutputTap[],
  init: Partial<Init> = {},
): ManagedJob {
  const job: InitJob = {
    id: 7,
    input: undefined,
    isTerminal: false,
    stdout: source(close),
    stderr: source(close),
    discardOutput: false,
    isLive: false,
    exited,
  };
  const note = (message: string): void => void warnings.push(message);
  return new ManagedJob({
    init: { forget: () => {}, ...init } as unknown as Init,
    job,
    directory,
    outputLimit: 0,
    keep: 'memory',
    isAwaited: false,
    isRecovered: false,
    taps: () => taps,
    logger: { warn: note, error: note } as never,
    failpoints: FAILPOINTS,
    explain: ({ signal }) => (signal === undefined ? { reason: 'exited' } : { reason: 'signal', signal }),
    onLimitExceeded: () => {},
    isClosing: () => false,
    isGoing: () => false,
  });
}

/** As what a disk that gives up does to a socket's file. */
function failingTap(done: string[]): OutputTap {
  const fail = (step: string): never => {
    done.push(step);
    throw Object.assign(new Error('i/o error'), { code: 'EIO', syscall: 'unlink' });
  };
  return { write: () => {}, end: () => fail('end'), detach: () => fail('detach') };
}

it('of which nothing can be put away: whoever waits hears how it ended, and everything was tried', async () => {
  const done: string[] = [];
  const close = (): never => {
    done.push('close');
    throw new Error('i/o error');
  };
  const job = start(Promise.resolve({ exitCode: 3 }), close, [failingTap(done), failingTap(done)]);
  expect(await job.ended).toEqual({ exitStatus: 3, verdict: { reason: 'exited' } });
  expect(done).toEqual(['close', 'close', 'end', 'end']);
  expect(warnings).toEqual(Array.from({ length: 4 }, () => 'job-not-all-closed'));
});

it('whose result was taken is forgotten by init before anything else can be asked of it', async () => {
  const asked: string[] = [];
  const init = { forget: (id: number) => void asked.push(`forget ${id}`) };
  const job = start(Promise.resolve({ exitCode: 0 }), () => {}, [], init);
  await job.ended;
  // a request that is read in the round of the loop in which the result was taken
  const nextRequest = nextRound().then(() => asked.push('spawn'));
  job.remove();
  await nextRequest;
  expect(asked).toEqual(['forget 7', 'spawn']);
});

describe('a kill because the time is up', () => {
  const signalled: WaitStatus = { signal: 15 };

  function running(): { exited: Promise<WaitStatus>; end: (status: WaitStatus) => void } {
    let end: (status: WaitStatus) => void = () => {};
    const exited = new Promise<WaitStatus>((resolve) => {
      end = resolve;
    });
    return { exited, end };
  }

  it('is why it ended, even when its end is told before the signal is answered', async () => {
    const { exited, end } = running();
    const job = start(exited, () => {}, [], { signalJob: async () => end(signalled) });
    await job.kill(15, false, 'timeout');
    expect((await job.ended).verdict.reason).toBe('timeout');
  });

  it('is not, when the signal could not be sent and somebody else killed it', async () => {
    const { exited, end } = running();
    const signalJob = (): Promise<void> => Promise.reject(new Error('no room'));
    const job = start(exited, () => {}, [], { signalJob });
    await expect(job.kill(15, false, 'timeout')).rejects.toThrow('no room');
    end(signalled);
    expect((await job.ended).verdict.reason).toBe('signal');
  });
});

describe('whoever gives up', () => {
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc') as () => void;

  /** Waits by a signal, gives up, and answers what is left of the signal's reason when nobody has it any more. */
  async function leftBehind(wait: (signal: AbortSignal) => Promise<unknown>): Promise<object | undefined> {
    const reason = await (async () => {
      const giveUp = new AbortController();
      const waiting = wait(giveUp.signal);
      await nextRound();
      giveUp.abort(new Error('no time'));
      await waiting;
      return new WeakRef(giveUp.signal);
    })();
    await nextRound();
    collect();
    return reason.deref();
  }

  it('waiting for the end of a job leaves nothing with it', async () => {
    const job = start(new Promise(() => {}), () => {}, []);
    expect(await leftBehind((signal) => job.untilEnded(signal))).toBeUndefined();
    expect(job.hasEnded).toBe(false);
  });

  it('reading its output leaves nothing with it', async () => {
    const job = start(new Promise(() => {}), () => {}, []);
    const readAll = async (signal: AbortSignal): Promise<void> => {
      for await (const _ of job.output.read(signal));
    };
    expect(await leftBehind(readAll)).toBeUndefined();
    expect(job.hasEnded).toBe(false);
  });

  it('leaves those alone who have not', async () => {
    let end: (status: WaitStatus) => void = () => {};
    const exited = new Promise<WaitStatus>((resolve) => {
      end = resolve;
    });
    const job = start(exited, () => {}, []);
    const patient = [job.untilEnded(undefined), job.untilEnded(new AbortController().signal)];
    const impatient = new AbortController();
    const first = job.untilEnded(impatient.signal);
    impatient.abort();
    expect(await first).toBeUndefined();
    expect(await job.untilEnded(AbortSignal.abort())).toBeUndefined();
    end({ exitCode: 3 });
    for (const one of patient) expect(await one).toMatchObject({ exitStatus: 3 });
    expect(await job.untilEnded(AbortSignal.abort())).toMatchObject({ exitStatus: 3 });
  });
});
