/**
 * The kits bite: each seeded fault is caught, and the driver without it passes. A kit that lost its bite
 * fails here. `pnpm run prove-kit` prints the table.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  copyFilesystem,
  memoryCgroupSubject,
  memoryInitSubject,
  memoryNetworkSubject,
  memoryQuotaSubject,
} from '@warden/driver-compliance';
import { bind } from '@warden/fs-bind';
import { overlayfs } from '@warden/fs-overlayfs';
import { silentLogger } from '@warden/interface';
import { sizedImage } from '@warden/quota';
import { describeWith } from '@warden/test-harness';
import { afterAll, describe, expect, it } from 'vitest';
import { CGROUP_FAULTS } from './faults/cgroup.ts';
import { type Fault, faulty, KITS, type Subjects } from './faults/fault.ts';
import { FILESYSTEM_FAULTS } from './faults/filesystem.ts';
import { INIT_FAULTS } from './faults/init.ts';
import { NETWORK_FAULTS } from './faults/network.ts';
import { QUOTA_FAULTS } from './faults/quota.ts';
import { cgroupSubject } from './subjects/cgroup.ts';
import { filesystemSubject } from './subjects/filesystem.ts';
import { initSubject } from './subjects/init.ts';
import { networkSubject } from './subjects/network.ts';
import { quotaSubject } from './subjects/quota.ts';

const REPORT = path.resolve(import.meta.dirname, '../../../reports/prove-kit.json');

/** Who waits longer waits for ever; what runs in memory takes milliseconds. */
const DEADLINE_MS = { real: 240_000, filesystem: 60_000, memory: 5_000 };

/** For all tests of a kit together, on a busy machine. */
const WHOLE_KIT_MS = 600_000;

interface Row {
  readonly contract: string;
  readonly fault: string;
  readonly caughtBy: string;
}

interface KitTest {
  readonly title: string;
  body(): Promise<void> | void;
}

const rows: Row[] = [];

afterAll(() => {
  fs.mkdirSync(path.dirname(REPORT), { recursive: true });
  fs.writeFileSync(REPORT, JSON.stringify(rows, null, 2));
});

function testsOf<C extends keyof Subjects>(contract: C, make: () => Promise<Subjects[C]>): KitTest[] {
  const tests: KitTest[] = [];
  const collect = {
    describe: (_name: string, body: () => void): void => body(),
    it: (title: string, body: KitTest['body']): void => void tests.push({ title, body }),
  };
  (KITS[contract] as (test: typeof collect, name: string, make: () => Promise<Subjects[C]>) => void)(
    collect,
    'under proof',
    make,
  );
  return tests;
}

/** The first test that fails, or that does not end. */
async function firstFailure(tests: readonly KitTest[], deadlineMs: number): Promise<string | undefined> {
  for (const { title, body } of tests) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not ended after ${deadlineMs} ms`)), deadlineMs);
    });
    try {
      await Promise.race([body(), late]);
    } catch (error) {
      return `${title}: ${String((error as Error).message).split('\n')[0]}`;
    } finally {
      clearTimeout(timer);
    }
  }
  return undefined;
}

function prove<C extends keyof Subjects>(
  contract: C,
  make: () => Promise<Subjects[C]>,
  faults: readonly Fault<C>[],
): void {
  const deadline = contract === 'filesystem' ? DEADLINE_MS.filesystem : DEADLINE_MS.memory;
  describe(`the ${contract} kit`, () => {
    it('passes a driver without a fault', { timeout: WHOLE_KIT_MS }, async () => {
      const named = new Set(faults.map(({ by }) => by));
      const tests = testsOf(contract, make).filter(({ title }) => named.has(undefined) || named.has(title));
      expect(tests.length).toBeGreaterThan(0);
      // however busy the machine is: nothing here waits for ever
      expect(await firstFailure(tests, DEADLINE_MS.filesystem)).toBeUndefined();
    });
    it('is tried with at least eight faults', () => {
      expect(faults.length).toBeGreaterThanOrEqual(8);
    });
    for (const fault of faults.filter(({ isOfOptional }) => !isOfOptional)) {
      it(`catches: ${fault.name}`, { timeout: WHOLE_KIT_MS }, async () => {
        const tests = testsOf(contract, async () => faulty(await make(), fault));
        const caughtBy = await firstFailure(
          tests.filter(({ title }) => fault.by === undefined || title === fault.by),
          deadline,
        );
        rows.push({ contract, fault: fault.name, caughtBy: caughtBy ?? '' });
        expect(caughtBy, 'no test of the kit fails').toBeDefined();
      });
    }
  });
}

/** The same fault in a driver of this host: the test that is meant for it passes without and fails with it. */
function proveReal<C extends keyof Subjects>(
  contract: C,
  driver: string,
  make: () => Promise<Subjects[C]>,
  faults: readonly Fault<C>[],
  pairs: Readonly<Record<string, string>>,
): void {
  for (const [name, title] of Object.entries(pairs)) {
    it(`catches in ${driver}: ${name}`, { timeout: WHOLE_KIT_MS }, async () => {
      const fault = faults.find((one) => one.name === name)!;
      const only = (subject: () => Promise<Subjects[C]>): KitTest[] =>
        testsOf(contract, subject).filter((one) => one.title === title);
      expect(only(make)).toHaveLength(1);
      expect(await firstFailure(only(make), DEADLINE_MS.real)).toBeUndefined();
      const caughtBy = await firstFailure(
        only(async () => faulty(await make(), fault)),
        DEADLINE_MS.real,
      );
      rows.push({ contract: `${contract} (${driver})`, fault: name, caughtBy: caughtBy ?? '' });
      expect(caughtBy, 'the test does not fail').toBeDefined();
    });
  }
}

prove('quota', memoryQuotaSubject, QUOTA_FAULTS);
prove('cgroup', memoryCgroupSubject, CGROUP_FAULTS);
prove('network', memoryNetworkSubject, NETWORK_FAULTS);
prove('init', memoryInitSubject, INIT_FAULTS);
describeWith(['root', 'isolated'], 'with mounts', () => {
  prove('filesystem', () => filesystemSubject(copyFilesystem()), FILESYSTEM_FAULTS);
});
describeWith(
  ['root', 'isolated', 'overlayfs', 'cgroup-memory', 'python3', 'nft'],
  'in drivers of this host',
  () => {
    proveReal('filesystem', 'overlayfs', () => filesystemSubject(overlayfs()), FILESYSTEM_FAULTS, {
      'release removes nothing': 'releases what was prepared, twice',
      'the base itself is mounted': 'keeps writes away from the base',
    });
    proveReal('filesystem', 'bind', () => filesystemSubject(bind()), FILESYSTEM_FAULTS, {
      'two containers share a layer': 'keeps two containers on one base apart',
    });
    proveReal('cgroup', 'of this host', () => cgroupSubject(), CGROUP_FAULTS, {
      'a memory limit is answered but not in force': 'raises and lowers the memory limit',
      'create makes an existing group anew': 'goes on with what an earlier daemon made',
    });
    const image = sizedImage({ size: 64 << 20 });
    proveReal('quota', 'image', () => quotaSubject(() => image({ logger: silentLogger })), QUOTA_FAULTS, {
      'a limit is answered but not in force': 'answers the limit that is in force, and holds it',
    });
    proveReal('network', 'nftables', () => networkSubject({}), NETWORK_FAULTS, {
      'a rule counts for every port': 'denies egress until it is allowed',
      'what was begun outlives the release': 'begins before there is a process',
    });
    proveReal('init', 'wshd', () => initSubject(), INIT_FAULTS, {
      'an exit status is lost': 'passes output and exit status on',
      'what was begun and given up lives on': 'begins a launch early, and gives it up',
    });
  },
);
