/**
 * `npm run pack`: what it makes is taken by npm in an empty project, without a registry. That a daemon works
 * so is tried by the rehearsal of a release.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isPlatform, packageNames, ROOT, sourceManifest } from './packing.ts';

const run = promisify(execFile);
const VERSION = sourceManifest('client').version;

let directory: string;
let packed: string;
const tarballs = (...names: readonly string[]): readonly string[] =>
  fs
    .readdirSync(packed)
    .filter((file) => names.some((name) => file.startsWith(`warden-${name}-${VERSION}`)))
    .map((file) => path.join(packed, file));
const contentOf = (file: string): string => execFileSync('tar', ['-tzf', file], { encoding: 'utf8' });

beforeAll(() => {
  directory = fs.mkdtempSync('/tmp/warden-pack-task-');
  packed = path.join(directory, 'packed');
  execFileSync(process.execPath, ['scripts/pack.mjs', '--output', packed], { cwd: ROOT, encoding: 'utf8' });
}, 120_000);
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

describe('npm run pack', () => {
  it('makes a tarball of each package, and of the native parts those of this host, filled', () => {
    const native = fs
      .readdirSync(packed)
      .filter((file) => file.includes('-linux-'))
      .sort();
    expect(native.every((file) => file.includes(`-linux-${process.arch}`))).toBe(true);
    expect(native.map((file) => contentOf(path.join(packed, file)))).toEqual([
      expect.stringContaining('package/libwarden_native.so\n'),
      expect.stringContaining('package/bin/wshd\n'),
    ]);
    const others = packageNames().filter((name) => !isPlatform(name));
    expect(fs.readdirSync(packed)).toHaveLength(native.length + others.length);
  });

  it('lets a program elsewhere have the client, with no registry', { timeout: 60_000 }, () => {
    const project = path.join(directory, 'program');
    fs.mkdirSync(project);
    fs.writeFileSync(path.join(project, 'package.json'), '{ "type": "module" }');
    const options = ['--offline', '--no-audit', '--no-fund', `--cache=${path.join(directory, 'cache')}`];
    const files = tarballs('client', 'interface', 'protocol');
    expect(files).toHaveLength(3);
    execFileSync('npm', ['install', ...options, ...files], { cwd: project, encoding: 'utf8' });
    const program = 'const { connect } = await import("@warden/client"); console.log(typeof connect)';
    const words = ['--input-type=module', '--eval', program];
    expect(execFileSync(process.execPath, words, { cwd: project, encoding: 'utf8' })).toBe('function\n');
  });

  it('makes the same bytes of the same content, which a lock file elsewhere holds it to, also twice at a time', {
    timeout: 120_000,
  }, async () => {
    const again = ['one', 'other'].map((name) => path.join(directory, name));
    await Promise.all(
      again.map((output) => run(process.execPath, ['scripts/pack.mjs', '--output', output], { cwd: ROOT })),
    );
    const files = fs.readdirSync(packed);
    for (const output of again) {
      expect(fs.readdirSync(output)).toEqual(files);
      const differing = files.filter(
        (file) => !fs.readFileSync(path.join(packed, file)).equals(fs.readFileSync(path.join(output, file))),
      );
      expect(differing).toEqual([]);
    }
  });

  it('refuses a word it does not know', () => {
    const { status, stderr } = spawnSync(process.execPath, ['scripts/pack.mjs', 'client'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([2, 'usage: npm run pack -- [--output DIRECTORY]\n']);
  });
});
