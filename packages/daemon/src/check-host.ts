/** What a start can be refused for before anything is made (spec behaviour.md 2, step 4), in the original's texts. */
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { type Configuration, isInsecure } from './config.ts';

/** Errors: as {@link checkRights}; `INVALID_SPEC` (no root file system). Without isolation there is nothing to check. */
export function checkHost(configuration: Configuration, euid?: number): void {
  if (isInsecure(configuration)) return;
  checkRights(configuration, euid);
  const { container_rootfs_path } = configuration.server;
  if (container_rootfs_path !== undefined && !isDirectory(container_rootfs_path)) {
    throw new WardenError('INVALID_SPEC', `container_rootfs_path does not exist ${container_rootfs_path}`, {
      fields: { operation: 'start', object: path.resolve(container_rootfs_path), errno: 'ENOENT' },
    });
  }
}

/** Errors: `UNSUPPORTED` (not root). Without isolation none are needed. */
export function checkRights(
  configuration: Configuration,
  euid: number | undefined = process.geteuid?.(),
): void {
  if (isInsecure(configuration) || euid === 0) return;
  throw new WardenError('UNSUPPORTED', 'linux containers require root privileges', {
    fields: { operation: 'start', uid: euid },
  });
}

/** Never throws for what is not there. */
export function isDirectory(target: string): boolean {
  return fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
}
