import type { ContainerInfo, JobSpec } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import type { ManagedJob } from './job.ts';
import { endPreparedShell, Habit, nextExpected, prepareShell, repeatable } from './prepared-shell.ts';

const MEBIBYTE = 1024n * 1024n;
const RLIMITS: JobSpec['rlimits'] = [{ resource: 7, soft: 1n, hard: 1n }];

function spec(over: Partial<JobSpec> = {}): JobSpec {
  return {
    id: 0,
    argv: ['/bin/bash'],
    user: 'vcap',
    stdin: Buffer.from('true'),
    environment: { LANG: 'C' },
    rlimits: RLIMITS,
    discardOutput: false,
    trackTree: false,
    ...over,
  };
}

function host({
  preparedShellMs = 1_000,
  memoryLimit,
}: {
  preparedShellMs?: number;
  memoryLimit?: bigint;
} = {}) {
  const prepare = vi.fn();
  let id = 1_000;
  const container = {
    state: 'active',
    jobs: new Map<number, unknown>(),
    isInitLost: false,
    init: { prepare },
    record: { isPaused: false, memoryLimit },
  };
  /** A script begins now, takes `lasting` milliseconds, and its result is taken. */
  const run = (of: JobSpec = spec(), lasting = 0, info: Partial<ContainerInfo> = {}): void => {
    const again = repeatable(of);
    const job = {
      id: of.id === 0 ? ++id : of.id,
      repeatable: again,
      hasEnded: true,
      isScriptNoted: false,
    };
    const engine = { options: { preparedShellMs } } as Engine;
    const within = nextExpected(engine, container as unknown as ManagedContainer, again);
    // what init does by itself is what it does when it is asked
    if (within !== undefined) prepare(again, within);
    container.jobs.set(job.id, job);
    vi.advanceTimersByTime(lasting);
    prepareShell(engine, container as unknown as ManagedContainer, job as ManagedJob, info as ContainerInfo);
    container.jobs.delete(job.id);
  };
  return { prepare, container, run };
}

/** What of a container a test changes. */
type Changing = Partial<
  Record<'state' | 'stopping' | 'destroying' | 'isInitLost' | 'record' | 'jobs', unknown>
>;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a prepared shell', () => {
  const ROOM: Partial<ContainerInfo> = { memoryStat: {} };

  it.each([undefined, 64n * MEBIBYTE])(
    'is asked for behind the second of two scripts that say the same, for as long as is configured, with a limit of %s',
    (memoryLimit) => {
      const { prepare, run: start } = host(memoryLimit === undefined ? {} : { memoryLimit });
      const run = (of?: JobSpec) => start(of, 0, ROOM);
      run();
      expect(prepare).not.toHaveBeenCalled();
      run(spec({ stdin: Buffer.from('something else') }));
      expect(prepare).toHaveBeenCalledTimes(1);
      expect(prepare).toHaveBeenCalledWith(
        expect.objectContaining({ argv: ['/bin/bash'], user: 'vcap', stdin: new Uint8Array() }),
        1_000,
      );
      run();
      expect(prepare).toHaveBeenCalledTimes(2);
    },
  );

  it('counts from the end of one to the beginning of the next', () => {
    const { prepare, run } = host();
    run(spec(), 60_000);
    vi.advanceTimersByTime(1_000);
    run(spec(), 60_000);
    expect(prepare).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(1_001);
    run();
    expect(prepare).toHaveBeenCalledTimes(1);
    run();
    expect(prepare).toHaveBeenCalledTimes(2);
  });

  it.each([
    ['another user', { user: 'root' }],
    ['other variables', { environment: { LANG: 'C', A: '1' } }],
    ['other limits', { rlimits: [{ resource: 7, soft: 2n, hard: 2n }] }],
    ['another directory', { directory: '/tmp' }],
    ['live output', { isLive: true }],
    ['its tree tracked', { trackTree: true }],
  ])('is not asked for where the two differ: %s', (_what, over) => {
    const { prepare, run } = host();
    run();
    run(spec(over));
    expect(prepare).not.toHaveBeenCalled();
    run(spec(over));
    expect(prepare).toHaveBeenCalledWith(expect.objectContaining(over), 1_000);
  });

  it.each([
    ['a program', { argv: ['/bin/true'] }],
    ['arguments', { argv: ['/bin/bash', '-c', 'true'] }],
    ['a terminal', { terminal: { rows: 1, columns: 1 } }],
    ['open input', { openInput: true }],
    ['discarded output', { discardOutput: true }],
    ['a long script', { stdin: Buffer.alloc(32_769) }],
    ['a file that bash reads first', { environment: { BASH_ENV: '/etc/first' } }],
    ['functions for bash', { environment: { 'BASH_FUNC_unset%%': '() { :; }' } }],
    ['options of bash', { environment: { SHELLOPTS: 'xtrace' } }],
  ])('is not asked for behind what is no short script: %s', (_what, over) => {
    const { prepare, run } = host();
    for (let i = 0; i < 3; i++) run(spec(over));
    expect(prepare).not.toHaveBeenCalled();
  });

  it('is asked for once when several take one result', () => {
    const { prepare, container, run } = host({ memoryLimit: 64n * MEBIBYTE });
    run(spec(), 0, ROOM);
    const engine = { options: { preparedShellMs: 1_000 } } as Engine;
    const one = container as unknown as ManagedContainer;
    nextExpected(engine, one, spec());
    const job = { id: 2, repeatable: spec(), hasEnded: true, isScriptNoted: false } as unknown as ManagedJob;
    for (let i = 0; i < 3; i++) prepareShell(engine, one, job, ROOM as ContainerInfo);
    expect(prepare).toHaveBeenCalledTimes(1);
  });

  it('is not expected behind scripts that run at the same time', () => {
    const { prepare, container, run } = host();
    run();
    container.jobs.set(5, { hasEnded: false });
    run();
    run();
    expect(prepare).not.toHaveBeenCalled();
  });

  it('is expected later each time that something else has come instead, and sooner again after many that have not', () => {
    const habit = new Habit();
    const note = (how: 'same' | 'other' | 'late', times: number) =>
      Array.from({ length: times }, () => (habit.note(how) ? 'y' : 'n')).join('');
    expect(note('late', 1) + note('same', 2)).toBe('nyy');
    expect(note('other', 1) + note('same', 5)).toBe('nnnnyy');
    expect(note('late', 1) + note('same', 4)).toBe('nnnny'); // too late is no mistake
    expect(note('other', 1) + note('same', 16)).toBe(`n${'n'.repeat(15)}y`);
    expect(note('same', 32)).toBe('y'.repeat(32));
    expect(note('late', 1) + note('same', 4)).toBe('nnnny');
    expect(note('other', 1) + note('same', 16)).toBe(`n${'n'.repeat(15)}y`);
    for (let i = 0; i < 3; i++) expect(note('other', 1) + note('same', 64)).toBe(`n${'n'.repeat(63)}y`); // no later than that
  });

  it('is ended, and awaited, before something that must not meet it, where there may be one, and none is expected then', async () => {
    const { prepare, container, run } = host({ memoryLimit: 64n * MEBIBYTE });
    const waitEmpty = vi.fn(async () => true);
    const signalJob = vi.fn(async () => {});
    Object.assign(container.init, { waitEmpty, signalJob });
    const end = () => endPreparedShell(container as unknown as ManagedContainer);
    const two = () => {
      for (let i = 0; i < 2; i++) run(spec(), 0, ROOM);
    };
    run(spec(), 0, ROOM);
    await end();
    expect(signalJob).not.toHaveBeenCalled();
    two();
    expect(prepare).toHaveBeenCalledTimes(1);
    await end();
    expect(signalJob).toHaveBeenCalledExactlyOnceWith(0, 0, false);
    expect(waitEmpty).toHaveBeenCalledTimes(1);
    run(spec(), 0, ROOM);
    expect(prepare).toHaveBeenCalledTimes(1);
    two();
    vi.advanceTimersByTime(1_001);
    await end();
    expect(waitEmpty).toHaveBeenCalledTimes(1);
    two();
    container.jobs.set(5, { hasEnded: false });
    await end();
    expect([signalJob.mock.calls.length, waitEmpty.mock.calls.length]).toEqual([2, 1]);
    container.jobs.clear();
    two();
    waitEmpty.mockRejectedValueOnce(new Error('it is gone'));
    await end();
    expect(waitEmpty).toHaveBeenCalledTimes(2);
    two();
    vi.setSystemTime(Date.now() + 3_600_000); // the host's clock was set: the shell waits as it did
    await end();
    expect(waitEmpty).toHaveBeenCalledTimes(3);
  });

  it('is not asked for where it is turned off, or the init cannot', () => {
    const off = host({ preparedShellMs: 0 });
    const old = host();
    Object.assign(old.container, { init: {} });
    for (const { run } of [off, old]) for (let i = 0; i < 3; i++) run();
    expect(off.prepare).not.toHaveBeenCalled();
  });

  it.each<[string, (container: Changing) => void]>([
    ['that is stopped', (one) => (one.state = 'stopped')],
    ['that is being stopped', (one) => (one.stopping = Promise.resolve())],
    ['that is being destroyed', (one) => (one.destroying = Promise.resolve())],
    ['that has lost its init', (one) => (one.isInitLost = true)],
    ['that stands still', (one) => (one.record = { isPaused: true, memoryLimit: 64n * MEBIBYTE })],
    ['with a job that runs', (one) => (one.jobs = new Map([[1, { hasEnded: false }]]))],
  ])('is not asked for in a container with a memory limit %s', (_which, change) => {
    const { prepare, container, run } = host({ memoryLimit: 64n * MEBIBYTE });
    run(spec(), 0, ROOM);
    change(container);
    run(spec(), 0, ROOM);
    expect(prepare).not.toHaveBeenCalled();
  });

  it.each([
    [15, 1],
    [16, 0],
  ])('is asked for beside %i jobs whose result nobody has taken: %i', (jobs, times) => {
    const { prepare, container, run } = host({ memoryLimit: 64n * MEBIBYTE });
    for (let id = 100; id < 100 + jobs; id++) container.jobs.set(id, { hasEnded: true });
    run(spec(), 0, ROOM);
    run(spec(), 0, ROOM);
    expect(prepare).toHaveBeenCalledTimes(times);
  });

  it.each([
    [undefined, 0],
    [{ total_inactive_anon: 0n }, 1],
    [
      {
        total_inactive_anon: 16n * MEBIBYTE,
        total_active_anon: 16n * MEBIBYTE,
        total_unevictable: 16n * MEBIBYTE,
      },
      1,
    ],
    [
      {
        total_inactive_anon: 16n * MEBIBYTE,
        total_active_anon: 16n * MEBIBYTE,
        total_unevictable: 16n * MEBIBYTE + 1n,
      },
      0,
    ],
    [{ total_inactive_anon: 48n * MEBIBYTE + 1n }, 0],
  ])(
    'in a container with a limit of 64 MiB needs 16 MiB that nothing unmovable takes: %o',
    (memoryStat, times) => {
      const { prepare, run } = host({ memoryLimit: 64n * MEBIBYTE });
      const info: Partial<ContainerInfo> = memoryStat === undefined ? {} : { memoryStat };
      run(spec(), 0, info);
      run(spec(), 0, info);
      expect(prepare).toHaveBeenCalledTimes(times);
    },
  );
});
