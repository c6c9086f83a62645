/** Packs the workspace's packages as a release does, and takes tarballs apart. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const ROOT: string = path.resolve(import.meta.dirname, '../../..');
const PACKAGES = path.join(ROOT, 'packages');

/** What the tests look at in a manifest. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
  readonly homepage?: string;
  readonly bugs?: { readonly url: string };
  readonly repository?: { readonly type: string; readonly url: string; readonly directory: string };
  readonly keywords?: readonly string[];
  readonly engines?: Readonly<Record<string, string>>;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly files?: readonly string[];
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: unknown;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly publishConfig?: { readonly access?: string; readonly provenance?: boolean };
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Names of the directories below `packages/`. */
export function packageNames(): readonly string[] {
  return fs.readdirSync(PACKAGES).filter((name) => fs.existsSync(path.join(PACKAGES, name, 'package.json')));
}

export function isPlatform(name: string): boolean {
  return name.includes('-linux-');
}

export function readManifest(directory: string): Manifest {
  return JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8')) as Manifest;
}

export function sourceManifest(name: string): Manifest {
  return readManifest(path.join(PACKAGES, name));
}

/** Every package's tarball, made by pnpm, which puts versions for `workspace:` and applies `publishConfig`. */
export class Tarballs {
  readonly #directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-pack-'));

  constructor() {
    execFileSync(process.execPath, [path.join(ROOT, 'scripts/pack-packages.mjs'), this.#directory], {
      stdio: 'pipe',
    });
  }

  file(name: string): string {
    return path.join(this.#directory, `warden-${name}-${sourceManifest(name).version}.tgz`);
  }

  bytes(name: string): Uint8Array {
    return new Uint8Array(fs.readFileSync(this.file(name)));
  }

  /** Path in the package to whether it is executable. */
  list(name: string): ReadonlyMap<string, boolean> {
    const lines = execFileSync('tar', ['-tvzf', this.file(name)], { encoding: 'utf8' })
      .trim()
      .split('\n');
    return new Map(
      lines.map((line) => [line.slice(line.indexOf(' package/') + ' package/'.length), line[3] === 'x']),
    );
  }

  unpack(name: string, directory: string): void {
    fs.mkdirSync(directory, { recursive: true });
    execFileSync('tar', ['-xzf', this.file(name), '-C', directory, '--strip-components=1']);
  }

  remove(): void {
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}
