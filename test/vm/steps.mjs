/** What runs in the guest, in this order. `short`: also in the short form. `[file, words]`: what has these words in its name. */
const STEPS = [
  {
    // the reset comes first: it is what needs no other state, and a second boot
    name: 'before-reset',
    short: true,
    resets: true,
    files: [['test/vm/src/reboot.test.ts', 'finds containers']],
    environment: { WARDEN_TEST_REBOOT: 'before' },
  },
  {
    name: 'after-reset',
    short: true,
    files: [['test/vm/src/reboot.test.ts', 'leaves a depot']],
    environment: { WARDEN_TEST_REBOOT: 'after' },
  },
  {
    name: 'cgroup',
    short: true,
    files: [
      ['packages/cgroup/src/v2/device-program.test.ts', 'in the kernel'],
      ['packages/cgroup/src/v2/driver.test.ts', 'in the unified hierarchy'],
      'test/compliance/src/cgroup.test.ts',
      'test/vm/src/cgroup-v2.test.ts',
    ],
  },
  {
    name: 'quota',
    short: true,
    files: ['test/compliance/src/quota.test.ts', 'test/vm/src/disk-limits.test.ts'],
  },
  { name: 'confinement', short: true, files: ['test/integration/src/confinement.test.ts'] },
  { name: 'memory', files: ['test/integration/src/out-of-memory.test.ts'] },
  {
    name: 'life',
    files: ['test/integration/src/lifecycle.test.ts', 'test/integration/src/jobs.test.ts'],
  },
  {
    name: 'filesystem',
    files: ['packages/fs-aufs/src/driver.test.ts', 'test/compliance/src/filesystem.test.ts'],
  },
  { name: 'network', files: ['test/compliance/src/network.test.ts'] },
  { name: 'network-without-ifb', files: ['test/compliance/src/network.test.ts'], withoutModules: ['ifb'] },
];

/** The steps that the options ask for. */
export function planOf({ short, only }) {
  for (const name of only)
    if (!STEPS.some((step) => step.name === name))
      throw new Error(`there is no step ${name}: ${STEPS.map((step) => step.name).join(', ')}`);
  if (only.length > 0) return STEPS.filter(({ name }) => only.includes(name));
  return STEPS.filter((step) => !short || step.short);
}
