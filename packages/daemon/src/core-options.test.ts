import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkConfiguration } from './config.ts';
import { networkPool, portPool, readEphemeralEnd } from './pools.ts';

const network = (given: object) => checkConfiguration({ network: given }).network;

describe('the pools (spec config.md 2 and 3)', () => {
  it.each([
    [{ pool_network: '10.1.0.0/20' }, '10.1.0.0/20'],
    [{ pool_start_address: '10.254.0.0', pool_size: 256 }, '10.254.0.0/22'],
    [{ pool_start_address: '10.254.0.0', pool_size: 100 }, '10.254.0.0/23'],
    [{ pool_start_address: '10.254.0.0', pool_size: 1 }, '10.254.0.0/30'],
    [{ pool_start_address: '10.254.0.0', pool_network: '10.1.0.0/20' }, '10.1.0.0/20'],
  ])('networks of %j', (given, expected) => expect(networkPool(network(given))).toBe(expected));

  it.each([
    [{}, 60_999, { first: 61_000, count: 4_001 }],
    [{}, 61_000, { first: 61_001, count: 4_000 }],
    [{ pool_start_port: 64_000 }, 60_999, { first: 64_000, count: 1_536 }],
    [{ pool_start_port: 20_000, pool_size: 2_000 }, 60_999, { first: 20_000, count: 2_000 }],
  ])('ports of %j', (given, ephemeralEnd, expected) =>
    expect(portPool(given, ephemeralEnd)).toEqual(expected),
  );

  it.each([
    ['32768\t60999\n', 60_999],
    ['1024 65535', 65_535],
    ['', 61_000],
    ['32768\tmany\n', 61_000],
    [undefined, 61_000],
  ])(
    'take the end of the ephemeral range from the kernel, which tells %j, else 61000 [config 2 port]',
    (told, end) => {
      const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-ports-'));
      try {
        const file = path.join(directory, 'ip_local_port_range');
        if (told !== undefined) fs.writeFileSync(file, told);
        expect(readEphemeralEnd(file)).toBe(end);
      } finally {
        fs.rmSync(directory, { recursive: true });
      }
    },
  );

  it('refuses too few ports', () => {
    expect(() => portPool({ pool_size: 999 }, 60_999)).toThrow(
      'Insufficient non-ephemeral ports available (expected >= 1000, got: 999)',
    );
  });
});

describe('the name servers of containers', () => {
  it('are addresses, and anything else is refused by name [linux-container 5.4]', () => {
    // a word that is no address would end up in every container's resolv.conf, where nobody reads the complaint
    expect(network({ dns_servers: ['192.0.2.1', '2001:db8::53'] }).dns_servers).toHaveLength(2);
    for (const server of ['dns.example', '192.0.2.1\nsearch evil', '', '192.0.2.256'])
      expect(() => network({ dns_servers: [server] }), server).toThrow(/network\.dns_servers\[0\]: expected/);
  });
});
