/** What this host has, apart from drivers: read from /proc, /sys and the file system, without changing anything. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { coreSocket } from './core-socket.ts';

/** One fact. `advice`: the one thing to do to get the better state, where there is one. */
export interface Finding {
  readonly subject: string;
  readonly ok: boolean;
  readonly found: string;
  readonly advice?: string;
  /** Nothing works without it. */
  readonly isNeeded?: boolean;
}

/** Programs by what needs them. */
const PROGRAMS: readonly (readonly [paths: readonly string[], name: string, use: string])[] = [
  [['/bin/busybox', '/usr/bin/busybox'], 'busybox-static', 'the default root file system and shell hooks'],
  [['/bin/bash-static', '/usr/bin/bash-static'], 'bash-static', 'the default root file system'],
  [['/sbin/mkfs.ext4', '/usr/sbin/mkfs.ext4'], 'e2fsprogs', 'the quota driver image'],
  [['/usr/sbin/debootstrap'], 'debootstrap', 'warden rootfs build'],
];

/** Facts about kernel and system packages. */
export function surveyHost(): Finding[] {
  return [
    kernel(),
    userNamespaces(),
    idMappedLayers(),
    ...controlGroups(),
    loopDevices(),
    coreFiles(),
    ...programs(),
  ];
}

function kernel(): Finding {
  const release = os.release();
  const ok = isAtLeast(release, 5, 9);
  return {
    subject: 'kernel',
    ok,
    found: release,
    ...(!ok && { advice: 'Linux 5.9 or newer is needed' }),
    isNeeded: true,
  };
}

function userNamespaces(): Finding {
  const limit = Number(read('/proc/sys/user/max_user_namespaces') ?? 0);
  const ok = fs.existsSync('/proc/self/ns/user') && limit > 0;
  return {
    subject: 'user namespaces',
    ok,
    found: ok ? `up to ${limit}` : 'none',
    ...(!ok && {
      advice: 'raise the sysctl user.max_user_namespaces; without them security.user_namespace must be false',
    }),
  };
}

/** The base of an overlay is shown with other owners: since 5.19. */
function idMappedLayers(): Finding {
  const ok = isAtLeast(os.release(), 5, 19);
  return {
    subject: 'id-mapped layers',
    ok,
    found: ok ? "by the kernel's version" : 'not before Linux 5.19',
    ...(!ok && { advice: 'use Linux 5.19 or newer, or set security.user_namespace to false' }),
  };
}

function controlGroups(): Finding[] {
  const mounts = (read('/proc/self/mountinfo') ?? '').split('\n').map((line) => line.split(' - '));
  const at = (type: string): readonly string[][] => mounts.filter(([, kind]) => kind?.startsWith(`${type} `));
  const v1 = at('cgroup').flatMap(
    ([, kind]) =>
      kind!
        .split(' ')[2]!
        .split(',')
        .filter((word) => word !== 'rw' && !word.includes('=')), // a hierarchy with a name has no controller
  );
  const v2 = at('cgroup2').flatMap(([mount]) =>
    (read(path.join(mount!.split(' ')[4]!, 'cgroup.controllers')) ?? '').split(/\s+/).filter(Boolean),
  );
  const version = v1.length > 0 ? 'v1' : at('cgroup2').length > 0 ? 'v2' : 'none';
  const controllers = [...new Set(version === 'v1' ? v1 : v2)].sort();
  const lacking = ['cpu', 'memory', 'pids'].filter((name) => !controllers.includes(name));
  return [
    { subject: 'cgroup version', ok: version !== 'none', found: version },
    {
      subject: 'cgroup controllers',
      ok: lacking.length === 0,
      found: controllers.join(' ') || 'none',
      ...(lacking.length > 0 && { advice: `enable ${lacking.join(', ')}` }),
    },
  ];
}

function loopDevices(): Finding {
  const names = list('/sys/block').filter((name) => /^loop\d+$/.test(name));
  const free = names.filter((name) => !fs.existsSync(`/sys/block/${name}/loop/backing_file`)).length;
  const canMake = fs.existsSync('/dev/loop-control');
  const ok = canMake || free > 0;
  return {
    subject: 'loop devices',
    ok,
    found: `${free} of ${names.length} free${canMake ? ', more on demand' : ''}`,
    ...(!ok && { advice: 'modprobe loop; the quota driver image needs one device per container' }),
  };
}

function coreFiles(): Finding {
  const socket = coreSocket();
  return {
    subject: 'core files',
    ok: socket === undefined,
    found: socket === undefined ? 'to no socket' : `to the socket of core_pattern, ${socket.pattern}`,
    ...(socket !== undefined && { advice: socket.advice }),
  };
}

function programs(): Finding[] {
  return PROGRAMS.map(([paths, name, use]) => {
    const found = paths.find((one) => fs.existsSync(one));
    return {
      subject: `package ${name}`,
      ok: found !== undefined,
      found: found ?? 'missing',
      ...(found === undefined && { advice: `apt-get install ${name}: for ${use}` }),
    };
  });
}

function isAtLeast(release: string, major: number, minor: number): boolean {
  const [first = 0, second = 0] = release.split(/[.-]/).map(Number);
  return first > major || (first === major && second >= minor);
}

function read(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function list(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}
