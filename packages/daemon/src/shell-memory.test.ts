import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { neededFiles } from './elf.ts';
import { rereadShell } from './shell-memory.ts';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-shell-'));
  fs.mkdirSync(path.join(root, 'bin'));
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

function put(name: string, source: string): void {
  const target = path.join(root, name);
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.copyFileSync(source, target);
}

describe('rereadShell', () => {
  it('reads the shell, its dynamic linker and its libraries, where they are', async () => {
    const source = ['/bin/bash', '/bin/sh'].find(
      (name) => neededFiles(fs.readFileSync(name)).interpreter !== undefined,
    );
    if (source === undefined) return;
    const { interpreter, libraries } = neededFiles(fs.readFileSync(source));
    put('bin/bash', source);
    put(interpreter!, interpreter!);
    fs.mkdirSync(path.join(root, 'usr/lib'), { recursive: true });
    fs.symlinkSync('usr/lib', path.join(root, 'lib'));
    for (const library of libraries) fs.writeFileSync(path.join(root, 'usr/lib', library), 'a library');
    expect(await rereadShell(root)).toEqual([
      '/bin/bash',
      interpreter,
      ...libraries.map((library) => `/lib/${library}`),
    ]);
  });

  it('follows links inside the root only', async () => {
    put('opt/shell', '/etc/hostname');
    fs.symlinkSync('/opt/shell', path.join(root, 'bin/bash'));
    expect(await rereadShell(root)).toEqual(['/bin/bash']);
    fs.rmSync(path.join(root, 'bin/bash'));
    fs.symlinkSync('../../../../../etc/hostname', path.join(root, 'bin/bash'));
    expect(await rereadShell(root)).toEqual([]);
  });

  it('does not wait for what is no file', async () => {
    execFileSync('mkfifo', [path.join(root, 'bin/bash')]);
    await expect(rereadShell(root)).rejects.toMatchObject({ fields: { errno: 'EINVAL' } });
  });

  it('has nothing to do without a shell', async () => {
    expect(await rereadShell(root)).toEqual([]);
    await expect(rereadShell(path.join(root, 'absent'))).resolves.toEqual([]);
  });
});
