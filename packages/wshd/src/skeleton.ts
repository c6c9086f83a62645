/**
 * What every container's directory gets: init's binaries and the operator's hooks, staged once per daemon
 * start in the depot.
 */
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WardenError } from '@warden/interface';

/** Below the depot; core takes only names of the form of an id for containers. */
export const STAGING_DIRECTORY = '.skeleton';
export const HOOKS = [
  'hook-parent-before-clone.sh',
  'hook-parent-after-clone.sh',
  'hook-child-before-pivot.sh',
  'hook-child-after-pivot.sh',
] as const;
const BINARIES = ['wshd', 'wsh'] as const;
/** Runs from where it is: inside a container from a copy in memory, so no container's directory needs it. */
export const COPY_PROGRAM = 'warden-copy';
const UNPACK_PROGRAM = 'warden-unpack';

/** A file of the skeleton: where it is staged, and where it belongs in a container's directory. */
export interface StagedFile {
  readonly source: string;
  readonly target: string;
}

/**
 * Absolute directory of `wshd`, `wsh` and `warden-copy`: the option, else `WARDEN_WSHD_DIRECTORY`, else what
 * was built in this checkout, else the platform package. Where nothing is, the checkout's, for the message
 * about it.
 */
export function binariesDirectory(option: string | undefined): string {
  const built = fileURLToPath(new URL(`../prebuilt/linux-${process.arch}`, import.meta.url));
  const chosen = option ?? process.env.WARDEN_WSHD_DIRECTORY;
  return chosen ?? (existsSync(built) ? built : (platformDirectory() ?? built));
}

/**
 * Path of `warden-unpack`, which makes the trees of images. `directory` holds the programs; default:
 * `WARDEN_WSHD_DIRECTORY`, else what was built in this checkout, else the platform package. The file may be
 * missing.
 */
export function unpackProgram(directory?: string): string {
  return join(binariesDirectory(directory), UNPACK_PROGRAM);
}

/**
 * The optional dependency for this processor; none for others, where the option or the variable must name a
 * directory.
 */
function platformDirectory(): string | undefined {
  const name = `@warden/wshd-${process.platform}-${process.arch}`;
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin');
  } catch {
    return undefined;
  }
}

/** The shipped hooks: packing puts a copy into the package; in the repository they lie at the top. */
export function shippedHooksDirectory(): string {
  const packed = fileURLToPath(new URL('../skeleton/lib', import.meta.url));
  const repository = fileURLToPath(new URL('../../../skeleton/lib', import.meta.url));
  return statSync(packed, { throwIfNoEntry: false })?.isDirectory() ? packed : repository;
}

/** Errors: `UNSUPPORTED` naming the one that is missing or cannot be executed. */
export function checkBinaries(directory: string): void {
  for (const name of [...BINARIES, COPY_PROGRAM]) {
    const path = join(directory, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat?.isFile() || (stat.mode & 0o111) === 0) {
      throw new WardenError(
        'UNSUPPORTED',
        `${path} is not an executable file; install the optional dependencies, build it or set WARDEN_WSHD_DIRECTORY`,
        {
          fields: { operation: 'setup', object: path },
        },
      );
    }
  }
}

/** Whether init would run it: there, executable and not empty. */
export function isHookInForce(files: readonly StagedFile[], name: (typeof HOOKS)[number]): boolean {
  const file = files.find(({ target }) => target === `lib/${name}`);
  const facts = file && statSync(file.source, { throwIfNoEntry: false });
  return facts !== undefined && facts.size > 0 && (facts.mode & 0o111) !== 0;
}

/** The binaries' part of {@link stageSkeleton}. */
export function stageBinaries(depot: string, binaries: string): readonly StagedFile[] {
  checkBinaries(binaries);
  const staging = join(depot, STAGING_DIRECTORY);
  mkdirSync(join(staging, 'bin'), { recursive: true, mode: 0o700 });
  return BINARIES.map((name) => stage(join(binaries, name), staging, `bin/${name}`));
}

/**
 * Puts binaries and hooks below `<depot>/.skeleton`. A file that changed gets a new inode, so that containers keep what
 * they were made with. Answers what a container has to link. Idempotent.
 */
export function stageSkeleton(
  depot: string,
  binaries: string,
  hooks: string | undefined,
): readonly StagedFile[] {
  const files = [...stageBinaries(depot, binaries)];
  const staging = join(depot, STAGING_DIRECTORY);
  mkdirSync(join(staging, 'lib'), { recursive: true, mode: 0o700 });
  const library = hookFiles(hooks);
  for (const [name, source] of library) files.push(stage(source, staging, `lib/${name}`));
  for (const name of readdirSync(join(staging, 'lib')))
    if (!library.has(name)) rmSync(join(staging, 'lib', name));
  return files;
}

/**
 * The shipped hooks, each replaced by the operator's of the same name; besides them whatever files the
 * operator's hooks use.
 */
function hookFiles(directory: string | undefined): Map<string, string> {
  const files = new Map<string, string>(HOOKS.map((name) => [name, join(shippedHooksDirectory(), name)]));
  if (directory === undefined) return files;
  try {
    for (const entry of readdirSync(directory)) {
      const path = join(directory, entry);
      if (statSync(path).isFile()) files.set(entry, path);
    }
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', `hooks directory ${directory} cannot be read`, {
      fields: { operation: 'setup', object: directory, errno: (cause as NodeJS.ErrnoException).code },
      cause,
    });
  }
  return files;
}

function stage(source: string, staging: string, target: string): StagedFile {
  const staged = join(staging, target);
  // hooks run as root: whoever may write the source decides, but nobody else the copy
  const mode = modeOf(source, target);
  if (!isSame(source, staged, mode)) {
    const fresh = `${staged}.new`;
    rmSync(fresh, { force: true });
    copyFileSync(source, fresh, constants.COPYFILE_EXCL);
    chmodSync(fresh, mode);
    renameSync(fresh, staged);
  }
  return { source: staged, target };
}

/**
 * The shipped hooks do nothing, so a copy of one that somebody has made executable is not worth two processes
 * per container.
 */
function modeOf(source: string, target: string): number {
  const mode = statSync(source).mode & 0o755;
  const name = HOOKS.find((hook) => target === `lib/${hook}`);
  if (name === undefined) return mode;
  const shipped = join(shippedHooksDirectory(), name);
  return isSame(source, shipped, statSync(shipped).mode & 0o7777) ? mode & ~0o111 : mode;
}

function isSame(source: string, staged: string, mode: number): boolean {
  const existing = statSync(staged, { throwIfNoEntry: false });
  if (!existing?.isFile() || (existing.mode & 0o7777) !== mode) return false;
  return existing.size === statSync(source).size && readFileSync(staged).equals(readFileSync(source));
}

/**
 * Links staged files into a container's directory, whose `bin` and `lib` exist. What is there already stays.
 * A copy is made where a link is impossible: another file system, or one that ran out of links to the inode
 * (ext4 allows 65 000).
 */
export function linkSkeleton(directory: string, files: readonly StagedFile[]): void {
  for (const { source, target } of files) {
    const path = `${directory}/${target}`;
    try {
      linkSync(source, path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EEXIST') continue;
      if (code !== 'EXDEV' && code !== 'EMLINK' && code !== 'EPERM') throw error;
      copyFileSync(source, path, constants.COPYFILE_FICLONE);
      chmodSync(path, statSync(source).mode & 0o755);
    }
  }
}
