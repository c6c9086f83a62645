import type { NetOutSpec } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { egressText, parseEgress } from './egress-text.ts';

describe('an egress rule as text', () => {
  it.each<[string, NetOutSpec, string?]>([
    ['192.0.2.1', { protocol: 'tcp', network: '192.0.2.1' }, 'tcp:192.0.2.1'],
    ['tcp:192.0.2.0/24:443', { protocol: 'tcp', network: '192.0.2.0/24', port: 443 }],
    [
      '192.0.2.1-192.0.2.9:80-90',
      { protocol: 'tcp', network: '192.0.2.1-192.0.2.9', portRange: '80:90' },
      'tcp:192.0.2.1-192.0.2.9:80-90',
    ],
    ['udp:192.0.2.53:53', { protocol: 'udp', network: '192.0.2.53', port: 53 }],
    ['any:8080', { protocol: 'tcp', port: 8080 }, 'tcp:any:8080'],
    ['tcp:registry.example.org:443', { protocol: 'tcp', domain: 'registry.example.org', port: 443 }],
    ['*.example.org', { protocol: 'tcp', domain: '*.example.org' }, 'tcp:*.example.org'],
    [
      'tcp:db.example@10.20.0.0/16:5432',
      { protocol: 'tcp', domain: 'db.example', network: '10.20.0.0/16', port: 5432 },
    ],
    ['icmp:192.0.2.1:8/0', { protocol: 'icmp', network: '192.0.2.1', icmpType: 8, icmpCode: 0 }],
    ['icmp:192.0.2.1:8', { protocol: 'icmp', network: '192.0.2.1', icmpType: 8 }],
    ['any', { protocol: 'tcp', network: '0.0.0.0/0' }, 'tcp:any'],
    ['all:any', { protocol: 'all', network: '0.0.0.0/0' }],
    ['all:0.0.0.0/0', { protocol: 'all', network: '0.0.0.0/0' }, 'all:any'],
    ['tcp:0.0.0.0/0:80', { protocol: 'tcp', network: '0.0.0.0/0', port: 80 }],
    ['icmp:any', { protocol: 'icmp', network: '0.0.0.0/0' }],
    ['icmp:any:8/0', { protocol: 'icmp', network: '0.0.0.0/0', icmpType: 8, icmpCode: 0 }],
  ])('%s', (text, spec, again = text) => {
    expect(parseEgress(text)).toEqual(spec);
    expect(egressText(spec)).toBe(again);
    expect(parseEgress(egressText(spec), true)).toEqual({ ...spec, log: true });
  });

  it.each([
    ['', 'is no egress rule'],
    ['sctp:192.0.2.1:1', 'is no egress rule'],
    ['192.0.2.1:', 'is no egress rule'],
    [
      '192.0.2.1:http',
      "'192.0.2.1:http': 'http' is no port: ports are whole numbers from 1 to 65535; write ",
    ],
    ['sctp:192.0.2.1', "'sctp:192.0.2.1' is no egress rule; write "],
    ['any:0', "'any:0': '0' is no port: ports are whole numbers from 1 to 65535"],
    ['any:65536', "'65536' is no port: "],
    ['any:-80', "'-80' is no range of ports: "],
    ...['80-80', '90-80', '1-65536', '0-80', '80-', '1-2-3', '80/90'].map((ports) => [
      `192.0.2.1:${ports}`,
      `'${ports}' is no range of ports: write FIRST-LAST, two whole numbers from 1 to 65535, the first less than the last`,
    ]),
    ['icmp:192.0.2.1:8-9', 'of ICMP there are TYPE and TYPE/CODE'],
    ['a\x1b[2J:b\x1b', "'a\\x1b[2J:b\\x1b': 'b\\x1b' is no port: "],
  ])('refuses %j', (text, message) => {
    expect(() => parseEgress(text)).toThrow(message);
  });
});
