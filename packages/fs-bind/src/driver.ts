/** The bind driver (spec linux-container.md 5.2, fallback). */
import fs from 'node:fs';
import path from 'node:path';
import {
  type DriverFactory,
  type DriverState,
  type FilesystemDriver,
  type FilesystemSupports,
  type Mount,
  type ProbeResult,
  type RootfsSpec,
  WardenError,
} from '@warden/interface';
import { MS, removeTree, tryMount } from '@warden/native';
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
  };

  async probe(depot: string): Promise<ProbeResult> {
    let trial: string | undefined;
    try {
      trial = fs.mkdtempSync(path.join(depot, '.bind-probe-'));
      const [source, target] = ['source', 'target'].map((name) => path.join(trial!, name)) as [
        string,
        string,
      ];
      for (const one of [source, target]) fs.mkdirSync(one);
      const result = tryMount({ type: 'none', source, target, flags: MS.BIND, data: '' }, 'write');
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
    requireDirectory(spec.base, 'proc');
    const sources = new Map(WRITABLE.map((name) => [name, requireDirectory(spec.base, name)]));
    const layer = layerOf(spec);
    try {
      fs.mkdirSync(layer, { recursive: true, mode: 0o755 });
      for (const [name, source] of sources) {
        const copy = path.join(layer, name);
        if (fs.existsSync(copy)) continue; // an existing layer is kept
        const half = `${copy}.half`;
        await removeTree(half);
        await copyTree(source, half);
        fs.renameSync(half, copy);
      }
    } catch (cause) {
      throw failure('prepare root', layer, cause);
    }
  }

  mounts(spec: RootfsSpec): readonly Mount[] {
    return [
      { type: 'none', source: spec.base, target: '/', options: ['bind', 'ro'] },
      ...WRITABLE.map((name) => ({
        type: 'none',
        source: path.join(layerOf(spec), name),
        target: `/${name}`,
        options: ['bind', 'rw'],
      })),
    ];
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
 * The host's path of a directory of the base, which may be a link, as /sbin is to usr/sbin: init mounts over what the link leads to. The
 * read-only root cannot get a directory later, and the base is not ours to change.
 */
function requireDirectory(base: string, name: string): string {
  const resolved = resolveInside(base, name);
  if (resolved !== undefined && fs.statSync(resolved).isDirectory()) return resolved;
  throw new WardenError(
    'INVALID_SPEC',
    `the base ${base} lacks the directory /${name}, over which the bind driver mounts; make it, or use another driver`,
    {
      fields: { operation: 'prepare root', object: path.join(base, name), errno: 'ENOENT' },
    },
  );
}

function layerOf(spec: RootfsSpec): string {
  return path.join(spec.directory, LAYER);
}

function failure(operation: string, object: string, cause: unknown): WardenError {
  const { code, path: at, message } = cause as NodeJS.ErrnoException;
  return new WardenError('NATIVE_FAILED', `${operation}: ${message}`, {
    cause,
    fields: { operation, object: at ?? object, errno: code },
  });
}
