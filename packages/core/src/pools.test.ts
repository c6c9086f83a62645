import { describe, expect, it } from 'vitest';
import { NETWORK } from '../test/host.ts';
import { Pool } from './pool.ts';
import { Pools } from './pools.ts';

function pools(pool: string, releaseDelay = 0): Pools {
  const network = { ...NETWORK, pool, releaseDelay };
  return new Pools({ network, uids: { first: 10_000, count: 1 }, ports: { first: 61_000, count: 2 } });
}

/** Everything the pool has, in order. */
function all(pool: string): string[] {
  const found: string[] = [];
  const { networks } = pools(pool);
  const made = pools(pool);
  for (let i = 0; i < networks.size; i++) found.push(made.acquireNetwork(undefined).network);
  expect(() => made.acquireNetwork(undefined)).toThrow('Could not acquire network');
  return found;
}

describe('the network pool', () => {
  it.each([
    ['127.0.0.0/29', ['127.0.0.0', '127.0.0.4']],
    ['10.254.0.0/30', ['10.254.0.0']],
    ['10.254.0.0/31', []],
    ['10.254.0.0/32', []],
    ['10.254.0.247/28', ['10.254.0.244', '10.254.0.248', '10.254.0.252']],
  ])('cuts %s into %j [behaviour 13]', (pool, expected) => expect(all(pool)).toEqual(expected));

  it('ends with its network, also when it begins in the middle of it [behaviour 20 #57]', () => {
    const blocks = all('10.254.0.5/24');
    expect([blocks[0], blocks.at(-1), blocks.length]).toEqual(['10.254.0.4', '10.254.0.252', 63]);
  });

  it('names the masked address of what cannot be had, with pool, used and limit', () => {
    const made = pools('10.254.0.0/29');
    const block = made.acquireNetwork('10.254.0.6');
    expect([block.network, block.hostIp, block.containerIp]).toEqual([
      '10.254.0.4',
      '10.254.0.5',
      '10.254.0.6',
    ]);
    for (const [wanted, masked, code, fields] of [
      ['10.254.0.7', '10.254.0.4', 'POOL_EXHAUSTED', { pool: 'network', used: 1, limit: 2 }],
      ['1.1.1.1', '1.1.1.0', 'INVALID_SPEC', { operation: 'create', object: '1.1.1.1' }],
    ] as const)
      expect(() => made.acquireNetwork(wanted)).toThrow(
        expect.objectContaining({
          code,
          message: `Could not acquire network: ${masked}`,
          fields: expect.objectContaining(fields),
        }),
      );
    for (const wrong of ['1.2.3.256', '1.2.3.999', '256.0.0.4'])
      expect(() => made.acquireNetwork(wrong)).toThrow(`invalid address: ${wrong}`);
    // the original took such a text for 0.0.0.0
    for (const wrong of ['nowhere', '', '10.254.0', '10.254.0.4/30', ' 10.254.0.4', '::1'])
      expect(() => made.acquireNetwork(wrong)).toThrow(
        expect.objectContaining({
          code: 'INVALID_SPEC',
          message: `Could not acquire network: 0.0.0.0, as which "${wrong}" counts: it is no address`,
          fields: { operation: 'create', object: wrong },
        }),
      );
  });

  it('keeps a released block back for the delay', () => {
    const made = pools('10.254.0.0/30', 60);
    made.networks.release(made.acquireNetwork(undefined).base);
    expect(() => made.acquireNetwork(undefined)).toThrow('Could not acquire network');
    expect(() => made.acquireNetwork('10.254.0.0')).toThrow('Could not acquire network: 10.254.0.0');
  });

  it('may have a prefix of 12, and none of 11', () => {
    expect(pools('10.240.0.0/12').networks.size).toBe(2 ** 18);
    expect(() => pools('10.224.0.0/11')).toThrow('with a prefix of 12 to 32');
  });

  it.each(['10.254.0.0', '10.254.0.0/33', '10.254.0.0/8', '10.254.0.0/', 'x/24'])('refuses %s', (pool) => {
    expect(() => pools(pool)).toThrow('Invalid address/netmask (require: 1.2.3.4/5');
  });
});

describe('a pool', () => {
  let now = 0;
  const pool = (delayMs: number): Pool => new Pool({ first: 1, count: 2 }, { delayMs, now: () => now });
  const drained = (one: Pool): (number | undefined)[] => [one.acquire(), one.acquire(), one.acquire()];

  it('never hands out what is not its own, whoever gives that back', () => {
    const one = pool(0);
    // of a container of before, whose addresses the configuration does not name any more
    one.withdraw(7);
    one.release(7);
    one.putBack(7);
    expect([one.size, one.taken, one.has(7), one.take(7)]).toEqual([2, 0, false, false]);
    expect(drained(one)).toEqual([1, 2, undefined]);
  });

  it('keeps nothing back for longer because it is given back twice', () => {
    const one = pool(100);
    one.release(one.acquire()!);
    now += 60;
    one.release(1);
    now += 41;
    expect(one.take(1)).toBe(true);
  });

  it('tells whether there is one to be had now', () => {
    const one = pool(100);
    expect(one.hasFree).toBe(true);
    const both = [one.acquire()!, one.acquire()!];
    expect(one.hasFree).toBe(false);
    for (const entry of both) one.release(entry);
    expect([one.hasFree, one.taken, one.used]).toEqual([false, 0, 2]);
    now += 100;
    expect([one.hasFree, one.taken, one.used]).toEqual([true, 0, 0]);
  });

  it('grows behind what is free, and keeps what is taken', () => {
    const one = pool(0);
    one.acquire();
    one.extend({ first: 1, count: 3 });
    expect([one.size, drained(one)]).toEqual([3, [2, 3, undefined]]);
  });

  it('that was larger gives nobody what somebody still had of that, before it has come back', () => {
    const one = pool(0);
    for (const entry of [3, 4]) one.withdraw(entry);
    one.release(4);
    one.extend({ first: 1, count: 4 });
    expect([one.size, one.taken, drained(one)]).toEqual([4, 1, [1, 2, 4]]);
    one.release(3);
    expect(drained(one)).toEqual([3, undefined, undefined]);
  });

  it('has something at once when it grows while all that is free waits for its delay', () => {
    const one = pool(100);
    const both = [one.acquire()!, one.acquire()!];
    for (const entry of both) one.release(entry);
    one.extend({ first: 1, count: 4 });
    expect([one.hasFree, drained(one)]).toEqual([true, [3, 4, undefined]]);
    now += 100;
    expect(drained(one)).toEqual([1, 2, undefined]);
  });
});

it('networks, uids and ports grow together, once all of the networks are in the new pool', () => {
  const made = pools('10.254.0.0/30');
  const network = { ...NETWORK, pool: '10.254.0.0/29' };
  const larger = { network, uids: { first: 10_000, count: 2 }, ports: { first: 61_000, count: 3 } };
  expect(() => made.extension({ ...larger, network: { ...network, pool: '10.254.0.4/30' } })).toThrow(
    'a pool can only grow',
  );
  const grow = made.extension(larger);
  expect([made.networks.size, made.uids.size, made.ports.size]).toEqual([1, 1, 2]);
  grow();
  expect([made.networks.size, made.uids.size, made.ports.size]).toEqual([2, 2, 3]);
});
