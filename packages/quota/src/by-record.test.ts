import { type QuotaDriver, type QuotaSpec, silentLogger } from '@warden/interface';
import { expect, it } from 'vitest';
import { quotaByRecord } from './by-record.ts';
import { noQuota } from './no-quota.ts';
import { sizedImage } from './sized-image.ts';

const SPEC: QuotaSpec = { id: '0123456789a', directory: '/nowhere/0123456789a', uid: 10_000 };
const LIMITS = { blockSoft: 1n, blockHard: 2n, inodeSoft: 3n, inodeHard: 4n };

/** A driver that says who was called. */
function named(name: string, calls: string[]): QuotaDriver {
  const called =
    <T>(operation: string, answer: T) =>
    async (): Promise<T> => {
      calls.push(`${name}.${operation}`);
      return answer;
    };
  return {
    role: 'quota',
    name,
    supports: sizedImage()({ logger: silentLogger }).supports,
    probe: called('probe', { ok: true }),
    plan: () => ({ [name]: true }),
    prepare: called('prepare', undefined),
    setLimits: called('setLimits', LIMITS),
    limits: called('limits', LIMITS),
    usage: called('usage', { bytesUsed: 1n, inodesUsed: 1n }),
    discard: called('discard', undefined),
    release: called('release', undefined),
  };
}

async function everything(driver: QuotaDriver, state: ReturnType<QuotaDriver['plan']>): Promise<void> {
  await driver.prepare(SPEC, state);
  await driver.setLimits(SPEC, state, LIMITS);
  await driver.limits(SPEC, state);
  await driver.usage(SPEC, state);
  await driver.discard?.(SPEC, state);
  await driver.release(SPEC, state);
}

it('leaves each container with the driver in its record, whatever is chosen now [drivers 5]', async () => {
  const calls: string[] = [];
  const all = ['image', 'user', 'none'].map((name) => named(name, calls));
  const first = quotaByRecord(all[0]!, all);
  const state = JSON.parse(JSON.stringify(first.plan(SPEC)));
  expect(state).toEqual({ image: true, driver: 'image' });
  const next = quotaByRecord(all[2]!, all);
  expect([next.name, next.plan(SPEC)]).toEqual(['none', { none: true, driver: 'none' }]);
  await everything(next, state);
  expect(calls).toEqual(
    ['prepare', 'setLimits', 'limits', 'usage', 'discard', 'release'].map((call) => `image.${call}`),
  );
});

it('asks the driver of the record whether files count, and takes a silent one for yes', () => {
  const driver = quotaByRecord(named('image', []), [noQuota()({ logger: silentLogger })]);
  expect([driver.countsFiles!({ driver: 'none' }), driver.countsFiles!({ driver: 'image' })]).toEqual([
    false,
    true,
  ]);
});

it('takes a record that names no driver, or an unknown one, for one of the chosen', async () => {
  const calls: string[] = [];
  const driver = quotaByRecord(named('image', calls), [noQuota()({ logger: silentLogger })]);
  await driver.limits(SPEC, {});
  await driver.limits(SPEC, { driver: 'newer' });
  await driver.probe('/nowhere');
  expect(calls).toEqual(['image.limits', 'image.limits', 'image.probe']);
});
