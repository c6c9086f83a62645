/** What a start can be refused for before anything is made (spec behaviour.md 2, step 4), in the original's texts. */
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { type Configuration, isInsecure } from './config.ts';

/** Errors: `UNSUPPORTED` (not root), `INVALID_SPEC` (no root file system). Without isolation there is nothing to check. */
export function checkHost(
  configuration: Configuration,
  euid: number | undefined = process.geteuid?.(),
): void {
  if (isInsecure(configuration)) return;
  const { container_rootfs_path } = configuration.server;
  if (euid !== 0) {
    throw new WardenError('UNSUPPORTED', 'linux containers require root privileges', {
      fields: { operation: 'start', uid: euid },
    });
  }
  if (container_rootfs_path !== undefined && !isDirectory(container_rootfs_path)) {
    throw new WardenError('INVALID_SPEC', `container_rootfs_path does not exist ${container_rootfs_path}`, {
      fields: { operation: 'start', object: path.resolve(container_rootfs_path), errno: 'ENOENT' },
    });
  }
}

function isDirectory(target: string): boolean {
  return fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
}
