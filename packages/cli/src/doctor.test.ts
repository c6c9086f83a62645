import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findDaemon } from './doctor.ts';

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
