/**
 * What a test needs of the host. A test whose needs are not met is skipped with the reason in its name, which
 * the run's closing table prints.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';
import { isolationProblem } from './isolation.ts';

/** Names of the checks. */
export type Requirement =
  | 'root'
  | 'isolated'
  | 'overlayfs'
  | 'cgroup-v1-memory'
  | 'cgroup-v2'
  | 'cgroup-memory'
  | 'user-quota'
  | 'project-quota'
  | 'btrfs'
  | 'fuse'
  | 'guest'
  | 'cap-sys-resource'
  | 'strace'
  | 'tmux'
  | 'nft'
  | 'python3'
  | 'ruby'
  | 'systemd-analyze'
  | 'prometheus-client'
  | 'skopeo'
  | 'docker-registry'
  | 'chromium'
  | 'lintian'
  | 'debian-rootfs'
  | 'systemd-packages';

/** What `npm run rootfs` makes. */
export const DEBIAN_ROOTFS: string = fileURLToPath(
  new URL('../../../node_modules/.cache/warden-debian-rootfs', import.meta.url),
);

/** systemd and what it needs, as packages for {@link DEBIAN_ROOTFS}. */
export const SYSTEMD_PACKAGES: string = fileURLToPath(
  new URL('../../../node_modules/.cache/warden-systemd-packages', import.meta.url),
);

const CHECKS: Readonly<Record<Requirement, () => string | undefined>> = {
  root: () => (process.getuid?.() === 0 ? undefined : 'root'),
  isolated: isolationProblem,
  overlayfs: () =>
    /\boverlay\b/.test(fs.readFileSync('/proc/filesystems', 'utf8')) ? undefined : 'overlayfs in the kernel',
  'cgroup-v1-memory': () =>
    / - cgroup \S+ \S*memory/.test(fs.readFileSync('/proc/self/mountinfo', 'utf8'))
      ? undefined
      : 'a cgroup v1 memory hierarchy',
  'cgroup-v2': () => (hasUnifiedMemory() ? undefined : 'cgroup v2 with memory, in a guest by npm run vm'),
  'cgroup-memory': () =>
    hasUnifiedMemory() || CHECKS['cgroup-v1-memory']() === undefined ? undefined : 'memory control groups',
  'user-quota': () => place('WARDEN_TEST_USER_QUOTA', 'a file system with user quota'),
  'project-quota': () => place('WARDEN_TEST_PROJECT_QUOTA', 'a file system with project quota'),
  btrfs: () =>
    /\bbtrfs\b/.test(fs.readFileSync('/proc/filesystems', 'utf8'))
      ? program('mkfs.btrfs', '--version')
      : 'btrfs in the kernel',
  fuse: () =>
    /\bfuse\b/.test(fs.readFileSync('/proc/filesystems', 'utf8')) && fs.existsSync('/dev/fuse')
      ? undefined
      : 'FUSE in the kernel, and /dev/fuse',
  guest: () => place('WARDEN_TEST_GUEST', 'a machine to reset'),
  'cap-sys-resource': () =>
    hasCapability(24)
      ? undefined
      : 'CAP_SYS_RESOURCE, this root cannot raise limits: in a guest by npm run vm',
  strace: () => program('strace', '-V'),
  tmux: () => program('tmux', '-V'),
  nft: () => program('nft', '--version'),
  python3: () => program('python3', '--version'),
  'prometheus-client': () =>
    spawnSync('/usr/bin/python3', ['-c', 'import prometheus_client.openmetrics'], { stdio: 'ignore' })
      .status === 0
      ? undefined
      : 'the Python library prometheus_client',
  'systemd-analyze': () => program('systemd-analyze', '--version'),
  skopeo: () => program('skopeo', '--version'),
  'docker-registry': () => program('docker-registry', '--help'),
  chromium: () => (fs.existsSync('/usr/bin/chromium') ? undefined : 'the browser chromium'),
  lintian: () => program('lintian', '--version'),
  'debian-rootfs': () =>
    fs.existsSync(`${DEBIAN_ROOTFS}/usr/bin/dpkg`)
      ? undefined
      : 'a Debian root file system, by npm run rootfs',
  'systemd-packages': systemdProblem,
  ruby: () =>
    program('ruby', '--version') ??
    (spawnSync('ruby', ['-rbeefcake', '-reventmachine', '-e', ''], { stdio: 'ignore' }).status === 0
      ? undefined
      : 'the Ruby libraries beefcake and eventmachine'),
};

/** The first unmet requirement in words, or `undefined`. */
export function unmet(requirements: readonly Requirement[]): string | undefined {
  // tests are listed and not run (scripts/kit-table.mjs)
  if (process.env.WARDEN_TEST_LIST) return undefined;
  for (const name of requirements) {
    const problem = CHECKS[name]();
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** `describe` for a suite with requirements. */
export function describeWith(requirements: readonly Requirement[], name: string, body: () => void): void {
  const problem = unmet(requirements);
  if (problem === undefined) describe(name, body);
  else describe.skip(`${name} [needs: ${problem}]`, body);
}

/** Given by who runs the suite: the environment names directories, or what is only there in a guest. */
function place(variable: string, what: string): string | undefined {
  return process.env[variable] ? undefined : `${what}, in a guest by npm run vm`;
}

/** From 256 on systemd refuses to start where there are hierarchies of cgroup v1. */
function systemdProblem(): string | undefined {
  const FIRST_WITHOUT_V1 = 256;
  const names = fs.existsSync(SYSTEMD_PACKAGES) ? fs.readdirSync(SYSTEMD_PACKAGES) : [];
  const version = names.flatMap((name) => /^systemd_(\d+)/.exec(name)?.[1] ?? [])[0];
  if (version === undefined)
    return 'systemd for the Debian root file system, from its archive by npm run deb:test';
  const hasV1 = / - cgroup /.test(fs.readFileSync('/proc/self/mountinfo', 'utf8'));
  return Number(version) >= FIRST_WITHOUT_V1 && hasV1
    ? `a host without cgroup v1, for systemd ${version} of the Debian root file system`
    : undefined;
}

function hasUnifiedMemory(): boolean {
  const mount = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(fs.readFileSync('/proc/self/mountinfo', 'utf8'))?.[1];
  if (mount === undefined) return false;
  return fs.readFileSync(`${mount}/cgroup.controllers`, 'utf8').split(/\s+/).includes('memory');
}

function hasCapability(number: number): boolean {
  const mask = /^CapEff:\s+([0-9a-f]+)$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))![1]!;
  return ((BigInt(`0x${mask}`) >> BigInt(number)) & 1n) === 1n;
}

function program(name: string, flag: string): string | undefined {
  return spawnSync(name, [flag], { stdio: 'ignore' }).error === undefined ? undefined : `the program ${name}`;
}
