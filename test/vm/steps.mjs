/**
 * What runs in the guest, in this order. `short`: also in the short form. `minutes`: the most it may take
 * there. `files`: `[file, pattern]` is what has this in its name.
 */
const STEPS = [
  {
    // the reset comes first: it is what needs no other state, and a second boot
    name: 'before-reset',
    what: 'containers and jobs, then a reset of the machine',
    short: true,
    minutes: 10,
    resets: true,
    files: [['test/vm/src/reboot.test.ts', 'finds containers']],
    environment: { WARDEN_TEST_REBOOT: 'before' },
  },
  {
    name: 'after-reset',
    what: 'a start on the depot of before',
    short: true,
    minutes: 15,
    files: [['test/vm/src/reboot.test.ts', 'leaves a depot']],
    environment: { WARDEN_TEST_REBOOT: 'after' },
  },
  {
    name: 'cgroup',
    what: 'cgroup v2 alone: driver, kit, device programs, limits of containers',
    short: true,
    minutes: 15,
    files: [
      ['packages/cgroup/src/v2/device-program.test.ts', 'in the kernel'],
      ['packages/cgroup/src/v2/driver.test.ts', 'in the unified hierarchy'],
      'test/compliance/src/cgroup.test.ts',
      'test/vm/src/cgroup-v2.test.ts',
    ],
  },
  {
    name: 'quota-kit',
    what: 'quota kit: user quota (ext4), project quota (ext4, xfs)',
    short: true,
    minutes: 15,
    files: [['test/compliance/src/quota.test.ts', 'disk quotas of (users|projects)']],
  },
  {
    name: 'quota',
    what: 'disk limits of containers by user and project quota (ext4)',
    short: true,
    minutes: 15,
    files: [['test/vm/src/disk-limits.test.ts', 'quota on ext4']],
  },
  {
    name: 'quota-xfs',
    what: 'disk limits of containers by project quota (xfs)',
    minutes: 15,
    files: [['test/vm/src/disk-limits.test.ts', 'quota on xfs']],
  },
  {
    name: 'confinement',
    what: 'the confinement of a container, with idmapped mounts',
    short: true,
    minutes: 15,
    files: ['test/integration/src/confinement.test.ts'],
  },
  {
    name: 'shaping',
    what: 'bandwidth of a container, by queues and ifb',
    short: true,
    minutes: 15,
    files: [['test/integration/src/shaping.test.ts', 'drivers.bandwidth: auto']],
    environment: { WARDEN_TEST_SHAPING: 'queue' },
  },
  {
    name: 'memory',
    what: 'limits and out-of-memory kills',
    minutes: 15,
    files: [
      'test/integration/src/out-of-memory.test.ts',
      'test/integration/src/limits.test.ts',
      'test/integration/src/init-out-of-reach.test.ts',
    ],
  },
  {
    name: 'life',
    what: 'create, run, info, process limits, destroy',
    minutes: 15,
    files: [
      'test/integration/src/lifecycle.test.ts',
      // a thousand jobs in a row say nothing about a kernel, and take the guest twenty minutes
      ['test/integration/src/jobs.test.ts', '^(?!.*1,000 fast jobs)'],
      'test/integration/src/info.test.ts',
      'test/integration/src/rlimits.test.ts',
    ],
  },
  {
    name: 'recovery',
    what: 'daemons that are killed and started again',
    minutes: 15,
    files: ['test/integration/src/recovery.test.ts', 'test/integration/src/restart.test.ts'],
  },
  {
    name: 'btrfs',
    what: 'quota kit, and containers by quota groups of btrfs',
    minutes: 20,
    files: [
      // simple quota groups are of Linux 6.7
      ['test/compliance/src/quota.test.ts', 'disk quotas of subvolumes.*full'],
      'test/integration/src/disk-limits-btrfs.test.ts',
    ],
  },
  {
    name: 'filesystem',
    what: 'file system kit, with aufs where the kernel has it',
    minutes: 15,
    files: ['packages/fs-aufs/src/driver.test.ts', 'test/compliance/src/filesystem.test.ts'],
  },
  {
    name: 'network',
    what: 'network kit (ifb, both ends, rules) and the network of containers',
    minutes: 20,
    files: [
      ['test/compliance/src/network.test.ts', 'driver nftables'],
      'test/compliance/src/network-bandwidth.test.ts',
      'test/integration/src/network.test.ts',
    ],
  },
  {
    // from here on the kernel has no ifb
    name: 'shaping-without-ifb',
    what: 'bandwidth of a container, by queues at both ends',
    short: true,
    minutes: 15,
    files: [['test/integration/src/shaping.test.ts', 'drivers.bandwidth: auto']],
    withoutModules: ['ifb'],
    environment: { WARDEN_TEST_SHAPING: 'ends' },
  },
  {
    name: 'network-without-ifb',
    what: 'network kit without ifb',
    minutes: 20,
    files: [['test/compliance/src/network.test.ts', 'driver nftables']],
    withoutModules: ['ifb'],
  },
];

/** The steps that the options ask for; those by name in the order of the names. */
export function planOf({ short, only }) {
  for (const name of only)
    if (!STEPS.some((step) => step.name === name))
      throw new Error(`there is no step ${name}: ${STEPS.map((step) => step.name).join(', ')}`);
  if (only.length > 0) return only.map((name) => STEPS.find((step) => step.name === name));
  return STEPS.filter((step) => !short || step.short);
}
