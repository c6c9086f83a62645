import { readlinkSync } from 'node:fs';
import { silentLogger } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { SPEC } from '../test/spec.ts';
import { nftablesNetwork, noNetwork } from './index.ts';

describe('noNetwork', () => {
  const driver = noNetwork()({ logger: silentLogger });

  it('has no link and makes nothing', async () => {
    expect(driver.supports.link).toBe(false);
    expect(await driver.probe()).toEqual({ ok: true });
    await driver.attach(SPEC, driver.plan(SPEC), 1);
    await driver.restore(SPEC, {}, { mappings: [], egress: [] });
    expect(driver.inside(SPEC, {})).toMatchObject({
      interface: '',
      address: '10.254.0.2',
      gateway: '10.254.0.1',
    });
    expect((await driver.bandwidth(SPEC, {})).inRate).toBe(4294967295n);
    expect(await driver.sweep(new Set())).toEqual([]);
    await driver.release(SPEC, {});
  });

  it('refuses what needs a link', async () => {
    const refusal = expect.objectContaining({ code: 'UNSUPPORTED' });
    await expect(driver.mapPort(SPEC, {}, { hostPort: 1, containerPort: 1 })).rejects.toEqual(refusal);
    await expect(driver.allowEgress(SPEC, {}, { protocol: 'tcp', log: false })).rejects.toEqual(refusal);
    await expect(driver.setBandwidth(SPEC, {}, { rate: 1n, burst: 1n })).rejects.toEqual(refusal);
  });
});

describe('nftablesNetwork', () => {
  it('refuses table names that are none', () => {
    for (const table of ['', '1a', 'a b', 'a;flush', 'x'.repeat(64)])
      expect(() => nftablesNetwork({ table })).toThrow(TypeError);
  });

  it('plans from the id and the network namespace that it is in alone', () => {
    const driver = nftablesNetwork({ table: 'warden' })({ logger: silentLogger });
    expect(driver.plan(SPEC)).toEqual({
      hostInterface: 'w-0123456789a-0',
      containerInterface: 'w-0123456789a-1',
      namespace: readlinkSync('/proc/self/ns/net'),
    });
  });
});

describe('options that cannot be meant', () => {
  it.each([
    [{}, 'not a table name: undefined'],
    [{ table: 'a b' }, 'not a table name: a b'],
    [{ table: 'warden', bandwidth: 'best' }, 'bandwidth is one of queue, ends, limit, not best'],
  ])('%j is refused', (options, message) => {
    expect(() => nftablesNetwork(options as never)).toThrow(new TypeError(message));
  });
});
