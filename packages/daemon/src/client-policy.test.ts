import { describe, expect, it } from 'vitest';
import { bothPolicies, clientPolicy } from './client-policy.ts';
import { checkConfiguration } from './config.ts';

const peer = (uid: number) => ({ pid: 1, uid, gid: 0 });

describe('server.allowed_uids', () => {
  it('admits the listed, root and the own user, and names the others', () => {
    const policy = clientPolicy([1000, 1001], 500)!;
    expect([0, 500, 1000, 1001].map((uid) => policy(peer(uid)))).toEqual(Array(4).fill(undefined));
    expect(policy(peer(1002))).toBe('uid 1002 is not among server.allowed_uids');
    expect(policy(peer(0xffff_fffe))).toBe('uid 4294967294 is not among server.allowed_uids');
    expect(clientPolicy([], 0)!(peer(1))).toBe('uid 1 is not among server.allowed_uids');
    expect(clientPolicy(null)).toBeUndefined();
  });

  it('and what the assembler brings must both agree', () => {
    const odd = ({ uid }: { uid: number }): string | undefined => (uid % 2 === 1 ? 'odd' : undefined);
    const both = bothPolicies(clientPolicy([2, 3], 0), odd)!;
    expect([2, 3, 4].map((uid) => both(peer(uid)))).toEqual([
      undefined,
      'odd',
      'uid 4 is not among server.allowed_uids',
    ]);
    expect(bothPolicies(undefined, odd)).toBe(odd);
    expect(bothPolicies(undefined, undefined)).toBeUndefined();
  });

  it.each([
    ['root', 'server.allowed_uids: expected a list of integers from 0 to 4294967294 or null, found "root"'],
    [[-1], 'server.allowed_uids[0]: expected an integer from 0 to 4294967294, found -1'],
    [[1000, '1001'], 'server.allowed_uids[1]: expected an integer from 0 to 4294967294, found "1001"'],
    [[4294967295], 'server.allowed_uids[0]: expected an integer from 0 to 4294967294, found 4294967295'],
    [[1.5], 'server.allowed_uids[0]: expected an integer from 0 to 4294967294, found 1.5'],
  ])('refuses %j by name', (value, message) => {
    expect(() => checkConfiguration({ server: { allowed_uids: value } })).toThrow(message);
  });

  it('is nobody in particular by default', () => {
    expect(checkConfiguration({}).server.allowed_uids).toBeNull();
    expect(checkConfiguration({ server: { allowed_uids: [7] } }).server.allowed_uids).toEqual([7]);
  });
});
