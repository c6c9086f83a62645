import fs from 'node:fs';
import { copyFilesystem, filesystemCompliance } from '@warden/driver-compliance';
import { aufs } from '@warden/fs-aufs';
import { bind } from '@warden/fs-bind';
import { overlayfs } from '@warden/fs-overlayfs';
import type { DriverFactory, FilesystemDriver } from '@warden/interface';
import { describeWith } from '@warden/test-harness';
import { describe, it } from 'vitest';
import { filesystemSubject } from './subjects/filesystem.ts';

const DRIVERS: Readonly<Record<string, DriverFactory<FilesystemDriver>>> = {
  overlayfs: overlayfs(),
  'overlayfs with further options': overlayfs({ mountOptions: ['volatile', 'index=off'] }),
  bind: bind(),
  copy: copyFilesystem(),
};

describeWith(['root', 'isolated', 'overlayfs'], 'file systems', () => {
  for (const [name, driver] of Object.entries(DRIVERS))
    filesystemCompliance({ describe, it }, name, () => filesystemSubject(driver));
});

const knowsAufs = /\baufs\b/.test(fs.readFileSync('/proc/filesystems', 'utf8'));
describe.skipIf(!knowsAufs)(
  `aufs${knowsAufs ? '' : ' [needs: aufs in the kernel, in a guest by KERNEL=... npm run vm]'}`,
  () => {
    filesystemCompliance({ describe, it }, 'aufs', () => filesystemSubject(aufs()));
  },
);
