/**
 * The aufs driver: one writable branch over one read-only branch whose whiteouts are honoured (spec
 * linux-container.md 5.2).
 */
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
import { makeTrial, removeTree, tryMountBeside } from '@warden/native';

const LAYER = 'tmp/rootfs';
/** They separate branches and options, and aufs knows no escape for them. */
const UNSUPPORTED_CHARACTERS = /[:,=]/;

/** The driver that stacks with aufs. */
export function aufs(): DriverFactory<FilesystemDriver> {
  return () => new AufsDriver();
}

class AufsDriver implements FilesystemDriver {
  readonly role = 'filesystem';
  readonly name = 'aufs';
  readonly supports: FilesystemSupports = {
    wholeRootWritable: true,
    constantTimeCreate: true,
    nestable: false,
  };

  async probe(depot: string): Promise<ProbeResult> {
    let trial: string | undefined;
    try {
      trial = await makeTrial(depot, '.aufs-probe-');
      const [base, directory, target] = ['base', 'container', 'root'].map((name) =>
        path.join(trial!, name),
      ) as [string, string, string];
      for (const one of [base, directory, target]) fs.mkdirSync(one);
      const spec: RootfsSpec = { id: '00000000000', directory, base };
      await this.prepare(spec);
      const [mount] = this.mounts(spec) as [Mount];
      const result = await tryMountBeside(
        { type: 'aufs', source: 'none', target, flags: 0, data: mount.options.join(',') },
        'write',
      );
      if (result.ok) return { ok: true };
      // not asked of /proc/filesystems, which lacks what the mount would have loaded as a module
      if (result.errno === 'ENODEV') return { ok: false, reason: 'the kernel has no aufs' };
      return {
        ok: false,
        reason: `an aufs with its writable branch in ${depot} fails at ${result.step}: ${result.errno}`,
      };
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
    const layer = layerOf(spec);
    const fail = (message: string, errno: string): WardenError =>
      new WardenError('INVALID_SPEC', message, {
        fields: { operation: 'prepare root', object: spec.base, errno },
      });
    if (fs.statSync(spec.base, { throwIfNoEntry: false })?.isDirectory() !== true)
      throw fail(`the base of the root file system is no directory: ${spec.base}`, 'ENOTDIR');
    const awkward = [spec.base, layer].find((one) => UNSUPPORTED_CHARACTERS.test(one));
    if (awkward !== undefined)
      throw fail(`aufs cannot take a path with a colon, comma or equals sign: ${awkward}`, 'EINVAL');
    try {
      if (fs.existsSync(layer)) return;
      // what is below is the container's: its set-user-id programs are for nobody on the host
      fs.mkdirSync(path.dirname(layer), { recursive: true, mode: 0o700 });
      fs.mkdirSync(layer, { mode: 0o755 });
      const { mode, uid, gid } = fs.statSync(spec.base);
      fs.chownSync(layer, uid, gid);
      fs.chmodSync(layer, mode & 0o7777);
    } catch (cause) {
      throw failure('prepare root', layer, cause);
    }
  }

  mounts(spec: RootfsSpec): readonly Mount[] {
    return [
      { type: 'aufs', source: 'none', target: '/', options: [`br:${layerOf(spec)}=rw:${spec.base}=ro+wh`] },
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
