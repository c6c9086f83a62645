import { describe, expect, it } from 'vitest';
import { parseAddress, parseRange } from './ipv4-address.ts';
import { lifetimeOf } from './learned-addresses.ts';
import { isAbout, mayOpen } from './name-policy.ts';
import { askNameServers, hostNameServers, parseNameServer } from './name-servers.ts';

const rule = (domain: string, network?: string): Parameters<typeof isAbout>[0] => ({
  domain,
  network: network === undefined ? undefined : parseRange(network),
});
const FORBIDDEN = {
  pool: parseRange('10.254.0.0/22'),
  denyNetworks: [parseRange('203.0.113.64/26')],
  host: new Set([parseAddress('203.0.113.1')]),
};

describe('a rule about a name', () => {
  it.each([
    ['a.test', 'a.test', true],
    ['a.test', 'b.a.test', false],
    ['a.test', 'xa.test', false],
    ['*.a.test', 'b.a.test', true],
    ['*.a.test', 'c.b.a.test', true],
    ['*.a.test', 'a.test', false],
    ['*.a.test', '.a.test', false],
    ['*.a.test', 'xa.test', false],
    ['*.a.test', 'b\\046.a.test', false],
    ['*.a.test', 'a.test.evil', false],
  ])('%s and the name %s: %s', (domain, name, expected) => {
    expect(isAbout(rule(domain), name)).toBe(expected);
  });

  it.each([
    '0.0.0.0',
    '127.0.0.1',
    '127.255.255.255',
    '169.254.169.254',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    '224.0.0.1',
    '255.255.255.255',
    '10.254.0.5',
    '10.254.3.255',
    '203.0.113.100',
    '203.0.113.1',
  ])('never opens %s, also not with a network that covers it [SECURITY N12]', (address) => {
    expect(mayOpen(rule('a.test'), parseAddress(address), FORBIDDEN)).toBe(false);
    expect(mayOpen(rule('a.test', '0.0.0.0/0'), parseAddress(address), FORBIDDEN)).toBe(false);
    expect(mayOpen(rule('a.test', address), parseAddress(address), FORBIDDEN)).toBe(false);
  });

  it.each(['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', '198.18.0.1'])(
    'opens %s only with a network it lies in',
    (address) => {
      expect(mayOpen(rule('a.test'), parseAddress(address), FORBIDDEN)).toBe(false);
      expect(mayOpen(rule('a.test', `${address}/24`), parseAddress(address), FORBIDDEN)).toBe(true);
      expect(mayOpen(rule('a.test', '198.51.100.0/24'), parseAddress(address), FORBIDDEN)).toBe(false);
    },
  );

  it('opens public addresses', () => {
    for (const address of ['198.51.100.1', '8.8.8.8', '172.32.0.1', '11.0.0.0', '203.0.113.2'])
      expect(mayOpen(rule('a.test'), parseAddress(address), FORBIDDEN)).toBe(true);
  });
});

describe('the time of what was learned', () => {
  it('is that of the answer, within bounds, and a little more', () => {
    const bounds = { least: 60, most: 3_600 };
    expect([0, 59, 60, 300, 3_600, 0x7fff_ffff].map((ttl) => lifetimeOf(ttl, bounds))).toEqual([
      70_000, 70_000, 70_000, 310_000, 3_610_000, 3_610_000,
    ]);
  });
});

describe('name servers', () => {
  it('are addresses, with or without a port', () => {
    expect(parseNameServer('192.0.2.1')).toEqual({ address: '192.0.2.1', port: 53 });
    expect(parseNameServer('192.0.2.1:5353')).toEqual({ address: '192.0.2.1', port: 5353 });
    expect(parseNameServer('2001:db8::1')).toEqual({ address: '2001:db8::1', port: 53 });
    expect(parseNameServer('[2001:db8::1]:5353')).toEqual({ address: '2001:db8::1', port: 5353 });
    for (const wrong of ['', 'dns.test', '192.0.2.1:0', '192.0.2.1:65536', '192.0.2.1:x', ':53'])
      expect(() => parseNameServer(wrong), wrong).toThrow(/not the address of a name server/);
  });

  it('that cannot be reached, refuse, or are none at all make the question fail, and nothing else', async () => {
    const nobody = [
      { address: '2001:db8::1', port: 53 },
      { address: '127.0.0.1', port: 1 },
    ];
    for (const servers of [nobody, []])
      await expect(askNameServers('a.test', servers)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('of the host are those of its file that are addresses, also on its loopback', () => {
    const text =
      '# x\nnameserver 127.0.0.53\n  nameserver\t192.0.2.1 # a\nnameserver name\noptions edns0\nnameserver fe80::1%eth0\n';
    expect(hostNameServers(text).map(({ address }) => address)).toEqual([
      '127.0.0.53',
      '192.0.2.1',
      'fe80::1%eth0',
    ]);
  });
});
