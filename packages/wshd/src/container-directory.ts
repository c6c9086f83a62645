/**
 * A container's directory before its first start. All calls are synchronous: some thirty on a file system's
 * cache, on ext4 a millisecond together (most of it the seven directories), and each would cost more as a
 * trip to a worker thread.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import {
  encodeBytes,
  type Failpoints,
  type InitSpec,
  NO_FAILPOINTS,
  type ReusableEntry,
  WardenError,
} from '@warden/interface';
import { renderMountPlan } from './mount-plan.ts';
import { linkSkeleton, type StagedFile } from './skeleton.ts';
import { HOSTS_SOURCE, type HookSettings, RESOLV_CONF_SOURCE, renderWshdConf } from './wshd-conf.ts';

/**
 * Most of it may be looked at by whoever may enter the depot. Whoever reaches the socket in `run` is root
 * inside, and below `tmp` lies what the container writes, with set-user-id programs.
 */
const DIRECTORIES: readonly (readonly [name: string, mode: number])[] = [
  ['bin', 0o755],
  ['etc', 0o755],
  ['jobs', 0o755],
  ['lib', 0o755],
  ['mnt', 0o755],
  ['run', 0o700],
  ['tmp', 0o700],
];

/** Init reads them once, when it starts. */
const WRITTEN = ['etc/fstab', 'etc/wshd.conf', HOSTS_SOURCE, RESOLV_CONF_SOURCE] as const;
const WRITTEN_MODE = 0o644;

/**
 * Makes the directory from the skeleton and writes what init reads. Idempotent. Errors: `INVALID_SPEC` for a
 * bind source, `NATIVE_FAILED`.
 */
export function prepareDirectory(
  spec: InitSpec,
  skeleton: readonly StagedFile[],
  { hooks, failpoints = NO_FAILPOINTS }: { hooks?: HookSettings; failpoints?: Failpoints } = {},
): void {
  // rendered first: a missing bind source leaves nothing behind
  const contents: Readonly<Record<(typeof WRITTEN)[number], string>> = {
    'etc/fstab': renderMountPlan(spec),
    'etc/wshd.conf': renderWshdConf(spec, hooks),
    [HOSTS_SOURCE]: spec.hosts,
    [RESOLV_CONF_SOURCE]: spec.resolvConf,
  };
  try {
    const last = skeleton.at(-1);
    // made last: one that was another container's has all of it
    if (last === undefined || !existsSync(`${spec.directory}/${last.target}`)) makeSkeleton(spec, skeleton);
    for (const path of WRITTEN) writeOver(`${spec.directory}/${path}`, encodeBytes(contents[path]));
    failpoints.passSync('init.directory'); // `etc/config` is what tells that it is complete
    replaceFile(`${spec.directory}/etc/config`, renderConfig(spec.config));
  } catch (error) {
    throw fileFailure(error);
  }
}

function makeSkeleton({ directory }: InitSpec, skeleton: readonly StagedFile[]): void {
  // mostly there, from whoever keeps the record and from the driver of the file system: a look is cheaper
  // than an error with its stack
  if (!existsSync(directory)) makeDirectory(directory, 0o755);
  for (const [name, mode] of DIRECTORIES) {
    const path = `${directory}/${name}`;
    if (name !== 'tmp' || !existsSync(path)) makeDirectory(path, mode);
  }
  linkSkeleton(directory, skeleton);
}

/**
 * All that {@link prepareDirectory} makes but `etc/config`, which tells that it is complete. `tmp` is the
 * file-system driver's.
 */
export function reusableSkeleton(skeleton: readonly StagedFile[]): readonly ReusableEntry[] {
  return [
    ...DIRECTORIES.filter(([name]) => name !== 'tmp').map(([path, mode]) => ({ path, mode })),
    ...skeleton.map(({ source, target }) => ({
      path: target,
      inode: statSync(source, { bigint: true }).ino,
    })),
    ...WRITTEN.map((path) => ({ path, mode: WRITTEN_MODE, kind: 'file', isOptional: true }) as const),
  ];
}

/**
 * `etc/config`: `key=value` lines, which hooks read by `source`. Values are not quoted, except one that a
 * shell would take apart or execute: a path may hold blanks and worse.
 */
export function renderConfig(config: InitSpec['config']): string {
  return config.map(([key, value]) => `${key}=${shellWord(value)}\n`).join('');
}

function shellWord(value: string): string {
  return /^[\w./:@%+=,-]*$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}

export function makeDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * Makes a file, or writes over one that was another container's. Not emptied before: ext4 then writes it to
 * the disk when it is closed, as what somebody may miss.
 */
function writeOver(path: string, bytes: Uint8Array): void {
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT, WRITTEN_MODE);
    try {
      writeFileSync(fd, bytes); // from the beginning, and all of it
      if (fstatSync(fd).size !== bytes.length) ftruncateSync(fd, bytes.length);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw fileFailure(error, path);
  }
}

/** By rename, and last of all: a directory that has an `etc/config` is complete. */
function replaceFile(path: string, content: string): void {
  const fresh = `${path}.new`;
  try {
    writeFileSync(fresh, encodeBytes(content), { mode: 0o644 });
    renameSync(fresh, path);
  } catch (error) {
    throw fileFailure(error, path);
  }
}

/** An error of `node:fs` as ours. `file`: of what is done with a descriptor, Node does not say the name. */
export function fileFailure(cause: unknown, file?: string): unknown {
  const { code, syscall, path: object = file } = cause as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return cause;
  return new WardenError('NATIVE_FAILED', `${syscall} ${object ?? ''}: ${code}`, {
    fields: { operation: syscall, object, errno: code },
    cause,
  });
}
