/** What the engine asks of an init and of control groups around copies and pauses, which the fakes do not mind. */
import fs from 'node:fs';
import path from 'node:path';
import {
  type Container,
  type CopySpec,
  type CreateSpec,
  type ImageStore,
  type Init,
  WardenError,
} from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TestHost } from '../test/host.ts';
import type { Core, CoreOptions } from './index.ts';

let host: TestHost;
let core: Core;

beforeEach(async () => {
  host = new TestHost({ program: async ({ killed }) => ({ signal: await killed }) });
  core = await host.start();
});
afterEach(async () => {
  await core.close();
  host.remove();
});

/** The container of a daemon whose connection to init has these methods. */
async function takenOver(
  methods: Partial<Init>,
  over: Partial<CoreOptions> = {},
  spec: CreateSpec = {},
): Promise<Container> {
  await core.openSession().create({ ...spec, handle: 'box' });
  await core.close();
  const drivers = over.drivers ?? host.drivers();
  const connect = async (directory: string): Promise<Init | undefined> => {
    const connection = await drivers.init.connect(directory);
    return connection && Object.assign(connection, methods);
  };
  core = await host.start({ ...over, drivers: { ...drivers, init: { ...drivers.init, connect } } });
  return core.openSession().container('box');
}

it('a file task that cannot be closed does not end a daemon that lets go', async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown): unknown => unhandled.push(error);
  process.on('unhandledRejection', note);
  try {
    const endless = new Promise<never>(() => {});
    const openFiles = async (): Promise<never> =>
      ({
        answers: () => ({ [Symbol.asyncIterator]: () => ({ next: () => endless }) }),
        close: () => Promise.reject(new Error('no room to wait for its end')),
      }) as never;
    const box = await takenOver({ openFiles });
    void box.files.list('/tmp')[Symbol.asyncIterator]().next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await core.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(unhandled).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
  }
});

describe('a copy', () => {
  it('may write into no directory of the daemon, by whatever name', async () => {
    const copies: CopySpec[] = [];
    const copy = async (spec: CopySpec): Promise<never> => {
      copies.push(spec);
      return { ended: Promise.resolve(), abort: () => {} } as never;
    };
    const images = path.join(host.directory, 'images');
    fs.mkdirSync(images);
    fs.symlinkSync(images, path.join(host.directory, 'link'));
    const closedToCopies = [
      path.join(host.directory, 'link'),
      path.join(host.directory, 'link/not/there'),
      path.join(host.directory, 'absent'),
    ];
    const box = await takenOver({ copy }, { closedToCopies });
    await box.copyOut('/etc/passwd', '/tmp/x', '');
    await box.copyIn('/etc/passwd', '/tmp/x');
    const forbidden = [
      host.depot,
      images,
      path.join(images, 'not/there'),
      path.join(host.directory, 'absent'),
    ];
    expect(copies).toMatchObject([
      { direction: 'out', user: 'vcap', forbidden },
      { direction: 'in', user: 'vcap', forbidden },
    ]);
  });

  it('in progress ends with its container', async () => {
    let abort = (): void => {};
    const ended = new Promise<void>((_resolve, reject) => {
      abort = () => reject(new WardenError('ABORTED', 'the copy was ended'));
    });
    const copy = vi.fn(async (): Promise<never> => ({ ended, abort: () => abort() }) as never);
    const box = await takenOver({ copy });
    const copying = expect(box.copyIn('/etc/passwd', '/tmp/x')).rejects.toMatchObject({ code: 'ABORTED' });
    await vi.waitFor(() => expect(copy).toHaveBeenCalled(), 20_000);
    await box.destroy();
    await copying;
  });
});

describe('what init cannot start', () => {
  it('has a code of ours, also when it fails as the modules of Node do', async () => {
    const fail = async (): Promise<never> => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), {
        code: 'ENOSPC',
        syscall: 'write',
      });
    };
    const box = await takenOver({ spawn: fail, copy: fail });
    const told = (words: string, operation: string): object => ({
      code: 'NATIVE_FAILED',
      message: `${words}: ENOSPC: no space left on device, write`,
      fields: { errno: 'ENOSPC', operation, handle: 'box' },
    });
    await expect(box.spawn('')).rejects.toMatchObject(told('iomux-spawn failed', 'spawn'));
    await expect(box.copyIn('/etc/passwd', '/tmp')).rejects.toMatchObject(
      told('command exited with failure', 'copy in'),
    );
  });
});

describe('a pause', () => {
  it('excuses init from answering for as long as it stands still', async () => {
    const excuse = vi.fn();
    const box = await takenOver({ excuse });
    await box.pause();
    expect(excuse.mock.calls).toEqual([[true]]);
    await box.resume();
    expect(excuse.mock.calls).toEqual([[true], [false]]);
  });

  it('that fails lets all go on', async () => {
    const drivers = host.drivers();
    const freeze: typeof drivers.cgroup.freeze = async (state, patience) => {
      await drivers.cgroup.freeze(state, patience);
      throw new WardenError('TIMEOUT', 'it does not stand still');
    };
    const excuse = vi.fn();
    const box = await takenOver(
      { excuse },
      { drivers: { ...drivers, cgroup: { ...drivers.cgroup, freeze } } },
    );
    await expect(box.pause()).rejects.toMatchObject({ code: 'TIMEOUT' });
    const [group] = [...host.groups.groups.values()];
    expect([group!.isFrozen, excuse.mock.calls.at(-1)]).toEqual([false, [false]]);
    await (await box.spawn('')).kill({ signal: 9 });
    await core.close();
    core = await host.start();
    expect([...host.groups.groups.values()][0]!.isFrozen).toBe(false);
  });
});

it('a signal reaches the tree of a job, unless its process alone is meant', async () => {
  const signalJob = vi.fn<Init['signalJob']>(async () => {});
  const box = await takenOver({ signalJob });
  const job = await box.spawn('');
  for (const options of [{}, { signal: 15 }, { signal: 15, tree: false }, { tree: false }])
    await job.kill(options);
  expect(signalJob.mock.calls).toEqual([
    [job.id, 9, true],
    [job.id, 15, true],
    [job.id, 15, false],
    [job.id, 9, false],
  ]);
});

describe('a wait for a job', () => {
  it('asks init whether it is there, and not again before that has answered', async () => {
    let answer = (): void => {};
    const signalJob = vi.fn<Init['signalJob']>(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    const box = await takenOver({ signalJob });
    const job = await box.spawn('');
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const waiting = job.link();
      waiting.catch(() => {});
      vi.advanceTimersByTime(300_000);
      expect(signalJob.mock.calls).toEqual([[job.id, 0, false]]);
      answer();
      await new Promise((resolve) => setImmediate(resolve));
      vi.advanceTimersByTime(300_000);
      expect(signalJob).toHaveBeenCalledTimes(2);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a snapshot', () => {
  let lastDrivers: CoreOptions['drivers'];

  /** A daemon whose store captures so, and its container with an image, where nobody is told to end. */
  async function captured(capture: ImageStore['capture'], methods: Partial<Init> = {}): Promise<Container> {
    const images = {
      use: () => ({ image: 'sha256:1', layers: [host.rootfs] }),
      release: () => {},
      recover: async () => {},
      capture,
    } as Partial<ImageStore> as ImageStore;
    const drivers = host.drivers();
    const { filesystem } = drivers;
    const stacking = Object.assign(Object.create(filesystem) as typeof filesystem, {
      supports: { ...filesystem.supports, stacksLayers: true },
      writableLayer: () => host.rootfs,
    });
    const over = { images, drivers: { ...drivers, filesystem: stacking } };
    lastDrivers = drivers;
    await core.close();
    core = await host.start(over);
    return takenOver(methods, over, { image: 'one' });
  }

  it.each([
    ['a stop that kills', (box: Container) => box.stop({ kill: true })],
    [
      'a stop that waits for it, and then one that kills',
      (box: Container) => Promise.all([box.stop(), box.stop({ kill: true })]),
    ],
    ['a destruction', (box: Container) => box.destroy()],
    [
      'an out-of-memory kill',
      async (box: Container) => {
        for (const group of host.groups.groups.values()) {
          group.kills += 1n;
          for (const look of group.watches) look();
        }
        await vi.waitFor(async () => expect((await box.info()).events).toEqual(['out of memory']));
        await box.stop();
      },
    ],
  ])('is given up for %s', async (_what, end) => {
    let begun = (): void => {};
    const isBegun = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const box = await captured((_spec, { signal, whileStill } = {}) =>
      whileStill!(
        () =>
          new Promise((_resolve, reject) => {
            signal!.addEventListener('abort', () => reject(new WardenError('ABORTED', 'given up')));
            begun();
          }),
      ),
    );
    await box.limitMemory(64n << 20n);
    const snapshot = core.openSession().images!.snapshot('box', 'snap');
    snapshot.catch(() => {});
    await isBegun;
    await end(box);
    await expect(snapshot).rejects.toMatchObject({
      code: 'BAD_STATE',
      message: 'the snapshot was given up: the container is being stopped or destroyed',
    });
  });

  it('that waits for its turn is given up, too', async () => {
    const capture = vi.fn();
    const box = await captured((_spec, { whileStill } = {}) => whileStill!(capture));
    const stop = box.stop();
    const snapshot = core.openSession().images!.snapshot('box', 'snap');
    await Promise.all([stop, box.destroy(), expect(snapshot).rejects.toMatchObject({ code: 'BAD_STATE' })]);
    expect(capture).not.toHaveBeenCalled();
  });

  it('of a container that is stopped only by name, because it did not come to its end, is taken frozen', async () => {
    const frozen: boolean[] = [];
    const image = { id: 'sha256:2', names: ['snap:latest'], bytes: 0, layers: [], usedBy: [] };
    const signalAll = async (): Promise<never> => {
      throw new WardenError('NATIVE_FAILED', 'no');
    };
    const box = await captured(
      (_spec, options) =>
        options!.whileStill!(async () => {
          for (const { isFrozen } of host.groups.groups.values()) frozen.push(isFrozen);
          return image;
        }),
      { signalAll },
    );
    await expect(box.stop()).rejects.toThrow('no');
    expect((await box.info()).state).toBe('stopped');
    await core.openSession().images!.snapshot('box', 'snap');
    expect(frozen).toEqual([true]);
  });

  it('excuses init for as long as it takes, and tells what failed first', async () => {
    const excuse = vi.fn();
    const excused: unknown[] = [];
    await captured(
      (_spec, options) =>
        options!.whileStill!(async () => {
          excused.push(excuse.mock.calls.at(-1));
          throw new WardenError('NATIVE_FAILED', 'no room');
        }),
      { excuse },
    );
    const thaw = vi.spyOn(lastDrivers.cgroup, 'thaw');
    const snapshot = (): Promise<unknown> => core.openSession().images!.snapshot('box', 'snap');
    await expect(snapshot()).rejects.toThrow('no room');
    expect([excused, excuse.mock.calls]).toEqual([[[true]], [[true], [false]]]);
    thaw.mockRejectedValueOnce(new WardenError('NATIVE_FAILED', 'it stands still'));
    await expect(snapshot()).rejects.toThrow('no room');
  });
});
