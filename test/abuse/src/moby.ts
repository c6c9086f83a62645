/**
 * What moby's default would give a container on this host, as facts for a runc configuration. Sources: moby's
 * default profile and specification.
 */
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The fourteen. */
const CAPABILITIES =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
    .split(' ')
    .map((name) => `CAP_${name}`);

/** Refused on x86_64 with those capabilities. */
const REFUSED: ReadonlySet<string> = new Set(
  `syslog uselib ustat sysfs vhangup pivot_root _sysctl acct settimeofday mount umount2 swapon swapoff reboot sethostname setdomainname iopl
   ioperm create_module init_module delete_module get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg afs_syscall tuxcall security
   lookup_dcookie clock_settime vserver mbind set_mempolicy get_mempolicy kexec_load add_key request_key keyctl migrate_pages unshare move_pages
   perf_event_open fanotify_init open_by_handle_at setns kcmp finit_module kexec_file_load bpf userfaultfd io_uring_setup io_uring_enter
   io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick clone3 pidfd_getfd process_madvise mount_setattr quotactl_fd
   set_mempolicy_home_node`.split(/\s+/),
);
/** Allowed for some of their arguments. */
const CONDITIONAL: ReadonlySet<string> = new Set(['socket', 'personality', 'clone', 'clone3']);

const MASKED = [
  ...'acpi asound interrupts kcore keys latency_stats sched_debug scsi timer_list timer_stats'
    .split(' ')
    .map((name) => `/proc/${name}`),
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
  '/sys/devices/system/cpu/cpu0/thermal_throttle',
  '/sys/devices/system/cpu/cpu1/thermal_throttle',
];

/** Names of all calls that the C library of this host knows, as the probe's sweep has them. */
function knownCalls(): string[] {
  const table = fs.readFileSync(fileURLToPath(new URL('../probe/build/calls.inc', import.meta.url)), 'utf8');
  return [...table.matchAll(/"(\w+)"/g)].map((match) => match[1]!);
}

const allow = (names: readonly string[], args: readonly object[] = []): object => ({
  names,
  action: 'SCMP_ACT_ALLOW',
  args,
});

function seccomp(): object {
  const names = knownCalls().filter((name) => !REFUSED.has(name) && !CONDITIONAL.has(name));
  const personalities = [0, 8, 0x20000, 0x20008, 0xffffffff];
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
    syscalls: [
      allow(names),
      // neither AF_ALG (38) nor AF_VSOCK (40)
      allow(['socket'], [{ index: 0, value: 38, op: 'SCMP_CMP_LT' }]),
      allow(['socket'], [{ index: 0, value: 39, op: 'SCMP_CMP_EQ' }]),
      allow(['socket'], [{ index: 0, value: 40, op: 'SCMP_CMP_GT' }]),
      ...personalities.map((value) => allow(['personality'], [{ index: 0, value, op: 'SCMP_CMP_EQ' }])),
      allow(['clone'], [{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]),
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
    ],
  };
}

function mounts(): object[] {
  const tmpfs = (destination: string, options: string[], source = 'tmpfs'): object => ({
    destination,
    type: 'tmpfs',
    source,
    options,
  });
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    tmpfs('/dev', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: ['ro', 'nosuid', 'noexec', 'nodev'],
    },
    {
      destination: '/dev/mqueue',
      type: 'mqueue',
      source: 'mqueue',
      options: ['nosuid', 'noexec', 'nodev'],
    },
    tmpfs('/dev/shm', ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=67108864'], 'shm'),
  ];
}

function devices(): object[] {
  const rule = (type: string, major: number, minor: number | undefined): object => ({
    allow: true,
    type,
    major,
    ...(minor === undefined ? {} : { minor }),
    access: 'rwm',
  });
  return [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', access: 'm' },
    { allow: true, type: 'b', access: 'm' },
    ...[3, 5, 7, 8, 9].map((minor) => rule('c', 1, minor)),
    ...[0, 1, 2].map((minor) => rule('c', 5, minor)),
    rule('c', 136, undefined),
  ];
}

/** A runc configuration with everything moby's default has, for a root file system and a control group. */
export function mobySpec(rootfs: string, cgroupsPath: string): object {
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ['/bin/busybox', 'sleep', '3600'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      cwd: '/',
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      noNewPrivileges: false,
    },
    root: { path: rootfs, readonly: false },
    hostname: 'beside',
    mounts: mounts(),
    linux: {
      sysctl: { 'net.ipv4.ping_group_range': '0 2147483647', 'net.ipv4.ip_unprivileged_port_start': '0' },
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
      resources: { devices: devices() },
      cgroupsPath,
      seccomp: seccomp(),
      maskedPaths: MASKED,
      readonlyPaths: ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`),
    },
  };
}
