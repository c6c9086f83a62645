/**
 * The root scripts (scripts/dev.mjs): what is typed wrong is told at once, before anything is installed,
 * built or made.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeWith } from '@warden/test-harness';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from './packing.ts';

/** What a task ends with and says. It is stopped where it begins to work. */
function run(...words: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/dev.mjs', ...words], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 20_000,
  });
  return { status, stdout, stderr };
}

describeWith(['root'], 'npm start --rootfs DIR', () => {
  let directory: string;
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-tasks-'));
  });
  afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

  it('makes none where a name is mistyped, and names the command that does', () => {
    const typo = path.join(directory, 'typo');
    expect(run('start', '--rootfs', typo)).toEqual({
      status: 1,
      stdout: '',
      stderr: `--rootfs: ${typo} does not exist; make a Debian there with: warden rootfs build ${typo} (in a checkout without debootstrap: npm run rootfs -- ${typo})\n`,
    });
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it('tells a directory that is empty, and one that holds something else', () => {
    expect(run('start', '--rootfs', directory)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(
        `is empty; make a Debian there with: warden rootfs build --force ${directory} `,
      ),
    });
    fs.writeFileSync(path.join(directory, 'notes'), '');
    expect(run('start', '--rootfs', directory)).toMatchObject({
      status: 1,
      stderr: `--rootfs: ${directory} is not empty and holds no root file system (no bin/bash)\n`,
    });
  });
});

describe('a flag that a task does not have', () => {
  it.each([
    ['start', '[--keep] [--rootfs DIR]'],
    ['bench', '[--count N] [--only SECTIONS] [--write-baseline] [--write-docs]'],
    ['storms', '[--short] [-t NAME]'],
    ['scale', '[--short] [--count N]'],
  ])('is refused in one line by npm run %s', (task, flags) => {
    expect(run(task, '--bogus')).toEqual({
      status: 1,
      stdout: '',
      stderr: `--bogus: usage: npm run ${task} -- ${flags}\n`,
    });
  });

  it('is refused as a word too, by npm start', () => {
    for (const words of [['keep'], ['--keep', 'keep'], ['--rootfs', '/', 'keep']])
      expect(run('start', ...words)).toEqual({
        status: 1,
        stdout: '',
        stderr: 'keep: usage: npm run start -- [--keep] [--rootfs DIR]\n',
      });
  });

  it.each([[['--bogus']], [['--only', 'bogus']], [['--count', '0']], [['--count']]])(
    'is refused in one line by the bench itself, of %j',
    (words) => {
      const { status, stderr } = spawnSync(process.execPath, ['test/bench/run.mjs', ...words], {
        cwd: ROOT,
        encoding: 'utf8',
      });
      expect([status, stderr]).toEqual([
        2,
        expect.stringMatching(/^[^\n]*; usage: npm run bench -- \[--count N\] \[--only lives,[^\n]*\n$/),
      ]);
    },
  );
});
