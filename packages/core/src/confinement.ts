/**
 * What a container is confined by, from the options of the host and the container's uid (SECURITY.md, "What
 * holds by default").
 */
import fs from 'node:fs';
import { type Confinement, type IdRange, UNCONFINED } from '@warden/interface';
import type { CoreOptions } from './options.ts';

/** Ids of one container: what images and programs take for granted. */
export const IDS_PER_CONTAINER = 65_536;

/** What moby hides, and further files of kernel addresses and of the host's hardware. */
const MASKED_PATHS: readonly string[] = [
  'acpi',
  'asound',
  'config.gz',
  'interrupts',
  'iomem',
  'ioports',
  'kallsyms',
  'kcore',
  'key-users',
  'keys',
  'kmsg',
  'kpagecgroup',
  'kpagecount',
  'kpageflags',
  'latency_stats',
  'locks',
  'modules',
  'sched_debug',
  'scsi',
  'slabinfo',
  'timer_list',
  'timer_stats',
  'vmallocinfo',
].map((name) => `/proc/${name}`);

const READONLY_PATHS: readonly string[] = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map(
  (name) => `/proc/${name}`,
);

const CEILINGS: Confinement['ceilings'] = {
  terminals: 256,
  sharedMemory: 64 * 1024 ** 2,
  devices: 64 * 1024,
};

/**
 * A nested warden needs what confinement takes away: allowing one is the opt-out. Plain processes have
 * nothing to be confined with.
 */
export function confinementOf(options: CoreOptions, uid: number): Confinement {
  if (isUnconfined(options)) return UNCONFINED;
  const { security } = options;
  return Object.freeze({
    idMap: idMapOf(firstIdOf(options, uid), uid),
    capabilities: security.capabilities,
    noNewPrivileges: security.noNewPrivileges,
    seccomp: security.seccomp,
    coreDumps: security.coreDumps !== 'never' && !coresGoToProgram(),
    noDevices: true,
    fuse: security.fuse === true,
    ceilings: security.ceilings ?? CEILINGS,
    maskedPaths: MASKED_PATHS,
    readonlyPaths: READONLY_PATHS,
  });
}

function isUnconfined({ allowNested, drivers }: CoreOptions): boolean {
  return allowNested || !drivers.init.supports.isolation;
}

/** The host's id of 0 inside; `null`: users inside are the host's. */
export function firstIdOf(options: CoreOptions, uid: number): number | null {
  const { subordinateIds } = options.security;
  if (subordinateIds === undefined || isUnconfined(options)) return null;
  return subordinateIds + (uid - options.uids.first) * IDS_PER_CONTAINER;
}

/**
 * Whether the host hands core files to a program or a socket of its own, which then reads what somebody
 * inside has made, with the host's rights. The limit of core files, 0, does not forbid that. That of init does
 * for a program; for a socket none does, which the daemon tells at its start.
 */
function coresGoToProgram(): boolean {
  try {
    return /^[|@]/.test(fs.readFileSync('/proc/sys/kernel/core_pattern', 'utf8'));
  } catch (error) {
    // a kernel without core files; what cannot be read now may be one
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/**
 * A private range of the host's ids for 0 to 65,535 inside; the container's own uid alone is the same on both
 * sides, so that the files of its user are found on the host as with the original (user quotas, read-write
 * bind mounts, programs that look into `tmp/rootfs`).
 */
export function idMapOf(outside: number | null, uid: number): readonly IdRange[] {
  if (outside === null) return [];
  const same: IdRange = { inside: uid, outside: uid, count: 1 };
  if (uid >= IDS_PER_CONTAINER) return [{ inside: 0, outside, count: IDS_PER_CONTAINER }, same];
  const ranges: readonly IdRange[] = [
    { inside: 0, outside, count: uid },
    same,
    { inside: uid + 1, outside: outside + uid + 1, count: IDS_PER_CONTAINER - uid - 1 },
  ];
  return ranges.filter(({ count }) => count > 0);
}
