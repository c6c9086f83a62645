import { WardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { SPEC } from '../test/spec.ts';
import { linkDisconnection, linkEquipment } from './container-link.ts';
import { deleteLink, takeDown } from './rtnetlink.ts';

const LINK = { index: 9 } as Parameters<typeof linkDisconnection>[1];

/** What is sent next, or at the end whether the link was there, when the kernel refuses one send after the other so. */
function disconnect(...refusals: readonly string[]): unknown {
  const steps = linkDisconnection(SPEC, LINK);
  let step = steps.next();
  for (const errno of refusals) {
    if (step.done === true) throw new TypeError(`nothing is sent that could be refused by ${errno}`);
    step = steps.throw(new WardenError('NATIVE_FAILED', errno, { fields: { errno } }));
  }
  return step.value;
}

describe('a link that is disconnected [drivers network release]', () => {
  it('was not there when the kernel knows none, at whichever send it says so: its namespace may end in between', () => {
    expect(disconnect('ENODEV')).toBe(false);
    expect(disconnect('EADDRNOTAVAIL', 'ENODEV')).toBe(false);
  });

  it('goes down without its address, too', () => {
    expect(disconnect('EADDRNOTAVAIL')).toEqual([takeDown(LINK.index)]);
  });

  it('tells any other refusal', () => {
    expect(() => disconnect('EPERM')).toThrow('EPERM');
    expect(() => disconnect('EADDRNOTAVAIL', 'EPERM')).toThrow('EPERM');
  });
});

describe('a link that is equipped [drivers network attach]', () => {
  it('is taken away when the kernel refuses what it needs', () => {
    const steps = linkEquipment(SPEC, { alias: 'warden', hasIpv6: false }, LINK);
    steps.next();
    const refusal = new WardenError('NATIVE_FAILED', 'EEXIST', { fields: { errno: 'EEXIST' } });
    expect(steps.throw(refusal).value).toEqual([deleteLink(LINK.index)]);
    expect(() => steps.next()).toThrow(refusal);
  });
});
