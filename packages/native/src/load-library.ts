import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WardenError } from '@warden/interface';
import type * as Koffi from 'koffi';

const FILE_NAME = 'libwarden_native.so';
/** Calls that run on threads or wait for one: the most that koffi takes. Its default is 256. */
const MOST_CALLS = 4_096;

type Bytes = Uint8Array;
type Words = Int32Array;

/**
 * The functions of native/lib/warden_native.h. Koffi does not check what it is given: only checked values may
 * arrive here.
 */
export interface NativeLibrary {
  warden_error_text(number: number): string;
  warden_close(fd: number): number;
  warden_duplicate(fd: number): number;
  warden_read(fd: number, buffer: Bytes, size: number): number;
  warden_write(fd: number, bytes: Bytes, size: number): number;
  warden_splice(pipe: number, file: number, offset: bigint, size: number): number;
  warden_set_nonblocking(fd: number): number;
  warden_grow_pipe(fd: number, bytes: number): number;
  warden_pipe(ends: Words): number;
  warden_eventfd(): number;
  warden_sealed_memfd(name: Bytes, content: Bytes, size: number): number;
  warden_lock_file(path: Bytes): number;
  warden_sync_directory(path: Bytes): number;
  warden_spread_directories(path: Bytes): number;
  warden_control_files(
    directory: Bytes,
    operations: Bytes,
    size: number,
    answers: Bytes,
    room: number,
  ): number;
  warden_write_setting(path: Bytes, value: Bytes, size: number): number;
  warden_open_inside(root: Bytes, path: Bytes): number;
  warden_reread_file(fd: number): number;
  warden_umask(mask: number): number;
  warden_copy_sparse(source: Bytes, target: Bytes): number;
  warden_allocate_file(path: Bytes, size: bigint): number;
  warden_remove_tree(path: Bytes, failedName: Bytes, size: number): number;
  warden_strip_tree(
    path: Bytes,
    kept: Bytes,
    count: number,
    target: Bytes,
    failedName: Bytes,
    size: number,
  ): number;
  warden_move_pieces(
    pipe: number,
    socket: number,
    head: Bytes,
    headSize: number,
    size: number,
    tail: Bytes,
    tailSize: number,
    most: number,
    progress: Uint32Array,
  ): number;
  warden_socketpair(type: number, ends: Words): number;
  warden_connect_unix(path: Bytes, type: number): number;
  warden_send(fd: number, bytes: Bytes, size: number, fds: Words, count: number): number;
  warden_receive(fd: number, buffer: Bytes, size: number, fds: Words, count: Words): number;
  warden_grow_send_buffer(fd: number, bytes: number): number;
  warden_datagram_socket(): number;
  warden_send_datagram(fd: number, path: Bytes, bytes: Bytes, size: number): number;
  warden_peer_credentials(fd: number, result: Words): number;
  warden_spawn(
    path: Bytes,
    cwd: Bytes,
    argv: Bytes,
    argvCount: number,
    environment: Bytes,
    environmentCount: number,
    pairs: Words,
    pairCount: number,
    flags: number,
    failedStep: Words,
  ): number;
  warden_pidfd_open(pid: number): number;
  warden_pidfd_signal(pidfd: number, signal: number): number;
  warden_raise_open_files(wanted: number): number;
  warden_reap(pid: number, result: Words): number;
  warden_epoll_create(): number;
  warden_epoll_add(epoll: number, fd: number, events: number, cookie: number): number;
  warden_epoll_modify(epoll: number, fd: number, events: number, cookie: number): number;
  warden_epoll_delete(epoll: number, fd: number): number;
  warden_epoll_poll(epoll: number, events: Uint32Array, capacity: number): number;
  warden_netlink_open(protocol: number): number;
  warden_netlink_open_elsewhere(pid: number, protocols: Words, count: number, fds: Words): number;
  warden_netlink_send(fd: number, bytes: Bytes, size: number): number;
  warden_netlink_receive(fd: number, buffer: Bytes, size: number, timeoutMs: number): number;
  warden_interface_index(name: Bytes): number;
  warden_mount(type: Bytes, source: Bytes, target: Bytes, flags: number, data: Bytes): number;
  warden_open_read_only(path: Bytes): number;
  warden_shutdown_filesystem(path: Bytes): number;
  warden_unmount(target: Bytes, detach: number): number;
  warden_try_mount(
    type: Bytes,
    source: Bytes,
    target: Bytes,
    flags: number,
    data: Bytes,
    checkWrite: number,
    failedStep: Words,
  ): number;
  warden_loop_attach(imagePath: Bytes, index: Words): number;
  warden_loop_grow(devicePath: Bytes): number;
  warden_quota_get(path: Bytes, kind: number, id: number, values: BigUint64Array): number;
  warden_quota_set(path: Bytes, kind: number, id: number, limits: BigUint64Array): number;
  warden_set_project(path: Bytes, project: number): number;
  warden_btrfs_facts(path: Bytes, filesystem: Bytes, facts: BigUint64Array): number;
  warden_btrfs_quota_control(path: Bytes, command: number): number;
  warden_btrfs_rescan(path: Bytes): number;
  warden_btrfs_create_subvolume(parent: Bytes, name: Bytes): number;
  warden_btrfs_destroy_subvolume(parent: Bytes, name: Bytes): number;
  warden_btrfs_limit(path: Bytes, group: bigint, bytes: bigint): number;
  warden_btrfs_remove_group(path: Bytes, group: bigint): number;
  warden_attach_device_program(
    path: Bytes,
    instructions: Bytes,
    size: number,
    log: Bytes,
    logSize: number,
  ): number;
}

/**
 * Result and argument types by koffi's names: i = int, u = uint32_t, U = uint64_t, l = int64_t, p = pointer
 * to a buffer, s = string.
 */
const SIGNATURES: Readonly<Record<keyof NativeLibrary, string>> = {
  warden_error_text: 's i',
  warden_close: 'i i',
  warden_duplicate: 'i i',
  warden_read: 'l ipu',
  warden_write: 'l ipu',
  warden_splice: 'l iiUu',
  warden_set_nonblocking: 'i i',
  warden_grow_pipe: 'i iu',
  warden_pipe: 'i p',
  warden_eventfd: 'i ',
  warden_sealed_memfd: 'i ppu',
  warden_lock_file: 'i p',
  warden_sync_directory: 'i p',
  warden_spread_directories: 'i p',
  warden_control_files: 'l ppupu',
  warden_write_setting: 'i ppu',
  warden_open_inside: 'i pp',
  warden_reread_file: 'l i',
  warden_umask: 'i u',
  warden_copy_sparse: 'i pp',
  warden_allocate_file: 'i pU',
  warden_remove_tree: 'i ppu',
  warden_strip_tree: 'i ppuppu',
  warden_move_pieces: 'i iipuupuup',
  warden_socketpair: 'i ip',
  warden_connect_unix: 'i pi',
  warden_send: 'l ipupu',
  warden_receive: 'l ipupp',
  warden_grow_send_buffer: 'i iu',
  warden_datagram_socket: 'i ',
  warden_send_datagram: 'i ippu',
  warden_peer_credentials: 'i ip',
  warden_spawn: 'i pppupupuup',
  warden_pidfd_open: 'i i',
  warden_pidfd_signal: 'i ii',
  warden_raise_open_files: 'i i',
  warden_reap: 'i ip',
  warden_epoll_create: 'i ',
  warden_epoll_add: 'i iiuu',
  warden_epoll_modify: 'i iiuu',
  warden_epoll_delete: 'i ii',
  warden_epoll_poll: 'i ipu',
  warden_netlink_open: 'i i',
  warden_netlink_open_elsewhere: 'i ipup',
  warden_netlink_send: 'i ipu',
  warden_netlink_receive: 'l ipui',
  warden_interface_index: 'i p',
  warden_mount: 'i pppup',
  warden_open_read_only: 'i p',
  warden_shutdown_filesystem: 'i p',
  warden_unmount: 'i pi',
  warden_try_mount: 'i pppupip',
  warden_loop_attach: 'i pp',
  warden_loop_grow: 'i p',
  warden_quota_get: 'i piup',
  warden_quota_set: 'i piup',
  warden_set_project: 'i pu',
  warden_btrfs_facts: 'i ppp',
  warden_btrfs_quota_control: 'i pu',
  warden_btrfs_rescan: 'i p',
  warden_btrfs_create_subvolume: 'i pp',
  warden_btrfs_destroy_subvolume: 'i pp',
  warden_btrfs_limit: 'i pUU',
  warden_btrfs_remove_group: 'i pU',
  warden_attach_device_program: 'i ppupu',
};

const TYPE_NAMES: Readonly<Record<string, string>> = {
  i: 'int',
  u: 'uint32_t',
  U: 'uint64_t',
  l: 'int64_t',
  p: 'void *',
  s: 'str',
};

let loadedKoffi: typeof Koffi | undefined;
let loaded: NativeLibrary | undefined;

/**
 * The foreign function interface, loaded at the first call: its compiled part is an optional dependency, and
 * what only imports this package (`--version`, `doctor`) must work without. Errors: `UNSUPPORTED` where that
 * part is missing.
 */
export function koffi(): typeof Koffi {
  if (loadedKoffi !== undefined) return loadedKoffi;
  try {
    const require = createRequire(import.meta.url);
    loadedKoffi = require(directoryOf('koffi', require) ?? 'koffi') as typeof Koffi;
    return loadedKoffi;
  } catch (cause) {
    throw new WardenError(
      'UNSUPPORTED',
      `load-library koffi: ${(cause as Error).message} (for ${process.platform}-${process.arch}); install the optional dependencies (npm leaves them out by --omit=optional, or when node_modules came from another platform)`,
      { fields: { operation: 'load-library', object: 'koffi' }, cause },
    );
  }
}

/**
 * Where Node would find it. Asked for by its directory a package is loaded some milliseconds sooner: for a name
 * Node loads what it resolves `exports` with, and reads the manifests on the way.
 */
function directoryOf(name: string, { resolve }: NodeJS.Require): string | undefined {
  const directory = (resolve.paths(name) ?? [])
    .map((modules) => join(modules, name))
    .find((place) => existsSync(join(place, 'package.json')));
  return directory === undefined ? undefined : realpathSync(directory);
}

/** The library, loaded at the first call: importing the package needs nothing. */
export function native(): NativeLibrary {
  loaded ??= load(koffi(), libraryPath());
  return loaded;
}

/**
 * Calls a function on a thread of Node's pool, for what waits for a disk. Errors: `NATIVE_FAILED` (EAGAIN)
 * while too many wait for one.
 */
export async function callOnThread<N extends keyof NativeLibrary>(
  name: N,
  ...parameters: Parameters<NativeLibrary[N]>
): Promise<ReturnType<NativeLibrary[N]>> {
  const { async: start } = native()[name] as unknown as {
    async(...all: readonly unknown[]): void;
  };
  const held: unknown[] = [...parameters]; // C looks at buffers until it answers
  return await new Promise((resolve, reject) => {
    try {
      start(...parameters, (error: Error | null, result: ReturnType<NativeLibrary[N]>) => {
        held.length = 0;
        if (error) reject(error);
        else resolve(result);
      });
    } catch (error) {
      reject(refusal(name, error as Error));
    }
  });
}

/** Only its text tells what koffi throws. */
function refusal(operation: string, cause: Error): Error {
  if (!cause.message.includes('asynchronous calls')) return cause;
  return new WardenError('NATIVE_FAILED', `${operation}: ${cause.message} (EAGAIN)`, {
    fields: { operation, errno: 'EAGAIN' },
    cause,
  });
}

function allowCalls({ config }: typeof Koffi): void {
  try {
    config({ max_async_calls: MOST_CALLS });
  } catch {
    // somebody else in this process has loaded a library by it, and has said how many
  }
}

function load(loader: typeof Koffi, path: string): NativeLibrary {
  allowCalls(loader);
  try {
    const library = loader.load(path);
    const entries = Object.entries(SIGNATURES).map(([name, signature]) => {
      const [result, parameters] = signature.split(' ') as [string, string];
      return [
        name,
        library.func(
          name,
          TYPE_NAMES[result]!,
          [...parameters].map((letter) => TYPE_NAMES[letter]!),
        ),
      ];
    });
    return Object.fromEntries(entries) as NativeLibrary;
  } catch (cause) {
    throw new WardenError('UNSUPPORTED', `load-library ${path}: ${(cause as Error).message}`, {
      fields: { operation: 'load-library', object: path },
      cause,
    });
  }
}

/**
 * Where the shared library was found: the environment variable `WARDEN_NATIVE_LIBRARY`, else
 * `prebuilt/linux-<arch>/` of this package, else the optional platform package. Errors: `UNSUPPORTED`, with
 * every place in `fields.tried`.
 */
export function libraryPath(): string {
  const override = process.env.WARDEN_NATIVE_LIBRARY;
  // An override that does not exist is a mistake to tell, not to paper over with another build.
  const places = override ? [() => resolve(override)] : [ownPrebuilt, platformPackage];
  for (const place of places) {
    const path = place();
    if (path !== undefined && existsSync(path)) return path;
  }
  const tried = places.map((place) => place() ?? platformPackageName());
  throw new WardenError(
    'UNSUPPORTED',
    `load-library ${FILE_NAME}: not found for ${process.platform}-${process.arch} (tried ${tried.join(', ')}); install the optional dependencies, build it or set WARDEN_NATIVE_LIBRARY`,
    { fields: { operation: 'load-library', object: FILE_NAME, tried } },
  );
}

function ownPrebuilt(): string {
  // The same distance from src/ and from dist/.
  return fileURLToPath(
    new URL(`../prebuilt/${process.platform}-${process.arch}/${FILE_NAME}`, import.meta.url),
  );
}

function platformPackageName(): string {
  return `@warden/native-${process.platform}-${process.arch}-${hasGlibc() ? 'glibc' : 'musl'}`;
}

/** What the types of Node 20 do not know. */
type Report = NodeJS.ProcessReport & { excludeNetwork: boolean };

function hasGlibc(): boolean {
  const report = process.report as Report | undefined;
  if (report === undefined) return false;
  // a report tells of each open connection, whose other side it asks a name server for
  const wasExcluded = report.excludeNetwork;
  report.excludeNetwork = true;
  try {
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
    return header?.glibcVersionRuntime !== undefined;
  } finally {
    report.excludeNetwork = wasExcluded;
  }
}

function platformPackage(): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${platformPackageName()}/package.json`);
    return join(dirname(manifest), FILE_NAME);
  } catch {
    return undefined; // an optional dependency: absent on other platforms and in a source checkout
  }
}
