/** How containers end because nobody is there for them. */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Warden } from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import { EMPTY, type TestHost } from '../test/host.ts';
import { eachAnew, SOON } from '../test/setting.ts';
import type { Core } from './index.ts';

let host: TestHost;
let core: Core;
let warden: Warden;

eachAnew(
  (setting) => ({ host, core, warden } = setting),
  () => core,
);

describe('grace time (spec behaviour.md 3 and 8)', () => {
  it('of 0 ends a container in the next turn after the last reference [behaviour 8 zero]', async () => {
    const owner = core.openSession();
    await owner.create({ graceTime: 0 });
    await core.openSession().close(); // others that come and go change nothing
    expect(await core.openSession().list()).toHaveLength(1);
    await core.close();
    core = await host.start();
    await vi.waitFor(() => expect(host.inventory()).toEqual(EMPTY), SOON);
    const alone = core.openSession();
    await alone.create({ graceTime: 0 });
    await alone.close();
    await vi.waitFor(() => expect(host.inventory()).toEqual(EMPTY), SOON);
  });

  it('begins with the end of the creation for a client that has gone meanwhile [behaviour 20.31]', async () => {
    const owner = core.openSession();
    const creating = owner.create({ graceTime: 0, handle: 'orphan' });
    await owner.close();
    expect((await creating).handle).toBe('orphan');
    await vi.waitFor(() => expect(host.inventory()).toEqual(EMPTY), SOON);
  });

  it('tries again when the destruction failed [behaviour 20.33]', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await core.close();
    core = await host.start();
    const owner = core.openSession();
    await owner.create({ graceTime: 1, handle: 'stubborn' });
    const rmSync = vi.spyOn(fs, 'rmSync').mockImplementation(() => {
      throw Object.assign(new Error('busy'), { code: 'EBUSY' });
    });
    await owner.close();
    await vi.advanceTimersByTimeAsync(1_500);
    expect(core.containerCount).toBe(1);
    rmSync.mockRestore();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('goes on when somebody who has gone meanwhile failed to destroy the container', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const owner = core.openSession();
    const box = await owner.create({ graceTime: 10, handle: 'stubborn' });
    await owner.close();
    const rmSync = vi.spyOn(fs, 'rmSync').mockImplementation(() => {
      throw Object.assign(new Error('busy'), { code: 'EBUSY' });
    });
    // its request was on its way when its connection ended
    await expect(box.destroy()).rejects.toThrow('busy');
    rmSync.mockRestore();
    await vi.advanceTimersByTimeAsync(9_000);
    expect(core.containerCount).toBe(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('begins when the last session that created, named or found the container has ended', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const owner = core.openSession();
    await owner.create({ handle: 'box', graceTime: 10 });
    const late = core.openSession();
    await owner.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await warden.list()).toEqual(['box']);
    await late.close();
    await vi.advanceTimersByTimeAsync(9_000);
    expect(await warden.list()).toEqual(['box']);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await warden.list()).toEqual([]);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('may be longer than a timer of Node', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const owner = core.openSession();
    await owner.create({ graceTime: 60 * 86_400 });
    await owner.close();
    const onlooker = core.openSession();
    await onlooker.events(); // keeps nothing alive
    await vi.advanceTimersByTimeAsync(59 * 86_400_000);
    expect(core.containerCount).toBe(1);
    await vi.advanceTimersByTimeAsync(2 * 86_400_000);
    expect(core.containerCount).toBe(0);
  });

  it('is cancelled by whoever came while the process stood still', async () => {
    const owner = core.openSession();
    await owner.create({ handle: 'box', graceTime: 0.05 });
    await owner.close();
    const late = await new Promise<Warden>((resolve) => {
      // heard of as a connection is
      fs.stat('/', () => resolve(core.openSession()));
      for (const until = performance.now() + 300; performance.now() < until; );
    });
    await delay(200);
    expect(await late.list()).toEqual(['box']);
  });

  it('is cancelled by whoever names the container, and endless where configured', async () => {
    await core.close();
    core = await host.start({ graceTime: undefined });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const observer = core.openSession();
    const owner = core.openSession();
    await owner.create({ handle: 'short', graceTime: 5 });
    await owner.create({ handle: 'endless' });
    await owner.close();
    await vi.advanceTimersByTimeAsync(4_000);
    await observer.container('short').info();
    await vi.advanceTimersByTimeAsync(1_000_000);
    expect(await observer.list()).toEqual(['short', 'endless']);
  });
});
