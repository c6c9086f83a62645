import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findDaemon, runDaemonProgram } from './doctor.ts';

let directory: string;
beforeEach(() => {
  directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'warden-doctor-')));
  for (const name of ['bin', 'installed', 'elsewhere']) fs.mkdirSync(path.join(directory, name));
  fs.writeFileSync(path.join(directory, 'installed/warden'), '');
  fs.symlinkSync('../installed/warden', path.join(directory, 'bin/warden'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

describe('wardend is found', () => {
  const own = (): string => path.join(directory, 'bin/warden');
  const put = (where: string): string => {
    const file = path.join(directory, where, 'wardend');
    fs.writeFileSync(file, '');
    return file;
  };
  it('beside the program, as called and as installed, before PATH', () => {
    const search = `relative:${path.join(directory, 'elsewhere')}`;
    expect(findDaemon(own(), search)).toBeUndefined();
    const last = put('elsewhere');
    expect(findDaemon(own(), search)).toBe(last);
    const second = put('installed');
    expect(findDaemon(own(), search)).toBe(second);
    const first = put('bin');
    expect(findDaemon(own(), search)).toBe(first);
    expect(findDaemon(undefined, undefined)).toBeUndefined();
  });

  it('among the programs of the installation, when a script of the package manager has started this one', () => {
    const search = path.join(directory, 'elsewhere');
    const other = put('elsewhere');
    for (const name of ['node_modules/.bin', 'node_modules/@warden/cli/bin'])
      fs.mkdirSync(path.join(directory, name), { recursive: true });
    const inPackage = path.join(directory, 'node_modules/@warden/cli/bin/warden.js');
    fs.writeFileSync(inPackage, '');
    expect(findDaemon(inPackage, search)).toBe(other);
    const installed = put('node_modules/.bin');
    expect(findDaemon(inPackage, search)).toBe(installed);
    fs.symlinkSync(inPackage, path.join(directory, 'warden'));
    expect(findDaemon(path.join(directory, 'warden'), search)).toBe(installed);
  });
});

describe('wardend, run by this program,', () => {
  const own = process.argv[1]!;
  beforeEach(() => {
    process.argv[1] = path.join(directory, 'bin/warden');
  });
  afterEach(() => {
    process.argv[1] = own;
  });

  it.each([
    ['SIGTERM', 'trap "exit 7" TERM', 7],
    ['SIGHUP', ':', 129],
    ['SIGINT', ':', 130],
  ] as const)(
    'gets %s, and what became of it is the exit status',
    async (signal, trap, expected) => {
      // it ends with the test, whatever that finds
      const program = `#!/bin/sh\n${trap}\necho ready\nwhile [ -e "$0" ]; do sleep 0.05; done\n`;
      fs.writeFileSync(path.join(directory, 'bin/wardend'), program, { mode: 0o755 });
      const before = process.listeners(signal);
      const stdout = new PassThrough();
      const ended = runDaemonProgram(['cleanup'], {
        stdin: new PassThrough(),
        stdout,
        stderr: new PassThrough(),
        env: {},
      });
      await new Promise((resolve) => stdout.once('data', resolve));
      for (const handler of process.listeners(signal)) if (!before.includes(handler)) handler(signal);
      expect(await ended).toBe(expected);
      expect(process.listeners(signal)).toEqual(before);
    },
    15_000,
  );
});
