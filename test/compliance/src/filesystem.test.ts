import fs from 'node:fs';
import { copyFilesystem, filesystemCompliance } from '@warden/driver-compliance';
import { aufs } from '@warden/fs-aufs';
import { bind } from '@warden/fs-bind';
import { overlayfs } from '@warden/fs-overlayfs';
import type { DriverFactory, FilesystemDriver } from '@warden/interface';
import { describeWith } from '@warden/test-harness';
import { describe, it } from 'vitest';
import { filesystemSubject, mountAsUser } from './subjects/filesystem.ts';
import { mountByInit } from './subjects/mount-by-init.ts';

const DRIVERS: Readonly<Record<string, DriverFactory<FilesystemDriver>>> = {
  overlayfs: overlayfs(),
  'overlayfs, not volatile': overlayfs({ volatile: false }),
  'overlayfs, metacopy and redirects': overlayfs({ metacopy: true, redirectDir: 'on', index: true }),
  'overlayfs, no redirects, no index': overlayfs({
    metacopy: false,
    redirectDir: 'off',
    index: false,
    xino: 'off',
  }),
  bind: bind(),
  copy: copyFilesystem(),
};

/**
 * Mounted as a container's init mounts them: by wshd in a user namespace, bases id-mapped, and everything
 * else that confines.
 */
const CONFINED_DRIVERS: Readonly<Record<string, DriverFactory<FilesystemDriver>>> = {
  'overlayfs, id-mapped base in a user namespace': overlayfs(),
  'bind, id-mapped base in a user namespace': bind(),
};

describeWith(['root', 'isolated', 'overlayfs'], 'file systems', () => {
  for (const [name, driver] of Object.entries(DRIVERS))
    filesystemCompliance({ describe, it }, name, () => filesystemSubject(driver));
  for (const [name, driver] of Object.entries(CONFINED_DRIVERS))
    filesystemCompliance({ describe, it }, name, () => filesystemSubject(driver, mountByInit));
  filesystemCompliance({ describe, it }, 'overlayfs, mounted by root of a user namespace', () =>
    filesystemSubject(overlayfs({ userxattr: true }), mountAsUser),
  );
});

const knowsAufs =
  process.env.WARDEN_TEST_LIST !== undefined || /\baufs\b/.test(fs.readFileSync('/proc/filesystems', 'utf8'));
describe.skipIf(!knowsAufs)(
  `aufs${knowsAufs ? '' : ' [needs: aufs in the kernel, in a guest by KERNEL=... npm run vm]'}`,
  () => {
    filesystemCompliance({ describe, it }, 'aufs', () => filesystemSubject(aufs()));
  },
);
