import { describe, expect, it } from 'vitest';
import { checkConfiguration } from './config.ts';
import { diagnose } from './doctor.ts';
import { adviceWithoutRights, canTry, LOOK_AS_ROOT } from './trial-rights.ts';

describe('the rights to try what a host can do [operations health]', () => {
  it('are those to make namespaces, links and rules, whoever has them', () => {
    expect(canTry('Name:\tnode\nCapEff:\t000001ffffffffff\n')).toBe(true);
    expect(canTry('CapEff:\t0000000000201000\n')).toBe(true);
    for (const held of ['0000000000000000', '0000000000200000', '0000000000001000', '00000000a80425fb'])
      expect(canTry(`CapEff:\t${held}\n`), held).toBe(false);
  });

  it('are what is missing where something is not permitted, and not a module of the kernel', () => {
    const denied = 'network namespace: netlink-open new namespace: Operation not permitted (EPERM)';
    expect(adviceWithoutRights(denied, false)).toBe(LOOK_AS_ROOT);
    expect(adviceWithoutRights("EACCES: permission denied, mkdtemp '/x'", false)).toBe(LOOK_AS_ROOT);
    expect(adviceWithoutRights(denied, true)).toContain('something confines this process');
  });

  it('have nothing to do with other reasons', () => {
    for (const hasRights of [true, false])
      expect(adviceWithoutRights('no such device (ENODEV)', hasRights)).toBeUndefined();
  });

  it('are asked for before a kernel is blamed', async () => {
    const { host } = await diagnose(checkConfiguration({}), {}, false);
    const tried = host.filter(({ subject }) => /^(bandwidth|egress|packets)/.test(subject));
    expect(tried).toHaveLength(5);
    for (const { ok, found, advice } of tried)
      expect([ok, found, advice]).toEqual([false, expect.stringMatching(/^not looked at: /), LOOK_AS_ROOT]);
  });
});
