/**
 * A file-system driver that copies the whole base and answers one bind mount: slow, correct everywhere, and
 * simple enough to be believed. Tests of other packages use it where no stacking file system may be mounted.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type DriverFactory, type FilesystemDriver, type RootfsSpec, WardenError } from '@warden/interface';

/** Makes the fake. It keeps nothing in memory: any instance can release what another prepared. */
export function copyFilesystem(): DriverFactory<FilesystemDriver> {
  return () => ({
    role: 'filesystem',
    name: 'copy',
    supports: { wholeRootWritable: true, constantTimeCreate: false, nestable: true, isInDirectory: true },
    probe: async (depot) =>
      isDirectory(depot) ? { ok: true } : { ok: false, reason: `${depot} is not a directory` },
    plan: () => ({ layer: 'tmp/rootfs' }),
    prepare: async (spec) => {
      if (!isDirectory(spec.base)) {
        throw new WardenError('INVALID_SPEC', `the base ${spec.base} is not a directory`, {
          fields: { operation: 'prepare root', object: spec.base, errno: 'ENOTDIR' },
        });
      }
      const layer = layerOf(spec);
      try {
        fs.mkdirSync(path.dirname(layer), { recursive: true, mode: 0o700 });
        // an empty one is of somebody who died before the copy was complete
        if (!isDirectory(layer) || fs.readdirSync(layer).length === 0) copyWhole(spec.base, layer);
      } catch (cause) {
        throw new WardenError('NATIVE_FAILED', `prepare root: ${(cause as Error).message}`, {
          cause,
          fields: {
            operation: 'prepare root',
            object: layer,
            errno: (cause as NodeJS.ErrnoException).code,
          },
        });
      }
    },
    mounts: (spec) => [{ type: 'none', source: layerOf(spec), target: '/', options: ['bind', 'rw'] }],
    release: async (spec) => {
      fs.rmSync(path.join(spec.directory, 'tmp'), { recursive: true, force: true });
    },
  });
}

/** The layer appears when it is complete. */
function copyWhole(base: string, layer: string): void {
  const half = `${layer}.half`;
  fs.rmSync(half, { recursive: true, force: true });
  try {
    copy(base, half);
    fs.renameSync(half, layer);
  } catch (error) {
    fs.rmSync(half, { recursive: true, force: true });
    throw error;
  }
}

function layerOf(spec: RootfsSpec): string {
  return path.join(spec.directory, 'tmp/rootfs');
}

function isDirectory(target: string): boolean {
  return fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
}

function copy(source: string, target: string): void {
  const { mode, uid, gid } = fs.lstatSync(source);
  switch (mode & 0o170000) {
    case 0o040000:
      fs.mkdirSync(target);
      for (const name of fs.readdirSync(source)) copy(path.join(source, name), path.join(target, name));
      break;
    case 0o120000:
      fs.symlinkSync(fs.readlinkSync(source), target);
      fs.lchownSync(target, uid, gid);
      return;
    case 0o100000:
      fs.copyFileSync(source, target);
      break;
    default:
      return; // devices and sockets: init makes what a container needs
  }
  fs.chownSync(target, uid, gid);
  fs.chmodSync(target, mode & 0o7777); // after chown, which clears set-id bits
}
