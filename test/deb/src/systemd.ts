/**
 * systemd as process 1 of a test's Debian, in namespaces of its own: processes, mounts, control groups, names,
 * System V's objects, and the network of the test's host. Nothing of this machine's services, control groups
 * and settings is within its reach; whatever it starts ends with it.
 */
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { patience, SYSTEMD_PACKAGES, type TestPlace } from '@warden/test-harness';
import { type Debian, ENVIRONMENT, startOn } from './debian.ts';

/** Of a boot's units what a test needs; all others are of a machine, which this is none of. */
const KEPT = ['systemd-journald.service', 'systemd-journald.socket', 'systemd-journald-dev-log.socket'];
const MASK = `set -e
cd /lib/systemd
mkdir -p /etc/systemd/system-generators
for file in system-generators/* system/*.target.wants/*; do
  case " $* " in *" \${file##*/} "*) continue ;; esac
  case $file in
    system-generators/*) ln -sf /dev/null "/etc/systemd/$file" ;;
    *.slice | *.target) ;;
    *) ln -sf /dev/null "/etc/systemd/system/\${file##*/}" ;;
  esac
done
for name in getty.target timers.target systemd-journald-audit.socket; do ln -sf /dev/null "/etc/systemd/system/$name"; done`;

/** A control group hierarchy of this machine. */
interface Hierarchy {
  readonly point: string;
  readonly type: string;
  /** As mount(8) has them: the controllers of v1, or a name. */
  readonly options: string;
}

/** Enters the groups, then namespaces in which nothing outside of them is seen. */
const JOIN = `set -e
for group in $1; do echo $$ > "$group/cgroup.procs"; done
shift
exec unshare --pid --fork --kill-child --mount --propagation private --uts --ipc --cgroup -- sh -c "$@"`;

/**
 * Mounts what a container manager does, and becomes systemd. Settings of the kernel but the network's are read-only,
 * and of the devices there are those that harm nobody: no log of the kernel, no terminal.
 */
const BOOT = `set -e
root=$1 log=$2 hierarchies=$3
hostname debian
for name in proc sys dev; do umount --recursive --lazy "$root/$name"; done
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty loop-control; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
for number in $(seq 0 63); do mknod "$root/dev/loop$number" b 7 "$number"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
touch "$root/dev/console"
mount --bind "$log" "$root/dev/console"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
case $hierarchies in
  cgroup2\\ /sys/fs/cgroup\\ *) ;;
  *) mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup" ;;
esac
echo "$hierarchies" | while read -r type point options; do
  mkdir -p "$root$point"
  mount -t "$type" -o "\${options:-rw}" "$type" "$root$point"
done
cd "$root"
pivot_root . mnt
umount --lazy mnt
exec chroot . env -i container=warden-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target`;

/** See the file's head. */
export class Systemd {
  readonly #child: ChildProcess;
  readonly #groups: readonly string[];
  /** As this machine has it. */
  readonly pid: number;

  private constructor(child: ChildProcess, groups: readonly string[], pid: number) {
    this.#child = child;
    this.#groups = groups;
    this.pid = pid;
  }

  /** Installs it in the tree, without a network, and starts it there. */
  static async boot(debian: Debian, place: TestPlace): Promise<Systemd> {
    debian.bind(SYSTEMD_PACKAGES, '/srv/systemd');
    debian.run('sh', '-c', 'apt-get install --yes --no-install-recommends /srv/systemd/*.deb');
    debian.run('sh', '-c', MASK, 'sh', ...KEPT);
    const hierarchies = hierarchiesOf();
    const groups = hierarchies.map((hierarchy) => makeGroup(hierarchy, place.name));
    const log = path.join(place.directory, 'console.log');
    fs.writeFileSync(log, '');
    const table = hierarchies.map(({ type, point, options }) => `${type} ${point} ${options}`).join('\n');
    const words = ['sh', '-c', JOIN, 'sh', groups.join(' '), BOOT, 'sh', debian.root, log, table];
    // what ends with the test's process ends whatever it has started
    const child = startOn(place, words);
    const trouble = (): Error =>
      new Error(
        `systemd has not started: ${[place.log, log].map((file) => fs.readFileSync(file, 'utf8')).join('')}`,
      );
    for (const deadline = Date.now() + patience(60_000); ; await delay(20)) {
      if (child.exitCode !== null || Date.now() > deadline) throw trouble();
      const pid = Number(
        fs.readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim() || 0,
      );
      if (pid === 0 || !fs.existsSync(`/proc/${pid}/root/run/systemd/private`)) continue;
      const systemd = new Systemd(child, groups, pid);
      const { stdout } = await systemd.try('systemctl', 'is-system-running', '--wait');
      if (stdout.trim() === 'running') return systemd;
      const { stdout: failed } = await systemd.try('systemctl', '--failed', '--no-pager');
      await systemd.close();
      throw new Error(`systemd is ${stdout.trim()}: ${failed}`);
    }
  }

  /** A path of the tree, for this process. */
  at(file: string): string {
    return path.join(`/proc/${this.pid}/root`, file);
  }

  /** Runs to the end in all its namespaces. Throws with standard error on a non-zero status. */
  async run(...command: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.try(...command);
    if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}: ${stdout}${stderr}`);
    return stdout;
  }

  async try(...command: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
    const words = ['--target', String(this.pid), '--all', '--root', '--wd', '--', ...ENVIRONMENT, ...command];
    const options = { encoding: 'utf8', timeout: patience(120_000), maxBuffer: 64 << 20 } as const;
    try {
      return { status: 0, ...(await promisify(execFile)('nsenter', words, options)) };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
      if (typeof code !== 'number') throw error;
      return { status: code, stdout, stderr };
    }
  }

  async systemctl(...words: string[]): Promise<string> {
    return (await this.run('systemctl', '--no-pager', ...words)).trim();
  }

  /** What `systemctl is-active` answers. */
  async stateOf(unit: string): Promise<string> {
    return (await this.try('systemctl', 'is-active', unit)).stdout.trim();
  }

  /** A property of a unit, as `systemctl show` has it. */
  async property(unit: string, name: string): Promise<string> {
    return await this.systemctl('show', '--value', '-p', name, unit);
  }

  /** Settings of a unit until the next boot, beside those that it has. */
  async dropIn(unit: string, settings: readonly string[]): Promise<void> {
    const directory = this.at(`/run/systemd/system/${unit}.d`);
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(path.join(directory, 'test.conf'), ['[Service]', ...settings, ''].join('\n'));
    await this.systemctl('daemon-reload');
  }

  /** Ends it with all that it has started, and removes its control groups. */
  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, 'exit');
      process.kill(this.pid, 'SIGKILL');
      await gone;
    }
    for (const group of this.#groups) await removeGroup(group);
  }
}

function hierarchiesOf(): readonly Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [type = '', , all = ''] = right.split(' ');
    if (!/^cgroup2?$/.test(type)) continue;
    // a hierarchy of v1 is found by its controllers; the unified one is found anyway
    const options = type === 'cgroup2' ? '' : all.split(',').filter((word) => word !== 'rw' && word !== 'ro');
    const hierarchy = { point: left.split(' ')[4]!, type, options: String(options) };
    if (!found.has(`${type} ${options}`)) found.set(`${type} ${options}`, hierarchy);
  }
  return [...found.values()];
}

/** A group of the hierarchy for processes, with what is above it to be had. */
function makeGroup({ point, type }: Hierarchy, name: string): string {
  const group = path.join(point, name);
  const read = (file: string): string => fs.readFileSync(path.join(point, file), 'utf8').trim();
  if (type === 'cgroup2')
    for (const controller of read('cgroup.controllers').split(' ').filter(Boolean))
      fs.writeFileSync(path.join(point, 'cgroup.subtree_control'), `+${controller}`);
  fs.mkdirSync(group);
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    if (type === 'cgroup' && fs.existsSync(path.join(group, file)))
      fs.writeFileSync(path.join(group, file), read(file));
  return group;
}

/** With those below. What has just ended may still be on its way out of it. */
async function removeGroup(group: string): Promise<void> {
  for (const entry of fs.readdirSync(group, { withFileTypes: true }))
    if (entry.isDirectory()) await removeGroup(path.join(group, entry.name));
  for (const deadline = Date.now() + patience(10_000); ; await delay(20)) {
    try {
      fs.rmdirSync(group);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || Date.now() > deadline) throw error;
    }
  }
}
