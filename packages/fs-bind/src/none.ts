/** The driver for containers without a root of their own: plain processes that see the host's files. */
import path from 'node:path';
import { type DriverFactory, type FilesystemDriver, type RootfsSpec, WardenError } from '@warden/interface';
import { removeTree } from '@warden/native';

/** Where the init of such containers lets jobs work and write; nothing keeps a job from closing or filling them. */
const WRITABLE = ['root', 'pids', 'tmp', 'jobs'];

/**
 * Mounts nothing and looks at no base. `release` removes what jobs may have written below the container's
 * directory.
 */
export function noFilesystem(): DriverFactory<FilesystemDriver> {
  return () => ({
    role: 'filesystem',
    name: 'none',
    supports: { wholeRootWritable: false, constantTimeCreate: true, nestable: true },
    probe: async () => ({ ok: true }),
    plan: () => ({}),
    prepare: async () => {},
    mounts: () => [],
    release: async (spec: RootfsSpec) => {
      for (const name of WRITABLE) await remove(path.join(spec.directory, name));
    },
  });
}

async function remove(target: string): Promise<void> {
  try {
    await removeTree(target);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new WardenError('NATIVE_FAILED', `cannot remove ${target}: ${message}`, {
      cause,
      fields: { operation: 'release root', object: target, errno: code },
    });
  }
}
