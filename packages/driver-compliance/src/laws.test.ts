import { type NetworkDriver, WardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { memoryNetworkSubject } from './fakes/subjects.ts';
import { answering, assertComplete, assertWardenError } from './laws.ts';
import { networkCompliance } from './network.ts';

describe('the law of errors', () => {
  const driver = {
    usage: async () => 1n,
    limits: () =>
      Promise.reject(new WardenError('UNSUPPORTED', 'limits: none', { fields: { operation: 'limits' } })),
  };

  it('tells the author which call did not fail, and by what it should have', async () => {
    await expect(assertWardenError(() => driver.usage(), ['UNSUPPORTED', 'INVALID_SPEC'])).rejects.toThrow(
      /^Missing expected rejection.*: .*driver\.usage\(\).* must fail, by UNSUPPORTED or INVALID_SPEC$/,
    );
  });

  it('takes an error of a code that is expected, and no other', async () => {
    await assertWardenError(() => driver.limits(), ['UNSUPPORTED']);
    await expect(assertWardenError(() => driver.limits(), ['INVALID_SPEC'])).rejects.toThrow(
      'code UNSUPPORTED, expected one of INVALID_SPEC: limits: none',
    );
  });
});

describe('the laws of what a driver has and answers', () => {
  const driver: NetworkDriver = Object.create({
    ...{ role: 'network', name: 'mine', probe: async () => ({ ok: true }), setup: async () => {} },
    supports: { link: false, portMapping: false, egressRules: false, bandwidth: false, closedInbound: false },
    ...{
      plan: () => ({}),
      inside: () => ({ interface: '' }),
      attach: async () => {},
      mapPort: async () => {},
    },
    ...{ allowEgress: async () => {}, setBandwidth: async () => {}, bandwidth: async () => undefined },
    ...{ restore: async () => {}, release: async () => {}, sweep: async () => [], close: async () => {} },
  });
  const changed = (change: object): NetworkDriver => Object.assign(Object.create(driver), change);

  it('takes a driver that has everything, and names what one lacks', () => {
    assertComplete('network', driver);
    const lacking = (change: object) => () => assertComplete('network', changed(change));
    expect(lacking({ plan: undefined })).toThrow('plan');
    expect(lacking({ plan: 7 })).toThrow('plan');
    expect(lacking({ list: 7 })).toThrow('list');
    expect(lacking({ supports: {} })).toThrow('supports.portMapping');
    expect(lacking({ supports: undefined })).toThrow('supports');
    expect(lacking({ name: '' })).toThrow('name');
  });

  it('refuses an answer that a daemon would refuse, and lets the others through', async () => {
    const checked = answering('network', driver);
    const spec = { id: '0123456789a', hostIp: '', containerIp: '', prefixLength: 30, mtu: 1500 };
    expect(checked.plan(spec)).toEqual({});
    await expect(checked.probe()).resolves.toEqual({ ok: true });
    expect(() => checked.inside(spec, {})).toThrow(
      'inside: it answered {"interface":""}, and the contract says { interface, address,',
    );
    await expect(checked.bandwidth(spec, {})).rejects.toThrow('bandwidth: it answered nothing, and the');
  });

  it('are held by the kits, also of a driver that says it has next to nothing', async () => {
    const tests = new Map<string, () => Promise<void> | void>();
    const collect = {
      describe: (_: string, body: () => void) => body(),
      it: (title: string, body: () => Promise<void> | void) => void tests.set(title, body),
    };
    networkCompliance(collect, 'mine', async () => ({
      ...(await memoryNetworkSubject()),
      driver,
      restart: async () => driver,
      inventory: async () => [],
    }));
    await tests.get('probes honestly')?.();
    await expect(tests.get('says what init configures, purely')?.()).rejects.toThrow('inside: it answered');
  });
});
