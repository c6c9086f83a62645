/** What a test needs of the host. A test whose needs are not met is skipped with the reason in its name, which the run's closing table prints. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { describe } from 'vitest';
import { isolationProblem } from './isolation.ts';

/** Names of the checks. */
export type Requirement =
  | 'root'
  | 'isolated'
  | 'overlayfs'
  | 'cgroup-v1-memory'
  | 'cap-sys-resource'
  | 'strace'
  | 'tmux'
  | 'nft'
  | 'python3'
  | 'ruby';

const CHECKS: Readonly<Record<Requirement, () => string | undefined>> = {
  root: () => (process.getuid?.() === 0 ? undefined : 'root'),
  isolated: isolationProblem,
  overlayfs: () =>
    /\boverlay\b/.test(fs.readFileSync('/proc/filesystems', 'utf8')) ? undefined : 'overlayfs in the kernel',
  'cgroup-v1-memory': () =>
    / - cgroup \S+ \S*memory/.test(fs.readFileSync('/proc/self/mountinfo', 'utf8'))
      ? undefined
      : 'a cgroup v1 memory hierarchy',
  'cap-sys-resource': () =>
    hasCapability(24) ? undefined : 'CAP_SYS_RESOURCE: this root cannot raise limits',
  strace: () => program('strace', '-V'),
  tmux: () => program('tmux', '-V'),
  nft: () => program('nft', '--version'),
  python3: () => program('python3', '--version'),
  ruby: () =>
    program('ruby', '--version') ??
    (spawnSync('ruby', ['-rbeefcake', '-reventmachine', '-e', ''], { stdio: 'ignore' }).status === 0
      ? undefined
      : 'the Ruby libraries beefcake and eventmachine'),
};

/** The first unmet requirement in words, or `undefined`. */
export function unmet(requirements: readonly Requirement[]): string | undefined {
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

function hasCapability(number: number): boolean {
  const mask = /^CapEff:\s+([0-9a-f]+)$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))![1]!;
  return ((BigInt(`0x${mask}`) >> BigInt(number)) & 1n) === 1n;
}

function program(name: string, flag: string): string | undefined {
  return spawnSync(name, [flag], { stdio: 'ignore' }).error === undefined ? undefined : `the program ${name}`;
}
