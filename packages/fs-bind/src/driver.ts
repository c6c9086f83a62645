/**
 * The bind driver (spec linux-container.md 5.2, fallback): the layer is the root, with a copy of each
 * directory that programs write to, and the base's other parts are bound over it, read-only. So whatever the
 * base lacks can be made without touching it.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  type DriverFactory,
  type DriverState,
  decodeBytes,
  encodeBytes,
  type FilesystemDriver,
  type FilesystemSupports,
  isWardenError,
  type Mount,
  type ProbeResult,
  type RootfsSpec,
  WardenError,
} from '@warden/interface';
import { MS, makeTrial, removeTree, tryMountBeside } from '@warden/native';
import { copyTree } from './copy-tree.ts';
import { resolveInside } from './resolve-inside.ts';

const LAYER = 'tmp/rootfs';
/** Directories with a writable copy of their own, in the original's order. */
const WRITABLE = ['dev', 'etc', 'home', 'sbin', 'var', 'tmp'];

/** The driver that stacks nothing. */
export function bind(): DriverFactory<FilesystemDriver> {
  return () => new BindDriver();
}

class BindDriver implements FilesystemDriver {
  readonly role = 'filesystem';
  readonly name = 'bind';
  readonly supports: FilesystemSupports = {
    wholeRootWritable: false,
    constantTimeCreate: false,
    nestable: true,
    isInDirectory: true,
  };

  async probe(depot: string): Promise<ProbeResult> {
    let trial: string | undefined;
    try {
      trial = await makeTrial(depot, '.bind-probe-');
      const [source, target] = ['source', 'target'].map((name) => path.join(trial!, name)) as [
        string,
        string,
      ];
      for (const one of [source, target]) fs.mkdirSync(one);
      const result = await tryMountBeside(
        { type: 'none', source, target, flags: MS.BIND, data: '' },
        'write',
      );
      return result.ok
        ? { ok: true }
        : { ok: false, reason: `a bind mount in ${depot} fails at ${result.step}: ${result.errno}` };
    } catch (error) {
      return { ok: false, reason: (error as Error).message };
    } finally {
      if (trial !== undefined) await removeTree(trial);
    }
  }

  plan(): DriverState {
    return { layer: LAYER };
  }

  async prepare(spec: RootfsSpec): Promise<void> {
    if (fs.statSync(spec.base, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new WardenError(
        'INVALID_SPEC',
        `the base of the root file system is no directory: ${spec.base}`,
        {
          fields: { operation: 'prepare root', object: spec.base, errno: 'ENOTDIR' },
        },
      );
    }
    const layer = layerOf(spec);
    try {
      // what is below is the container's: its set-user-id programs are for nobody on the host
      fs.mkdirSync(path.dirname(layer), { recursive: true, mode: 0o700 });
      fs.mkdirSync(layer, { recursive: true, mode: 0o755 });
      makePlaces(spec.base, layer);
      for (const name of WRITABLE) await copyOnce(directoryOf(spec.base, name), path.join(layer, name));
    } catch (cause) {
      throw failure('prepare root', layer, cause);
    }
  }

  mounts(spec: RootfsSpec): readonly Mount[] {
    const layer = layerOf(spec);
    const bindOf = (source: string, target: string, mode: 'ro' | 'rw'): Mount => ({
      type: 'none',
      source,
      target,
      options: ['bind', mode],
    });
    try {
      const parts = sharedParts(spec.base).filter((part) => isMounted(spec.base, part));
      return [
        bindOf(layer, '/', 'rw'),
        ...parts.map(({ name }) => bindOf(`${spec.base}/${name}`, `/${name}`, 'ro')),
      ];
    } catch (cause) {
      throw failure('find mounts', spec.base, cause);
    }
  }

  async release(spec: RootfsSpec): Promise<void> {
    const layer = layerOf(spec);
    try {
      await removeTree(layer);
      fs.rmdirSync(path.dirname(layer));
    } catch (cause) {
      // others may have put something beside the layer
      if (!['ENOENT', 'ENOTEMPTY', 'EBUSY'].includes((cause as NodeJS.ErrnoException).code ?? ''))
        throw failure('release root', layer, cause);
    }
  }
}

/**
 * The host's path of a directory of the base, which may be a link, as /sbin is to usr/sbin: the copy is of
 * what it leads to.
 */
function directoryOf(base: string, name: string): string | undefined {
  const resolved = resolveInside(base, name);
  return resolved !== undefined && fs.statSync(resolved).isDirectory() ? resolved : undefined;
}

interface Part {
  readonly name: string;
  readonly facts: fs.Stats;
}

/**
 * What lies at the top of the base and has no writable copy. Pipes, sockets and devices stay behind, as in
 * the copies.
 */
function sharedParts(base: string): Part[] {
  return fs
    .readdirSync(base, { encoding: 'buffer' })
    .map((name) => ({ name: decodeBytes(name), facts: fs.lstatSync(below(base, name)) }))
    .filter(({ name, facts }) => {
      if (WRITABLE.includes(name) && directoryOf(base, name) !== undefined) return false;
      return facts.isDirectory() || facts.isFile() || facts.isSymbolicLink();
    });
}

/**
 * Links are made anew, and of an empty directory there is nothing to share: it is one of the layer, so that
 * something can be mounted in it.
 */
function isMounted(base: string, { name, facts }: Part): boolean {
  if (facts.isDirectory()) return fs.readdirSync(below(base, encodeBytes(name))).length > 0;
  return facts.isFile();
}

/** Makes in the layer what the shared parts are mounted over. What is there already stays. */
function makePlaces(base: string, layer: string): void {
  const { mode, uid, gid } = fs.statSync(base);
  fs.chownSync(layer, uid, gid);
  fs.chmodSync(layer, mode & 0o7777);
  for (const { name, facts } of sharedParts(base)) {
    const place = below(layer, encodeBytes(name));
    if (fs.lstatSync(place, { throwIfNoEntry: false }) !== undefined) continue;
    if (facts.isDirectory()) makeAlike(place, facts);
    else if (facts.isFile()) fs.closeSync(fs.openSync(place, 'wx', 0o644));
    else fs.symlinkSync(fs.readlinkSync(below(base, encodeBytes(name)), { encoding: 'buffer' }), place);
  }
}

function makeAlike(directory: Buffer, { mode, uid, gid }: fs.Stats): void {
  fs.mkdirSync(directory);
  fs.chownSync(directory, uid, gid);
  fs.chmodSync(directory, mode & 0o7777);
}

/** Copies a directory, or makes an empty one where the base has none. An existing copy is kept. */
async function copyOnce(source: string | undefined, copy: string): Promise<void> {
  if (fs.lstatSync(copy, { throwIfNoEntry: false }) !== undefined) return;
  if (source === undefined) {
    fs.mkdirSync(copy, { mode: 0o755 });
    if (path.basename(copy) === 'tmp') fs.chmodSync(copy, 0o1777);
    return;
  }
  const half = `${copy}.half`;
  await removeTree(half);
  await copyTree(source, half);
  fs.renameSync(half, copy);
}

function below(directory: string, name: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), name]);
}

function layerOf(spec: RootfsSpec): string {
  return path.join(spec.directory, LAYER);
}

function failure(operation: string, object: string, cause: unknown): WardenError {
  const { code, path: at, message } = cause as NodeJS.ErrnoException;
  // those of our own calls have it among their fields
  const found = isWardenError(cause) ? cause.fields : { object: at, errno: code };
  return new WardenError('NATIVE_FAILED', `${operation}: ${message}`, {
    cause,
    fields: { operation, object: found.object ?? object, errno: found.errno },
  });
}
