/**
 * A Debian of its own in the namespaces of a test: the tree that `npm run rootfs` made, below a writable
 * layer that goes with the test. What is installed there touches nothing of this host; it has no network
 * beyond the test's.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { DEBIAN_ROOTFS, DEFAULT_ROOTFS, type TestPlace } from '@warden/test-harness';

/**
 * Makes the last mounts of the tree its root for good, as a chroot would not be: no user namespace can be
 * made in one.
 */
const ENTER = 'cd "$1" && shift && pivot_root . mnt && umount -l mnt && exec chroot . "$@"';

/** Of what runs to the end in the tree. */
export const ENVIRONMENT: readonly string[] = [
  'env',
  '-i',
  'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
  'DEBIAN_FRONTEND=noninteractive',
  'LC_ALL=C.UTF-8',
];

/** Starts something on the test's host that writes into its log. Whatever ends the test's process ends it. */
export function startOn(place: TestPlace, words: readonly string[]): ChildProcess {
  const [program, ...rest] = place.network.host.enter([...words]);
  const log = fs.openSync(place.log, 'a');
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program!, ...rest], {
    stdio: ['ignore', log, log],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
  });
  fs.closeSync(log);
  return child;
}

/** See the file's head. */
export class Debian {
  readonly root: string;
  readonly #place: TestPlace;

  constructor(place: TestPlace) {
    this.#place = place;
    this.root = path.join(place.directory, 'debian');
    const layer = path.join(place.directory, 'layer');
    const run = path.join(place.directory, 'run');
    for (const directory of [this.root, `${layer}/upper`, `${layer}/work`, run])
      fs.mkdirSync(directory, { recursive: true });
    const mount = (...words: string[]): string => place.network.host.run('mount', ...words);
    const options = `lowerdir=${DEBIAN_ROOTFS},upperdir=${layer}/upper,workdir=${layer}/work`;
    mount('-t', 'overlay', 'overlay', '-o', options, this.root);
    mount('-t', 'proc', 'proc', `${this.root}/proc`);
    for (const name of ['sys', 'dev']) mount('--rbind', `/${name}`, `${this.root}/${name}`);
    this.bind(run, '/run/warden');
    this.bind(place.depot, '/var/lib/warden/containers');
    this.bind(DEFAULT_ROOTFS, '/srv/base');
  }

  /** A directory or file of this host at a place in the tree. */
  bind(source: string, target: string): void {
    const { host } = this.#place.network;
    const at = path.join(this.root, target);
    if (fs.statSync(source).isDirectory()) host.run('mkdir', '-p', at);
    else host.run('touch', at);
    host.run('mount', '--bind', source, at);
  }

  /** Runs to the end in the tree. Throws with standard error on a non-zero status. */
  run(...command: string[]): string {
    return this.#place.network.host.run('chroot', this.root, ...ENVIRONMENT, ...command);
  }

  /** Whether there is something at a path of the tree. */
  has(file: string): boolean {
    return this.#place.network.host.try(['test', '-e', path.join(this.root, file)]).status === 0;
  }

  read(file: string): string {
    return this.#place.network.host.run('cat', path.join(this.root, file));
  }

  write(file: string, text: string): void {
    this.#place.network.host.try(['tee', path.join(this.root, file)], text);
  }

  /** Takes the mounts away. Nothing runs in it any more. */
  close(): void {
    this.#place.network.host.run('umount', '--recursive', this.root);
  }

  /** Starts something that stays. It ends with the test. */
  start(...command: string[]): ChildProcess {
    const inside = [
      'unshare',
      '--mount',
      '--propagation',
      'private',
      '--',
      'sh',
      '-c',
      ENTER,
      'sh',
      this.root,
    ];
    return startOn(this.#place, [...inside, ...command]);
  }

  /** Puts this host's Node where Debian's package `nodejs` has its own, as that package as far as dpkg is concerned. */
  installNode(): void {
    const tree = path.join(this.#place.directory, 'nodejs');
    fs.mkdirSync(path.join(tree, 'DEBIAN'), { recursive: true });
    fs.writeFileSync(
      path.join(tree, 'DEBIAN/control'),
      `Package: nodejs\nVersion: ${process.versions.node}-1\nArchitecture: all\nMaintainer: a test <test@warden.invalid>\nDescription: Node of this host\n`,
    );
    execFileSync('dpkg-deb', ['--root-owner-group', '--build', tree, `${tree}.deb`], { stdio: 'pipe' });
    this.bind(`${tree}.deb`, '/srv/nodejs.deb');
    this.run('dpkg', '--install', '/srv/nodejs.deb');
    this.bind(fs.realpathSync(process.execPath), '/usr/bin/node');
  }
}

/** Ends what `start` has started, by SIGTERM. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}
