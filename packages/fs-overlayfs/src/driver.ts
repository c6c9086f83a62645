/** The overlayfs driver. */
import fs from 'node:fs';
import path from 'node:path';
import {
  type DriverComponents,
  type DriverFactory,
  type DriverState,
  type FilesystemDriver,
  type FilesystemSupports,
  type Mount,
  type ProbeResult,
  type RootfsSpec,
  WardenError,
} from '@warden/interface';
import { makeTrial, removeTree, tryMountBeside } from '@warden/native';
import { MAX_DATA_BYTES, overlayOptions } from './mount-data.ts';
import { type OverlayfsOptions, optionWords } from './mount-options.ts';

/** Writable layer, where clients look for it (spec behaviour.md 15.2). */
const UPPER = 'tmp/rootfs';
/** On the same file system, beside it: overlayfs renames from one to the other. */
const WORK = 'tmp/.rootfs-work';

/**
 * The driver that stacks with overlayfs. Linux 4.0 or newer; the depot must lie on a file system that can be
 * an upper layer. Errors: `TypeError` for options that exclude each other.
 */
export function overlayfs(options: OverlayfsOptions = {}): DriverFactory<FilesystemDriver> {
  const words = optionWords(options);
  return (_components: DriverComponents) => new OverlayfsDriver(words);
}

class OverlayfsDriver implements FilesystemDriver {
  readonly role = 'filesystem';
  readonly name = 'overlayfs';
  readonly supports: FilesystemSupports;
  readonly #mountOptions: readonly string[];

  constructor(mountOptions: readonly string[]) {
    this.#mountOptions = mountOptions;
    this.supports = {
      wholeRootWritable: true,
      constantTimeCreate: true,
      nestable: false,
      isInDirectory: true,
      // marks of one kind are not seen with the other
      stacksLayers: !mountOptions.includes('userxattr'),
    };
  }

  async probe(depot: string): Promise<ProbeResult> {
    let trial: string | undefined;
    try {
      trial = await makeTrial(depot, '.overlayfs-probe-');
      const [base, directory, target] = ['base', 'container', 'root'].map((name) => path.join(trial!, name));
      for (const one of [base!, directory!, target!]) fs.mkdirSync(one);
      const spec: RootfsSpec = { id: '00000000000', directory: directory!, base: base! };
      makeLayers(spec);
      const [mount] = this.mounts(spec);
      const result = await tryMountBeside(
        { type: 'overlay', source: 'overlay', target: target!, flags: 0, data: mount!.options.join(',') },
        'write',
      );
      if (result.ok)
        return { ok: true, ...(this.#mountOptions.length > 0 && { detail: this.#mountOptions.join(' ') }) };
      return {
        ok: false,
        reason: `an overlay with its upper layer in ${depot} fails at ${result.step}: ${result.errno}`,
      };
    } catch (error) {
      return { ok: false, reason: (error as Error).message };
    } finally {
      if (trial !== undefined) await removeTree(trial);
    }
  }

  plan(): DriverState {
    return { upper: UPPER, work: WORK };
  }

  async prepare(spec: RootfsSpec): Promise<void> {
    for (const layer of [spec.base, ...(spec.below ?? [])]) {
      if (fs.statSync(layer, { throwIfNoEntry: false })?.isDirectory() === true) continue;
      throw new WardenError('INVALID_SPEC', `the base of the root file system is no directory: ${layer}`, {
        fields: { operation: 'prepare root', object: layer, errno: 'ENOTDIR' },
      });
    }
    const [{ options }] = this.mounts(spec) as [Mount];
    // who mounts several layers gives them short names
    if (!spec.below?.length && Buffer.byteLength(options.join(',')) > MAX_DATA_BYTES) {
      throw new WardenError(
        'INVALID_SPEC',
        `the paths of the overlay do not fit into ${MAX_DATA_BYTES} bytes: ${spec.base}`,
        {
          fields: { operation: 'prepare root', object: spec.base, errno: 'ENAMETOOLONG' },
        },
      );
    }
    try {
      makeLayers(spec);
    } catch (cause) {
      throw failure('prepare root', spec.directory, cause);
    }
  }

  mounts(spec: RootfsSpec): readonly Mount[] {
    const layers = {
      lower: [spec.base, ...(spec.below ?? [])],
      upper: path.join(spec.directory, UPPER),
      work: path.join(spec.directory, WORK),
    };
    return [
      {
        type: 'overlay',
        source: 'overlay',
        target: '/',
        options: [...overlayOptions(layers), ...this.#mountOptions],
      },
    ];
  }

  /**
   * The layers themselves are never another container's: what it has done to their roots would stay, and its
   * disk project.
   */
  readonly reusable = [{ path: 'tmp', mode: 0o700 }];

  writableLayer(spec: RootfsSpec): string {
    return path.join(spec.directory, UPPER);
  }

  async release(spec: RootfsSpec): Promise<void> {
    try {
      for (const name of [UPPER, WORK]) await removeTree(path.join(spec.directory, name));
      removeIfEmpty(path.join(spec.directory, 'tmp'));
    } catch (cause) {
      throw failure('release root', spec.directory, cause);
    }
  }
}

/** What exists already is kept; on failure what was made here goes again. */
function makeLayers(spec: RootfsSpec): void {
  const made: string[] = [];
  try {
    for (const name of ['tmp', UPPER, WORK]) {
      const directory = path.join(spec.directory, name);
      if (makeDirectory(directory)) made.push(directory);
      // With `volatile` the kernel leaves this mark and refuses the next mount because of it.
      else if (name === WORK)
        fs.rmSync(path.join(directory, 'work/incompat'), { recursive: true, force: true });
    }
    const upper = path.join(spec.directory, UPPER);
    if (made.includes(upper)) {
      // the root of the overlay has the upper layer's owner and mode, and the container sees the base's
      const { mode, uid, gid } = fs.statSync(spec.base);
      fs.chownSync(upper, uid, gid);
      fs.chmodSync(upper, mode & 0o7777);
    }
  } catch (error) {
    for (const directory of made.reverse()) fs.rmdirSync(directory);
    throw error;
  }
}

/** Answers false when it is there already; anything else of that name is an error. */
function makeDirectory(directory: string): boolean {
  // a look is cheaper than an error with its stack, and one of them the quota driver has made before
  if (fs.lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return false;
  try {
    // what is below is the container's: its set-user-id programs are for nobody on the host
    fs.mkdirSync(directory, { mode: 0o700 });
    return true;
  } catch (error) {
    if (fs.lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return false;
    throw error;
  }
}

/** Others (a mounted disk limit) may have put something beside the layers. */
function removeIfEmpty(directory: string): void {
  try {
    fs.rmdirSync(directory);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

function failure(operation: string, object: string, cause: unknown): WardenError {
  const { code, path: at, message } = cause as NodeJS.ErrnoException;
  return new WardenError('NATIVE_FAILED', `${operation}: ${message}`, {
    cause,
    fields: { operation, object: at ?? object, errno: code },
  });
}
