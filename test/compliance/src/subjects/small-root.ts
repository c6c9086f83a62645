/** A root file system for the kits: with its hundreds of names, the default one takes longer to make than a test. */
import fs from 'node:fs';
import path from 'node:path';
import { defaultRootfs } from '@warden/test-harness';

const DIRECTORIES = ['bin', 'dev', 'etc', 'home', 'mnt', 'proc', 'root', 'sys', 'usr/bin', 'var/log'];
const COPIED = ['bin/busybox', 'bin/bash', 'etc/passwd', 'etc/group', 'etc/hosts', 'etc/profile'];
/** What the kits ask of a root, and what their jobs run. */
const APPLETS = [
  'cat',
  'chmod',
  'chown',
  'ln',
  'ls',
  'mkdir',
  'mv',
  'rm',
  'rmdir',
  'sh',
  'sleep',
  'stat',
  'touch',
];

/** Makes one at `root`, which nobody else has. */
export async function makeSmallRoot(root: string): Promise<void> {
  const whole = await defaultRootfs();
  for (const name of DIRECTORIES) fs.mkdirSync(path.join(root, name), { recursive: true, mode: 0o755 });
  for (const name of ['tmp', 'var/tmp']) {
    fs.mkdirSync(path.join(root, name));
    fs.chmodSync(path.join(root, name), 0o1777);
  }
  for (const name of COPIED) fs.copyFileSync(path.join(whole, name), path.join(root, name));
  for (const name of APPLETS) fs.symlinkSync('/bin/busybox', path.join(root, 'bin', name));
}
