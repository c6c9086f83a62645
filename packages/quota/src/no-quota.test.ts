import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@warden/interface';
import { expect, it } from 'vitest';
import { noQuota } from './no-quota.ts';

const UNLIMITED = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };

it('noQuota refuses limits and knows no usage', async () => {
  const depot = mkdtempSync(join(tmpdir(), 'warden-quota-'));
  const driver = noQuota()({ logger: silentLogger });
  const spec = { id: '0123456789a', directory: join(depot, '0123456789a'), uid: 10000 };
  const state = driver.plan(spec);
  expect(await driver.probe(depot)).toMatchObject({ ok: true });
  await driver.prepare(spec, state);
  await driver.prepare(spec, state);
  expect(existsSync(join(spec.directory, 'tmp'))).toBe(true);
  await expect(driver.limits(spec, state)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  await expect(driver.setLimits(spec, state, { ...UNLIMITED, blockHard: 1n })).rejects.toMatchObject({
    code: 'UNSUPPORTED',
  });
  await expect(driver.usage(spec, state)).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringMatching(/^Failed getting disk usage: /),
  });
  await driver.release(spec, state);
  await driver.release(spec, state);
  rmSync(depot, { recursive: true });
});
