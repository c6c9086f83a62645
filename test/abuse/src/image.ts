/**
 * Root file systems for the probe: a good one with things in it that must not work, and a hostile one whose
 * every program is the probe.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyRootfs, DEFAULT_ROOTFS } from '@warden/test-harness';

/** The program, built by its Makefile. */
export const PROBE: string = fileURLToPath(new URL('../probe/build/abuse-probe', import.meta.url));

/** Programs that a daemon or its helpers might be tempted to start from a root file system. */
const PROGRAMS =
  'bash sh busybox env mount umount ip ifconfig route ln hostname tar rsync cp mv mkdir mknod chown chmod id su sudo useradd groupadd gzip unpigz xz cat ls true sleep rm login getent modprobe init ldconfig iptables nft tc ps kill'.split(
    ' ',
  );

/** Where else they are looked for. */
const PLACES = ['bin', 'sbin', 'usr/bin', 'usr/sbin', 'usr/local/bin'];

/** A copy of the default root with the probe, gifted programs and device nodes in it. */
export function makeImage(directory: string): void {
  copyRootfs(DEFAULT_ROOTFS, directory);
  fs.chmodSync(path.join(directory, 'tmp'), 0o1777);
  fs.copyFileSync(PROBE, path.join(directory, 'bin/abuse-probe'));
  addBait(directory);
}

/**
 * A root whose every program tells, in `canary` on the host and in /canary/log, that it was started and what
 * held it; with accounts, links and files that mean harm. It can be created from: what cannot is the business
 * of the matrix in hostile-root.test.ts.
 */
export function makeHostileImage(directory: string, canary: string): void {
  for (const name of [...PLACES, 'etc', 'dev', 'proc', 'sys', 'root', 'lib64', 'lib', 'var/tmp', 'tmp'])
    fs.mkdirSync(path.join(directory, name), { recursive: true });
  fs.chmodSync(path.join(directory, 'tmp'), 0o1777);
  const program = path.join(directory, 'bin/abuse-probe');
  // the path stands at the end of the program itself: whoever starts it, wherever, it knows where to tell
  fs.writeFileSync(
    program,
    Buffer.concat([fs.readFileSync(PROBE), Buffer.from(`\nABUSE-CANARY=${canary}\n`)]),
    {
      mode: 0o755,
    },
  );
  for (const place of PLACES)
    for (const name of PROGRAMS) fs.linkSync(program, path.join(directory, place, name));
  for (const name of ['lib64/ld-linux-x86-64.so.2', 'lib/ld-musl-x86_64.so.1', 'lib/libc.so.6', 'sbin/wshd'])
    fs.linkSync(program, path.join(directory, name));
  const write = (name: string, text: string): void => fs.writeFileSync(path.join(directory, name), text);
  write(
    'etc/passwd',
    'vcap:x:0:0::/proc/1/cwd:/bin/sh\nroot::0:0::/proc/self/fd/3:/bin/sh\nvcap:x:4294967296:0::/:/bin/sh\n',
  );
  write('etc/group', `root:x:0:vcap\ntty:x:5:vcap\ndisk:x:6:vcap,root\n${'x'.repeat(4000)}:x:7:vcap\n`);
  write('etc/ld.so.preload', '/lib/libc.so.6\n');
  write('etc/profile', 'exec /bin/mount\n');
  write('etc/nsswitch.conf', 'passwd: evil\n');
  const link = (name: string, target: string): void => fs.symlinkSync(target, path.join(directory, name));
  link('mnt', '/proc/1/root');
  link('run', path.dirname(canary));
  link('home', '../../../../../../../../../../tmp');
  link('dev/null', canary);
  link('dev/pts', '/proc/self/root');
  link('etc/hosts', '/proc/1/root/etc/hosts');
  link('etc/resolv.conf', canary);
  link('etc/hostname', '/proc/sys/kernel/hostname');
  addBait(directory);
}

/** Things that are not to work inside, whoever tries. */
function addBait(directory: string): void {
  fs.writeFileSync(
    path.join(directory, 'etc/abuse-victim'),
    'original content of the image, which containers share\n',
    {
      mode: 0o444,
    },
  );
  for (const name of ['gifted', 'nodes', 'canary']) fs.mkdirSync(path.join(directory, name));
  fs.chmodSync(path.join(directory, 'canary'), 0o777);
  const gifted = (name: string, mode: number): string => {
    const file = path.join(directory, 'gifted', name);
    fs.copyFileSync(PROBE, file);
    fs.chmodSync(file, mode);
    return file;
  };
  gifted('setuid', 0o4755);
  gifted('setgid', 0o2755);
  // what setcap(8) writes: all capabilities, and one that is among those of every container
  for (const [name, permitted] of [
    ['all-capabilities', '0xffffffff, 0, 0x1ff, 0'],
    ['one-capability', '1, 0, 0, 0'],
  ] as const) {
    const file = gifted(name, 0o755);
    const value = `struct.pack("<5I", 0x02000001, ${permitted})`;
    execFileSync('python3', [
      '-c',
      `import os,sys,struct; os.setxattr(sys.argv[1], "security.capability", ${value})`,
      file,
    ]);
  }
  const node = (name: string, ...kind: string[]): void => {
    execFileSync('mknod', ['-m', '666', path.join(directory, 'nodes', name), ...kind]);
  };
  node('mem', 'c', '1', '1');
  node('kmsg', 'c', '1', '11');
  node('null', 'c', '1', '3');
  node('disk', 'b', '254', '0');
}
