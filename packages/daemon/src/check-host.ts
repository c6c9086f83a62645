/** What a start can be refused for before anything is made (spec behaviour.md 2, step 4), in the original's texts. */
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { type Configuration, isInsecure } from './config.ts';

/** Errors: as {@link checkRights} and {@link requireRootfs}. Without isolation there is nothing to check. */
export function checkHost(configuration: Configuration, euid?: number): void {
  checkRights(configuration, euid);
  requireRootfs(configuration);
}

/** Errors: `INVALID_SPEC` (no root file system). Without isolation none is needed. */
export function requireRootfs(configuration: Configuration): void {
  const { container_rootfs_path: rootfs } = configuration.server;
  if (isInsecure(configuration) || rootfs === undefined) return;
  const facts = fs.statSync(rootfs, { throwIfNoEntry: false });
  if (facts?.isDirectory()) return;
  const object = path.resolve(rootfs);
  throw facts === undefined
    ? new WardenError('INVALID_SPEC', `container_rootfs_path does not exist ${rootfs}`, {
        fields: { operation: 'start', object, errno: 'ENOENT' },
      })
    : new WardenError('INVALID_SPEC', `container_rootfs_path is no directory: ${rootfs}`, {
        fields: { operation: 'start', object, errno: 'ENOTDIR' },
      });
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
