import { describe, expect, it } from 'vitest';
import { Pools } from './pools.ts';

function pools(pool: string, releaseDelay = 0): Pools {
  const network = {
    pool,
    releaseDelay,
    mtu: 1500,
    allowNetworks: [],
    denyNetworks: [],
    allowHostAccess: false,
    dnsServers: [],
  };
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
    expect(() => made.acquireNetwork('1.2.3.999')).toThrow('invalid address');
  });

  it('keeps a released block back for the delay', () => {
    const made = pools('10.254.0.0/30', 60);
    made.networks.release(made.acquireNetwork(undefined).base);
    expect(() => made.acquireNetwork(undefined)).toThrow('Could not acquire network');
    expect(() => made.acquireNetwork('10.254.0.0')).toThrow('Could not acquire network: 10.254.0.0');
  });

  it.each(['10.254.0.0', '10.254.0.0/33', '10.254.0.0/8', '10.254.0.0/', 'x/24'])('refuses %s', (pool) => {
    expect(() => pools(pool)).toThrow('Invalid address/netmask (require: 1.2.3.4/5');
  });
});
