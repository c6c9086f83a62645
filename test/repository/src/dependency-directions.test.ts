import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const LINT = path.join(ROOT, 'scripts/lint-dependencies.mjs');

function lint(root: string): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [LINT, root], { encoding: 'utf8' });
  return { status, stderr };
}

describe('the directions of dependencies', () => {
  it('hold', () => expect(lint(ROOT)).toEqual({ status: 0, stderr: '' }));
});

describe('the lint of dependency directions', () => {
  let copy: string;
  beforeEach(() => {
    copy = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-lint-'));
    for (const name of fs.readdirSync(path.join(ROOT, 'packages'))) {
      const target = path.join(copy, 'packages', name);
      fs.mkdirSync(path.join(target, 'src'), { recursive: true });
      fs.copyFileSync(path.join(ROOT, 'packages', name, 'package.json'), path.join(target, 'package.json'));
    }
  });
  afterEach(() => fs.rmSync(copy, { recursive: true, force: true }));

  it.each([
    ['core', "import { Frame } from '@warden/protocol';", 'core knows no protobuf'],
    ['core', "export * from '@warden/fs-overlayfs';", 'no concrete driver'],
    ['interface', "import '@warden/native';", 'the contracts import nothing'],
    ['cgroup', "import { createCore } from '@warden/core';", 'never core or another driver'],
    ['server', "import koffi from 'koffi';", 'only @warden/native may'],
    ['client', "import { x } from '@warden/protocol/src/codec.ts';", "nobody imports another package's src"],
    ['cli', "import { x } from '../../client/src/index.ts';", 'use its exports'],
  ])('refuses %s: %s', (name, line, reason) => {
    fs.writeFileSync(path.join(copy, 'packages', name, 'src/offender.ts'), `${line}\n`);
    expect(lint(copy)).toMatchObject({ status: 1, stderr: expect.stringContaining(reason) });
  });

  it('refuses platform packages that import, and optional dependencies that are no platform packages', () => {
    const manifest = (name: string, more: object): void => {
      const file = path.join(copy, 'packages', name, 'package.json');
      fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, 'utf8')), ...more }));
    };
    manifest('wshd-linux-x64', { dependencies: { '@warden/interface': 'workspace:^' } });
    manifest('core', { optionalDependencies: { '@warden/native-linux-x64-glibc': 'workspace:*' } });
    const { status, stderr } = lint(copy);
    expect(status).toBe(1);
    expect(stderr).toContain('a platform package is a file for one processor');
    expect(stderr).toContain('packages/core: has the optional dependency @warden/native-linux-x64-glibc');
  });

  it('refuses a package that is not in its table, and a missing one', () => {
    fs.mkdirSync(path.join(copy, 'packages/extra'));
    fs.rmSync(path.join(copy, 'packages/quota'), { recursive: true });
    const { status, stderr } = lint(copy);
    expect(status).toBe(1);
    expect(stderr).toContain('packages/extra: is not in the table');
    expect(stderr).toContain('packages/quota: is missing');
  });
});
