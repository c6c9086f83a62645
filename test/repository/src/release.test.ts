/**
 * What must hold before anything is published: scripts/check-release.mjs, which `npm run release:publish`
 * asks first. The rehearsal of a release publishes.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ROOT, readManifest } from './packing.ts';

const COMMAND = path.join(ROOT, 'scripts/check-release.mjs');
const LIBRARY = 'packages/native-linux-x64-glibc/libwarden_native.so';
const WSHD = 'packages/wshd-linux-x64/bin/wshd';
let checkout: string;

const file = (name: string): string => path.join(checkout, name);
function write(name: string, content: string | object): void {
  fs.mkdirSync(path.dirname(file(name)), { recursive: true });
  fs.writeFileSync(file(name), typeof content === 'string' ? content : JSON.stringify(content));
}
const git = (...words: readonly string[]): void => {
  execFileSync('git', ['-C', checkout, ...words], { stdio: 'pipe' });
};
function check(home = checkout): { readonly status: number | null; readonly stderr: string } {
  const env = { PATH: process.env.PATH, HOME: home, GIT_CONFIG_NOSYSTEM: '1' };
  const { status, stderr } = spawnSync(process.execPath, [COMMAND], { cwd: checkout, env, encoding: 'utf8' });
  return { status, stderr };
}
const refused = (reason: string): object => ({
  status: 1,
  stderr: `nothing was published:\n  ${reason}\n`,
});

beforeEach(() => {
  checkout = fs.mkdtempSync('/tmp/warden-release-');
  const exports = { '.': { types: './dist/index.d.ts', default: './dist/index.js' } };
  write('.gitignore', 'dist/\n*.so\nbin/\nhome/\n');
  write('.changeset/config.json', {});
  write('packages/native-linux-x64-glibc/package.json', {
    name: '@warden/native-linux-x64-glibc',
    version: '1.2.0',
    publishConfig: {},
  });
  write('packages/wshd-linux-x64/package.json', {
    name: '@warden/wshd-linux-x64',
    version: '1.2.0',
    publishConfig: {},
  });
  write('packages/native/package.json', {
    name: '@warden/native',
    version: '1.2.0',
    optionalDependencies: { '@warden/native-linux-x64-glibc': 'workspace:*' },
    publishConfig: { exports },
  });
  write('packages/daemon/package.json', {
    name: '@warden/daemon',
    version: '0.3.0',
    bin: { wardend: './bin/wardend.js' },
    publishConfig: { exports },
  });
  for (const built of [LIBRARY, 'packages/daemon/dist/program/wardend.cjs']) write(built, 'built');
  for (const name of ['wshd', 'wsh', 'warden-copy', 'warden-unpack'])
    write(path.join(path.dirname(WSHD), name), 'built');
  for (const name of ['native', 'daemon'])
    for (const end of ['js', 'd.ts']) write(`packages/${name}/dist/index.${end}`, 'built');
  git('init', '--quiet', '--initial-branch', 'main');
  git('config', 'user.name', 'somebody');
  git('config', 'user.email', 'somebody@example.com');
  git('add', '--all');
  git('commit', '--quiet', '--message', 'all');
});
afterEach(() => fs.rmSync(checkout, { recursive: true, force: true }));

describe('the check before a release', () => {
  it('lets a checkout go that is committed, raised and built', () =>
    expect(check()).toEqual({ status: 0, stderr: '' }));

  it('refuses what is not committed', () => {
    write('packages/native/src/more.ts', '');
    expect(check()).toEqual(refused('uncommitted: packages/native/src/'));
  });

  it('refuses as long as changesets wait', () => {
    write('.changeset/one.md', '');
    git('add', '--all');
    git('commit', '--quiet', '--message', 'a changeset');
    expect(check()).toEqual(
      refused('1 changesets wait: npm run release:version, and commit what it changes'),
    );
  });

  it.each([
    ['a library', LIBRARY, '@warden/native-linux-x64-glibc lacks libwarden_native.so'],
    ['a program', WSHD, '@warden/wshd-linux-x64 lacks bin/wshd'],
    ['modules', 'packages/native/dist/index.js', '@warden/native lacks ./dist/index.js'],
    [
      'the rolled program',
      'packages/daemon/dist/program/wardend.cjs',
      '@warden/daemon lacks dist/program/wardend.cjs',
    ],
  ])('refuses a package without %s that was not built', (_what, missing, reason) => {
    fs.rmSync(file(missing));
    expect(check()).toEqual(refused(`${reason}: npm run release:rehearsal builds everything and tries it`));
  });

  it('refuses a platform package of another version than the package that takes it', () => {
    write('packages/native-linux-x64-glibc/package.json', {
      name: '@warden/native-linux-x64-glibc',
      version: '1.1.0',
      publishConfig: {},
    });
    git('commit', '--quiet', '--all', '--message', 'another version');
    expect(check()).toEqual(
      refused('@warden/native is 1.2.0, but @warden/native-linux-x64-glibc 1.1.0: they share a version'),
    );
  });

  it('refuses a prerelease, which everybody would install', () => {
    const manifest = { name: '@warden/daemon', version: '0.4.0-next.1', publishConfig: { exports: {} } };
    write('packages/daemon/package.json', manifest);
    git('commit', '--quiet', '--all', '--message', 'a prerelease');
    expect(check()).toEqual(
      refused(
        '@warden/daemon is 0.4.0-next.1, a prerelease, and what is published is what everybody installs: changeset pre exit, then npm run release:version',
      ),
    );
  });

  it.each([
    ['a branch for an older line', ['switch', '--quiet', '--create', 'hotfix-1.1'], 'the branch hotfix-1.1'],
    ['a commit of no branch', ['switch', '--quiet', '--detach'], 'no branch'],
  ])('refuses %s, which would take the place of the newest version', (_what, words, where) => {
    git(...words);
    expect(check()).toEqual(
      refused(
        `this is ${where}: releases are made from main, and what is published is what everybody installs`,
      ),
    );
  });

  it('refuses where git could make no tag, which changesets would not say', () => {
    git('config', '--unset', 'user.name');
    git('config', '--unset', 'user.email');
    git('config', 'user.useConfigOnly', 'true'); // as on a machine whose name tells no address
    expect(check(path.join(checkout, 'home'))).toEqual(
      refused('git knows nobody who could make the tags: git config user.name and user.email'),
    );
  });
});

describe('npm run release:publish', () => {
  it('checks first, publishes dependencies first and stops at a failure, and tags at the end', () => {
    const { scripts } = readManifest(ROOT);
    const [first, second, third, ...rest] = scripts!['release:publish']!.split(' && ');
    expect(first).toBe('node scripts/check-release.mjs');
    // changesets would publish all at once, and go on after a failure
    expect(second).toMatch(/^node scripts\/pnpm\.mjs --recursive .*publish --no-git-checks$/);
    expect(third).toMatch(/changeset tag$/);
    expect(rest).toEqual([]);
  });

  it('knows in the workflow which tags there are: those of earlier releases are at other commits, and cannot be pushed again', () => {
    const workflow = parse(fs.readFileSync(path.join(ROOT, '.github/workflows/release.yml'), 'utf8')) as {
      readonly jobs: { readonly publish: { readonly steps: readonly { uses?: string; with?: object }[] } };
    };
    const checkout = workflow.jobs.publish.steps.find(({ uses }) => uses?.startsWith('actions/checkout@'));
    expect(checkout?.with).toMatchObject({ 'fetch-depth': 0 });
  });

  it('has somebody for its tags in the workflow, and pushes nothing but them', () => {
    const workflow = parse(fs.readFileSync(path.join(ROOT, '.github/workflows/release.yml'), 'utf8')) as {
      readonly jobs: { readonly publish: { readonly steps: readonly { readonly run?: string }[] } };
    };
    const lines = workflow.jobs.publish.steps.flatMap(({ run }) => run?.trim().split('\n') ?? []);
    const publish = lines.indexOf('npm run release:publish');
    expect(lines.slice(publish + 1)).toEqual(['git push --tags']);
    for (const key of ['user.name', 'user.email'])
      expect(lines.slice(0, publish).some((line) => line.startsWith(`git config --global ${key} `))).toBe(
        true,
      );
  });
});
