/** Builds the package as its command does, and looks into it. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

export const ROOT: string = path.resolve(import.meta.dirname, '../../..');

/** Builds into `directory`; answers the file. */
export function build(directory: string, environment: Readonly<Record<string, string>> = {}): string {
  execFileSync(process.execPath, [path.join(ROOT, 'scripts/deb/build.mjs'), '--output', directory], {
    env: { ...process.env, ...environment },
    stdio: 'pipe',
  });
  const [name, ...others] = fs.readdirSync(directory).filter((file) => file.endsWith('.deb'));
  if (name === undefined || others.length > 0) throw new Error(`not one package in ${directory}`);
  return path.join(directory, name);
}

/** A file or directory in a package. */
export interface Member {
  /** As ls(1) writes it. */
  readonly mode: string;
  readonly owner: string;
  readonly date: string;
  /** Absolute; of a link, with its target. */
  readonly path: string;
}

export function membersOf(file: string): readonly Member[] {
  return execFileSync('dpkg-deb', ['--contents', file], {
    encoding: 'utf8',
    env: { ...process.env, TZ: 'UTC' },
  })
    .trim()
    .split('\n')
    .map((line) => {
      const [mode = '', owner = '', , day = '', time = '', name = ''] = line.split(/\s+/);
      return { mode, owner, date: `${day} ${time}`, path: name.slice(1).replace(/(.)\/$/, '$1') };
    });
}

/** A field of the control file. */
export function fieldOf(file: string, name: string): string {
  return execFileSync('dpkg-deb', ['--field', file, name], { encoding: 'utf8' }).trim();
}

export function unpack(file: string, directory: string): void {
  execFileSync('dpkg-deb', ['--raw-extract', file, directory]);
}
