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
});
