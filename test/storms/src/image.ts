/** A root file system that can rage. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyRootfs, DEFAULT_ROOTFS } from '@warden/test-harness';

const PROBE = fileURLToPath(new URL('../../abuse/probe/build/abuse-probe', import.meta.url));

/** The default root with the probe, and with the file without which it refuses to do anything. */
export function makeImage(directory: string): void {
  copyRootfs(DEFAULT_ROOTFS, directory);
  fs.chmodSync(path.join(directory, 'tmp'), 0o1777);
  fs.copyFileSync(PROBE, path.join(directory, 'bin/abuse-probe'));
  fs.writeFileSync(path.join(directory, 'etc/abuse-victim'), '');
}
