/** Texts of the kernel, and others: numbers by key; the mount table of any host. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { detectHierarchies, V1_CONTROLLERS } from './detect.ts';
import { parseKeyed, pickKeyed } from './kernel-file.ts';

const numRuns = 200 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);

let directory: string;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-mounts-'));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

describe('control files (property)', () => {
  it('lines `key number` are kept exactly, others are left out', () => {
    const line = fc.oneof(
      fc
        .tuple(fc.stringMatching(/^[a-z_]{1,6}$/), fc.bigInt(0n, (1n << 64n) - 1n))
        .map(([key, value]) => `${key} ${value}`),
      fc.string({ maxLength: 12 }),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
        const found = parseKeyed(lines.join('\n'));
        const isWanted = (key: string): boolean => /^[a-z_]{2,6}$/.test(key);
        const picked = pickKeyed(lines.join('\n'), new Set([...found.keys()].filter(isWanted)));
        expect(new Map(Object.entries(picked))).toEqual(new Map([...found].filter(([key]) => isWanted(key))));
        const expected = new Map<string, bigint>();
        for (const one of lines.join('\n').split('\n')) {
          const [, key, value] = /^([^ ]+) ([0-9]+)$/.exec(one) ?? [];
          if (key !== undefined) expected.set(key, BigInt(value!));
        }
        expect(found).toEqual(expected);
      }),
      { numRuns, examples: [[['low 0', 'oom_kill 18446744073709551615', 'x -1', ' 1', 'y 1 2', 'z ٣']]] },
    );
  });
});

describe('the mount table (property)', () => {
  it('of any host names hierarchies that stand in it, or none', () => {
    const field = fc.oneof(
      fc.constantFrom(
        'cgroup',
        'cgroup2',
        'memory',
        'cpu,cpuacct',
        '-',
        '/',
        '/sys/fs/cgroup/memory',
        '/a\\040b',
        '..',
        '\\',
        '\\400',
        'rw',
      ),
      fc.string({ maxLength: 8 }),
    );
    const line = fc.oneof(
      fc.array(field, { maxLength: 12 }).map((fields) => fields.join(' ')),
      fc
        .tuple(field, field, field)
        .map(([root, target, options]) => `36 25 0:31 ${root} ${target} rw - cgroup cgroup ${options}`),
      field.map((target) => `36 25 0:31 / ${target} rw - cgroup2 cgroup2 rw`),
    );
    const group = fc.oneof(fc.string({ maxLength: 20 }), fc.constant('4:memory:/x/instance-0123456789a/y'));
    const mountInfo = path.join(directory, 'mountinfo');
    const ownGroups = path.join(directory, 'cgroup');
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), fc.array(group, { maxLength: 3 }), (lines, groups) => {
        fs.writeFileSync(mountInfo, lines.join('\n'));
        fs.writeFileSync(ownGroups, groups.join('\n'));
        const found = detectHierarchies({ mountInfo, ownGroups });
        if (found === undefined) return;
        if (found.version === 2) expect(lines.join('\n')).toContain('cgroup2');
        else for (const name of found.mounts.keys()) expect(V1_CONTROLLERS).toContain(name);
      }),
      { numRuns },
    );
  });
});
