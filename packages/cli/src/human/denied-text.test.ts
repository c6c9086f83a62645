import { describe, expect, it } from 'vitest';
import { deniedText } from './denied-text.ts';

const EVENT = { type: 'network-denied', handle: 'h', time: 0, lost: 0 } as const;

describe('a denial in words', () => {
  it.each([
    [{ protocol: 'tcp', destination: '192.0.2.1', port: 443, count: 3 }, 'tcp 192.0.2.1:443 (3 times)'],
    [{ protocol: 'icmp', destination: '192.0.2.1', count: 1 }, 'icmp 192.0.2.1'],
    [{ protocol: 'dns', name: 'a.example', count: 1 }, 'dns a.example'],
    [{ protocol: 'any', count: 1 }, '1 packet: this host only counts them'],
    [{ protocol: 'any', count: 7 }, '7 packets: this host only counts them'],
    [
      { protocol: 'dns', name: 'a.example', destination: '127.0.0.1', count: 2 },
      'dns a.example, which leads to 127.0.0.1 (2 times)',
    ],
    [{ protocol: 'dns', name: 'a\x1b[2J', count: 1 }, 'dns a\\x1b[2J'],
  ] as const)('%j', (what, expected) => {
    expect(deniedText({ ...EVENT, ...what })).toBe(expected);
  });
});
