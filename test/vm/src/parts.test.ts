/** What `npm run vm` itself is made of, without a machine. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const part = (name: string) => import(path.join(ROOT, 'test/vm', name));
const { planOf } = await part('steps.mjs');
const { findKernel, NoArchive } = await part('lib/kernel.mjs');
const { Progress } = await part('lib/progress.mjs');
const { printReport, summarize } = await part('lib/report.mjs');

interface Step {
  readonly name: string;
  readonly short?: boolean;
  readonly minutes: number;
  readonly files: readonly (string | readonly [string, string])[];
}

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-vm-parts-'));
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  fs.rmSync(directory, { recursive: true, force: true });
});

describe('the steps of the guest', () => {
  const full: readonly Step[] = planOf({ short: false, only: [] });
  const filesOf = (steps: readonly Step[]): string[] =>
    steps.flatMap(({ files }) => files.map((file) => [file].flat()[0]!));

  it('name files that exist, within an hour and a half; the short form is a part of them', () => {
    for (const file of filesOf(full)) expect(fs.existsSync(path.join(ROOT, file)), file).toBe(true);
    const short: readonly Step[] = planOf({ short: true, only: [] });
    expect(full).toEqual(expect.arrayContaining([...short]));
    expect(short.length).toBeLessThan(full.length);
  });

  it('are what --only names; another name is refused', () => {
    expect(planOf({ short: true, only: ['quota-xfs'] }).map(({ name }: Step) => name)).toEqual(['quota-xfs']);
    expect(() => planOf({ short: false, only: ['nothing'] })).toThrow('there is no step nothing: ');
  });

  it('run every test that is skipped elsewhere with the words "in a guest by npm run vm"', () => {
    const checks = fs
      .readFileSync(path.join(ROOT, 'test/harness/src/requires.ts'), 'utf8')
      .split(/^ {2}(?='?[\w-]+'?: \(\) =>|\w+: isolationProblem)|^};/m)
      .filter((text) => /^'?[\w-]+'?: \(\) =>[\s\S]*(in a guest by npm run vm|place\()/.test(text));
    const names = checks.map((text) => /^'?([\w-]+)/.exec(text)![1]!);
    expect(names).toEqual(
      expect.arrayContaining(['cgroup-v2', 'user-quota', 'project-quota', 'guest', 'cap-sys-resource']),
    );
    const wanted = testFiles('test').filter((file) => {
      const text = fs.readFileSync(path.join(ROOT, file), 'utf8');
      return names.some((name) => text.includes(`'${name}'`)) && text.includes('describeWith');
    });
    expect(wanted.length).toBeGreaterThan(3);
    expect(filesOf(full)).toEqual(
      expect.arrayContaining(wanted.filter((file) => !file.endsWith('parts.test.ts'))),
    );
  });
});

function testFiles(under: string): string[] {
  const sources = fs
    .readdirSync(path.join(ROOT, under))
    .map((name) => path.join(under, name, 'src'))
    .filter((name) => fs.existsSync(path.join(ROOT, name)));
  return sources.flatMap((source) =>
    fs
      .readdirSync(path.join(ROOT, source), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => path.join(source, name)),
  );
}

describe('the kernel of the guest', () => {
  it('is what KERNEL names, with MODULES or INITRD', () => {
    const file = (name: string): string => {
      fs.writeFileSync(path.join(directory, name), '');
      return path.join(directory, name);
    };
    const [kernel, initrd] = [file('bzImage'), file('initrd.img')];
    const missing = path.join(directory, 'missing');
    expect(findKernel(directory, { KERNEL: kernel, INITRD: initrd })).toEqual({
      image: kernel,
      modules: undefined,
      initrd,
      name: 'bzImage',
    });
    expect(findKernel(directory, { KERNEL: kernel, MODULES: directory })).toMatchObject({
      modules: directory,
    });
    for (const [environment, words] of [
      [{ KERNEL: kernel }, 'KERNEL needs MODULES'],
      [{ INITRD: initrd }, 'belong to KERNEL'],
      [{ KERNEL: missing, INITRD: initrd }, `there is no ${missing}`],
      [{ KERNEL: kernel, INITRD: missing }, `there is no ${missing}`],
    ] as const)
      expect(() => findKernel(directory, environment)).toThrow(words);
  });

  it('cannot be had without the archive of packages: an error of its own says why, and nothing remains', () => {
    const programs = path.join(directory, 'bin');
    fs.mkdirSync(programs);
    for (const [name, script] of [
      ['apt-cache', 'echo "  Depends: linux-image-9.9.9-amd64"'],
      [
        'apt-get',
        '[ "$1" = update ] || { echo "E: Failed to fetch it  Could not resolve its host" >&2; exit 100; }',
      ],
    ])
      fs.writeFileSync(path.join(programs, name!), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const cache = path.join(directory, 'cache');
    const before = process.env.PATH;
    process.env.PATH = `${programs}:${before}`;
    try {
      const attempt = (): unknown => findKernel(cache, {});
      expect(attempt).toThrow(NoArchive);
      expect(attempt).toThrow(/cannot be downloaded \(Failed to fetch it .*resolve its host\)/);
    } finally {
      process.env.PATH = before;
    }
    expect(fs.readdirSync(cache)).toEqual([]);
  });
});

describe('the limits of a run', () => {
  const MINUTE = 60_000;
  const follow = () => {
    vi.useFakeTimers();
    const steps = [
      { name: 'reset', minutes: 2, resets: true },
      { name: 'other', minutes: 3 },
    ] as { name: string; minutes: number; resets?: boolean; state?: string }[];
    const done: string[] = [];
    const progress = new Progress(steps, {
      say: () => {},
      minutes: 30,
      cpuSeconds: () => 0,
      stop: () => done.push('stop'),
      reset: async () => done.push('reset'),
      up: () => done.push('up'),
    });
    const states = (): (string | undefined)[] => steps.map(({ state }) => state);
    return { progress, done, states };
  };

  it('are kept by a run that goes well', () => {
    const { progress, done, states } = follow();
    for (const words of ['up', 'begin reset', 'reset', 'up', 'begin other', 'end other 0', 'done']) {
      vi.advanceTimersByTime(MINUTE);
      progress.follow(words);
    }
    expect(progress.end()).toBe(undefined);
    expect([done, states()]).toEqual([
      ['up', 'reset', 'up'],
      ['reset', 'ended'],
    ]);
    vi.advanceTimersByTime(99 * MINUTE);
    expect(done).not.toContain('stop');
  });

  it.each([
    ['a boot that hangs', [], 'the boot took more than 10 minutes'],
    ['a step that hangs', ['up', 'begin other'], 'step other took more than 5 minutes'],
    ['a second boot that hangs', ['up', 'begin reset', 'reset'], 'the second boot took more than 10 minutes'],
    ['a power-off that hangs', ['up', 'done'], 'the power-off took more than 2 minutes'],
  ])('end the machine of %s', (_, marks, why) => {
    const { progress, done } = follow();
    for (const words of marks) progress.follow(words);
    vi.advanceTimersByTime(11 * MINUTE);
    expect(done).toContain('stop');
    expect(progress.end()).toBe(why);
  });

  it('are known when the guest says so itself', () => {
    const { progress, states } = follow();
    for (const words of ['up', 'begin other', 'end other ETIMEDOUT', 'fail cannot mount'])
      progress.follow(words);
    expect(states()[1]).toBe('over its limit');
    expect(progress.end()).toBe('fail cannot mount');
  });
});

describe('the report of a run', () => {
  const test = (name: string, state: string) => ({ name, state, errors: [] });
  const print = (steps: object[], reports: Record<string, object>, problem?: string) => {
    for (const [name, report] of Object.entries(reports))
      fs.writeFileSync(path.join(directory, `${name}.json`), JSON.stringify(report));
    const written: string[] = [];
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0);
    const status = printReport(summarize(directory, steps), problem);
    vi.restoreAllMocks();
    return { status, text: written.join('') };
  };
  const file = (...tests: object[]) => ({ name: 'x.test.ts', failed: false, tests, errors: [] });
  const step = (name: string, state: string | undefined) => ({
    name,
    what: 'this',
    files: ['x'],
    seconds: 7,
    state,
  });

  it('has a row for each step, the skips with reasons, and a closing line', () => {
    const tests = [test('one', 'pass'), test('two [needs: aufs in the kernel]', 'skip')];
    const { status, text } = print([step('before', 'reset'), step('good', 'ended')], {
      good: { results: [file(...tests)], errors: [] },
    });
    expect(status).toBe(0);
    expect(text).toBe(
      [
        '',
        'step   | what | seconds | result',
        'before | this | 7       | reset as wanted',
        'good   | this | 7       | 1 passed, 1 skipped',
        '',
        'skipped | why',
        '      1 | aufs in the kernel',
        '1 passed, 0 failed, 1 skipped',
        '',
      ].join('\n'),
    );
  });

  it('names what passed at the second try, with what was wrong at the first', () => {
    const tests = [test('one', 'pass'), { ...test('two', 'pass'), tries: 2, errors: ['it was late'] }];
    const { status, text } = print([step('good', 'ended')], {
      good: { results: [{ ...file(...tests), name: 'x' }], errors: [] },
    });
    expect(status).toBe(0);
    expect(text).toMatch(/^\npassed at the second try: good: two\nit was late\n/);
    expect(text).toMatch(/\n2 passed, 0 failed, 0 skipped\n$/);
  });

  it.each([
    ['a test failed', step('one', 'ended'), file(test('t', 'fail')), undefined],
    ['a step has no test', step('one', 'ended'), file(), undefined],
    ['a step was over its limit', step('one', 'over its limit'), file(test('t', 'pass')), undefined],
    ['a step did not begin', step('two', undefined), file(test('t', 'pass')), undefined],
    ['the machine ended badly', step('one', 'ended'), file(test('t', 'pass')), 'SIGKILL'],
    [
      'a file was not reached',
      { ...step('one', 'ended'), files: ['x', 'y'] },
      file(test('t', 'pass')),
      undefined,
    ],
  ])('is a failure when %s', (_, one, tests, problem) => {
    const { status, text } = print([one], { one: { results: [tests], errors: [] } }, problem);
    expect(status).toBe(1);
    expect(text).toMatch(/\n\d passed, 1 failed, 0 skipped\n$/);
  });
});
