/** What the engine asks of an init and of control groups around copies and pauses, which the fakes do not mind. */
import fs from 'node:fs';
import path from 'node:path';
import { type Container, type CopySpec, type Init, WardenError } from '@warden/interface';
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
async function takenOver(methods: Partial<Init>, over: Partial<CoreOptions> = {}): Promise<Container> {
  await core.openSession().create({ handle: 'box' });
  await core.close();
  const drivers = over.drivers ?? host.drivers();
  const connect = async (directory: string): Promise<Init | undefined> => {
    const connection = await drivers.init.connect(directory);
    return connection && Object.assign(connection, methods);
  };
  core = await host.start({ ...over, drivers: { ...drivers, init: { ...drivers.init, connect } } });
  return core.openSession().container('box');
}

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
