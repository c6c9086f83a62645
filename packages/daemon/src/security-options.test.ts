import { describe, expect, it } from 'vitest';
import { checkConfiguration } from './config.ts';
import { capabilityMask, securityOptions } from './security-options.ts';

describe('the section security', () => {
  it('names capabilities by their numbers in linux/capability.h', () => {
    const numbers = {
      chown: 0,
      kill: 5,
      net_raw: 13,
      sys_admin: 21,
      mknod: 27,
      setfcap: 31,
      audit_read: 37,
      perfmon: 38,
      bpf: 39,
      checkpoint_restore: 40,
    };
    for (const [name, number] of Object.entries(numbers))
      expect(capabilityMask([name]), name).toBe(1n << BigInt(number));
    expect(capabilityMask(['chown', 'CAP_KILL', 'cap_net_raw', 'chown'])).toBe(0b10_0000_0010_0001n);
    expect(capabilityMask([])).toBe(0n);
  });

  it('is handed on as it is written', () => {
    const uids = { first: 10_000, count: 16 };
    const of = (given: object): unknown =>
      securityOptions(checkConfiguration({ security: given }).security, uids);
    for (const value of [true, false])
      expect(of({ no_new_privileges: value, seccomp: value })).toMatchObject({
        noNewPrivileges: value,
        seccomp: value,
      });
    for (const value of ['auto', 'never'])
      expect(of({ core_dumps: value })).toMatchObject({ coreDumps: value });
    expect(of({ user_namespace: false })).toMatchObject({ subordinateIds: undefined });
    expect(of({ subordinate_ids: 700_000_000 })).toMatchObject({ subordinateIds: 700_000_000 });
  });
});
