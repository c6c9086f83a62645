import type { CgroupDriver } from '@warden/interface';
import { expect } from 'vitest';

/**
 * Of a container that was made while control groups were switched off: nothing is done, and what is asked is
 * refused.
 */
export async function expectNoGroups(driver: CgroupDriver): Promise<void> {
  expect(await driver.pids({})).toEqual([]);
  await driver.killAll({}, 1_000);
  await driver.retire?.({});
  await driver.release({});
  for (const ask of [
    () => driver.memoryStat({}),
    () => driver.cpuStat({}),
    () => driver.setMemoryLimit({}, 1n << 30n),
    () => driver.watchOutOfMemory({}, () => {}),
  ])
    await expect(ask()).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('made without control groups (drivers.cgroup: none)'),
    });
}
