import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const LINT = path.join(ROOT, 'scripts/lint-safety.mjs');

function lint(root: string): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [LINT, root], { encoding: 'utf8' });
  return { status, stderr };
}

describe('the rules of safety', () => {
  it('hold [SECURITY 5.1 Static, E50]', () => expect(lint(ROOT)).toEqual({ status: 0, stderr: '' }));
});

describe('the lint of safety', () => {
  let copy: string;
  beforeEach(() => {
    copy = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-safety-'));
  });
  afterEach(() => fs.rmSync(copy, { recursive: true, force: true }));

  it.each([
    ['native/wshd/hooks.c', 'int f(void) { return system("true"); }', 'no shell'],
    ['native/copy/sender.c', '  execvp(name, argv);', 'for jobs alone'],
    ['native/wsh/wsh.c', '  sprintf(path, "%s", name);', 'how much room'],
    ['native/wshd/accounts.c', '  getpwnam(name);', 'our own parser'],
    ['native/wshd/messages.c', '  if (bad) abort();', 'the end of the container'],
    ['native/wshd/ring.c', '  _exit(1);', 'the end of the container'],
    ['native/lib/files.c', '  chroot(path);', 'stays where it is'],
    ['native/lib/process.c', '  setns(fd, 0);', 'makes no namespaces'],
    ['packages/core/src/create.ts', "import { spawn } from 'node:child_process';", 'no program of the host'],
    ['packages/server/src/server.ts', '  f({ shell: true });', 'no shell'],
    [
      'packages/core/src/copy.ts',
      "  fs.openSync(path.join(directory, 'tmp/rootfs/etc/passwd'));",
      'done inside',
    ],
    ['packages/wshd/src/init.ts', '  fs.statSync(`mnt/proc`);', 'done inside'],
  ])('refuses %s: %s', (name, line, reason) => {
    const file = path.join(copy, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, `/* system( abort( in a comment is nothing */\n${line}\n`);
    expect(lint(copy)).toMatchObject({ status: 1, stderr: expect.stringContaining(`${name}:2: `) });
    expect(lint(copy).stderr).toContain(reason);
  });

  it('refuses an exception that nothing needs', () => {
    const file = path.join(copy, 'packages/quota/src/try-writing.ts');
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, 'export {};\n');
    expect(lint(copy).stderr).toContain('packages/quota/src/try-writing.ts needs no exception any more');
  });
});
