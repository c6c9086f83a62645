import { silentLogger, WardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { cgroups, noCgroups } from './index.ts';

describe('no control groups', () => {
  const driver = noCgroups()({ logger: silentLogger });

  it('support nothing and need nothing', async () => {
    expect(Object.values(driver.supports).filter((value) => value === true)).toEqual([]);
    expect(await driver.probe()).toEqual({ ok: true });
    await driver.setup();
    const state = driver.plan({ id: '0123456789a', allowAllDevices: false, pidsLimit: 5 });
    expect(driver.joinFiles(state)).toEqual([]);
    expect(await driver.pids(state)).toEqual([]);
    expect(await driver.list()).toEqual([]);
    await driver.killAll(state, 1);
    await driver.release(state);
  });

  it('answer reads with the defaults (spec drivers.md 2.1)', async () => {
    expect(await driver.cpuShares({})).toBe(1_024n);
    expect(await driver.memoryLimit({})).toBe(9_223_372_036_854_771_712n);
  });

  it('refuse what would limit or count', async () => {
    for (const action of [
      () => driver.setCpuShares({}, 512n),
      () => driver.setMemoryLimit({}, 1n << 20n),
      () => driver.memoryStat({}),
      () => driver.cpuStat({}),
      () => driver.watchOutOfMemory({}, () => {}),
    ]) {
      const error = await action().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(WardenError);
      expect(error).toMatchObject({ code: 'UNSUPPORTED' });
    }
  });
});

describe('a host without any hierarchy', () => {
  it('says so when asked and when set up', async () => {
    const driver = cgroups({ prefix: 'warden', sources: { mountInfo: '/dev/null' } })({
      logger: silentLogger,
    });
    expect(await driver.probe()).toEqual({ ok: false, reason: 'no cgroup hierarchy is mounted' });
    await expect(driver.setup()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

describe('a prefix', () => {
  it.each(['', '.', '../escape', 'a/b', '-rf', 'a b'])('%j is refused', (prefix) => {
    expect(() => cgroups({ prefix })).toThrow(TypeError);
  });

  it('cannot be left out', () => {
    expect(() => cgroups({} as never)).toThrow('a cgroup prefix is one path component, found undefined');
  });
});
