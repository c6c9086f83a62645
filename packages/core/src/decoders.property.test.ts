/** Records, networks, ports and failpoints as anybody may write them: understood, or the documented error. */
import { isWardenError, type NetOutSpec, NO_FAILPOINTS } from '@warden/interface';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { failpoints } from './failpoint.ts';
import { egressRule } from './net.ts';
import { formatAddress, parseAddress } from './pools.ts';
import { type ContainerRecord, parseRecord, serializeRecord } from './record.ts';

const numRuns = 300 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);

function isRefused(action: () => unknown): boolean {
  try {
    action();
    return false;
  } catch (error) {
    if (!isWardenError(error, 'INVALID_SPEC')) throw error;
    return true;
  }
}

const address = fc.integer({ min: 0, max: 0xffff_ffff });
const port = fc.integer({ min: 1, max: 65_535 });
const big = fc.bigInt(0n, (1n << 64n) - 1n);
const text = fc.string({ unit: 'binary', maxLength: 20 });
const id = fc.stringMatching(/^[0-9a-v]{11}$/);
const state = fc.dictionary(fc.string({ maxLength: 5 }), fc.oneof(text, fc.nat()), {
  maxKeys: 3,
}) as fc.Arbitrary<never>;
const rule = fc.record(
  {
    protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'icmp' as const, 'all' as const),
    log: fc.boolean(),
    network: fc
      .tuple(address, address)
      .map(([a, b]) => ({ first: formatAddress(Math.min(a, b)), last: formatAddress(Math.max(a, b)) })),
    ports: fc.tuple(port, port).map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) })),
    icmpType: fc.nat({ max: 255 }),
    icmpCode: fc.nat({ max: 255 }),
  },
  { requiredKeys: ['protocol', 'log'] },
);
const record: fc.Arbitrary<ContainerRecord> = fc.record({
  id,
  handle: text,
  network: address,
  uid: fc.nat(),
  rootfs: text,
  graceTime: fc.option(fc.nat(), { nil: undefined }),
  drivers: fc.record({ filesystem: state, network: state, cgroup: state, quota: state }),
  order: fc.nat(),
  state: fc.constantFrom('born' as const, 'active' as const, 'stopped' as const),
  unsafe: fc.array(text, { maxLength: 3 }),
  isDestroying: fc.boolean(),
  events: fc.array(text, { maxLength: 3 }).map((events) => new Set(events)),
  jobs: fc
    .array(
      fc.tuple(
        fc.nat(),
        fc.record({
          discardOutput: fc.boolean(),
          logTag: fc.option(text, { nil: undefined }),
          hasSockets: fc.boolean(),
          exitStatus: fc.option(fc.nat({ max: 255 }), { nil: undefined }),
        }),
      ),
      { maxLength: 3 },
    )
    // in the order in which an object has its keys
    .map((jobs) => new Map(jobs.sort(([a], [b]) => a - b))),
  ports: fc.array(port, { maxLength: 3 }).map((ports) => new Set(ports)),
  mappings: fc.array(fc.record({ hostPort: port, containerPort: port }), { maxLength: 3 }),
  egress: fc.array(rule, { maxLength: 3 }),
  memoryLimit: fc.option(big, { nil: undefined }),
  cpuShares: fc.option(big, { nil: undefined }),
  outOfMemoryKills: fc.option(big, { nil: undefined }),
  bandwidth: fc.option(fc.record({ rate: big, burst: big }), { nil: undefined }),
  properties: fc.dictionary(fc.oneof(text, fc.constant('__proto__')), text, { maxKeys: 3 }),
  isPaused: fc.boolean(),
});

const WRONG: readonly unknown[] = [
  null,
  -1,
  1.5,
  1e300,
  '',
  'x',
  '1.2.3.4x',
  true,
  [],
  {},
  [[]],
  { first: 1 },
  '99999999999999999999999',
];

/** Every place in a value, as the keys that lead to it. */
function places(value: unknown, above: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [[...above]];
  return [[...above], ...Object.entries(value).flatMap(([key, inner]) => places(inner, [...above, key]))];
}

/** `value` with what stands at the place replaced, or without it. */
function changed(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>;
  if (rest.length === 0 && by === undefined) delete copy[key];
  else copy[key] = changed(copy[key], rest, by);
  return copy;
}

/** What the rest of the daemon relies on. */
function checkRecord(found: ContainerRecord): void {
  for (const one of found.jobs.keys()) expect(Number.isSafeInteger(one)).toBe(true);
  for (const one of found.unsafe) expect(typeof one).toBe('string');
  for (const { network, ports, icmpType, icmpCode } of found.egress) {
    if (network !== undefined)
      expect(parseAddress(network.first)).toBeLessThanOrEqual(parseAddress(network.last)!);
    if (ports !== undefined) expect(ports.first).toBeLessThanOrEqual(ports.last);
    for (const byte of [icmpType, icmpCode]) if (byte !== undefined) expect(byte).toBeLessThanOrEqual(255);
  }
}

/** Of a stored record: where, and what stood there that once got through. */
const KNOWN: readonly [string[], unknown][] = [
  [['resources', 'net_out'], [{ protocol: 'tcp', log: false, network: { first: 7, last: '1.2.3.4' } }]],
  [
    ['resources', 'net_out'],
    [{ protocol: 'tcp', log: false, network: { first: '2.0.0.0', last: '1.0.0.0' } }],
  ],
  [['resources', 'net_out'], [{ protocol: 'tcp', log: false, ports: { first: 9, last: 99_999 } }]],
  [['resources', 'net_out'], [{ protocol: 'icmp', log: false, icmpType: 256 }]],
  [['warden', 'unsafe'], 'fuse'],
  [['jobs'], { one: { discard_output: false, log_tag: null, sockets: false } }],
];

describe('records (property)', () => {
  it('come back as they were written', () => {
    fc.assert(
      fc.property(record, (one) => {
        expect(parseRecord(serializeRecord(one))).toEqual(one);
      }),
      { numRuns },
    );
  });

  it('with a wrong value anywhere are refused, or still whole', () => {
    const check = (stored: unknown, place: readonly string[], by: unknown): void => {
      const { checksum: _gone, ...unsealed } = changed(stored, place, by) as Record<string, unknown>;
      let found: ContainerRecord | undefined;
      if (!isRefused(() => (found = parseRecord(JSON.stringify(unsealed))))) checkRecord(found!);
    };
    fc.assert(
      fc.property(record, fc.nat(), fc.constantFrom(undefined, ...WRONG), (one, at, by) => {
        const stored: unknown = JSON.parse(serializeRecord(one));
        const all = places(stored).filter((place) => place.length > 0);
        check(stored, all[at % all.length]!, by);
      }),
      { numRuns: numRuns * 3 },
    );
    const stored = JSON.parse(serializeRecord(fc.sample(record, { seed: 1, numRuns: 1 })[0]!));
    for (const [place, by] of KNOWN) check(stored, place, by);
  });

  it('of any text are refused', () => {
    const json = fc.oneof(fc.string({ maxLength: 50 }), fc.json());
    fc.assert(
      fc.property(json, (one) => {
        expect(isRefused(() => parseRecord(one))).toBe(true);
      }),
      { numRuns, examples: [['null'], ['[]'], ['{"warden":{"version":2}}'], ['['.repeat(100_000)]] },
    );
  });
});

describe('what clients write (property)', () => {
  it('an address is a dotted quad or eight hexadecimal digits', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ maxLength: 16 }),
          address.map(formatAddress),
          fc.stringMatching(/^[0-9a-fA-F.]{7,9}$/),
        ),
        (one) => {
          const found = parseAddress(one);
          if (found === undefined) return;
          expect(found).toBeGreaterThanOrEqual(0);
          expect(found).toBeLessThanOrEqual(0xffff_ffff);
          expect(parseAddress(formatAddress(found))).toBe(found);
        },
      ),
      { numRuns },
    );
  });

  it('an egress rule is made of numbers in range, or refused [behaviour 5 NetOut]', () => {
    const part = fc.constantFrom(
      '1.2.3.4',
      '0.0.0.0',
      '255.255.255.255',
      '/',
      '-',
      ':',
      '0',
      '8',
      '33',
      '65535',
      '65536',
      ' ',
      '; flush ruleset',
      '\n',
      '٣',
      '-j ACCEPT',
    );
    const words = fc.array(part, { maxLength: 5 }).map((parts) => parts.join(''));
    const number = fc.oneof(fc.integer({ min: -2, max: 70_000 }), fc.double());
    const spec = fc.record(
      {
        network: fc.oneof(words, fc.string({ maxLength: 20 })),
        port: number,
        portRange: fc.oneof(words, fc.string({ maxLength: 12 })),
        protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'icmp' as const, 'all' as const),
        icmpType: number,
        icmpCode: number,
        log: fc.boolean(),
      },
      { requiredKeys: [] },
    ) as fc.Arbitrary<NetOutSpec>;
    fc.assert(
      fc.property(spec, (one) => {
        if (isRefused(() => egressRule(one))) return;
        const { network, ports, icmpType, icmpCode } = egressRule(one);
        if (network !== undefined) {
          expect(network.first).toMatch(/^\d{1,3}(\.\d{1,3}){3}$/);
          expect(parseAddress(network.first)).toBeLessThanOrEqual(parseAddress(network.last)!);
        }
        if (ports !== undefined) {
          for (const end of [ports.first, ports.last])
            expect(Number.isInteger(end) && end >= 1 && end <= 65_535).toBe(true);
          expect(ports.first).toBeLessThanOrEqual(ports.last);
        }
        for (const byte of [icmpType, icmpCode])
          if (byte !== undefined) expect(Number.isInteger(byte) && byte >= 0 && byte <= 255).toBe(true);
      }),
      {
        numRuns: numRuns * 3,
        examples: [
          [{ portRange: '1:' }],
          [{ portRange: ':5' }],
          [{ portRange: '9:1' }],
          [{ network: '1.2.3.4/33' }],
          [{ network: '1.2.3.4-1.2.3.3' }],
        ],
      },
    );
  });

  it('failpoints are named ones with terms of the grammar, or refused', () => {
    const part = fc.constantFrom(
      'a.b',
      'c.',
      'c.d',
      '=',
      'off',
      'error',
      'kill',
      'delay(',
      'delay(0)',
      ')',
      '->',
      '*',
      '2*',
      ',',
      ' ',
      '700000',
      '@',
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')),
        (one) => {
          if (one.startsWith('@')) return; // a file's name
          let found = NO_FAILPOINTS;
          if (!isRefused(() => (found = failpoints(one, ['a.b', 'c.']))))
            expect(found.forProgram('c.') ?? 'c.').toContain('c.');
        },
      ),
      { numRuns, examples: [['a.b=off->2*delay(0)->off'], ['=off'], ['2*=off'], ['a.b=']] },
    );
  });
});
