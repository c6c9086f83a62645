/** Why a job ended, from how its process did and what its container has been through. */
import type { ContainerInfo, ExitVerdict, WaitStatus } from '@warden/interface';
import { isUnsupported, type ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import type { JobOutcome } from './job.ts';

/** The original's text. */
export const OUT_OF_MEMORY_EVENT = 'out of memory';

const SIGKILL = 9;
const SIGTERM = 15;
/** A file grew beyond RLIMIT_FSIZE. */
const SIGXFSZ = 25;
/** What a shell says of a program that SIGKILL ended. */
const KILLED_IN_SHELL = 128 + SIGKILL;
/**
 * With less room than this under the limit, in KiB, writes may have failed: the page cache takes a write in
 * pieces (folios) of up to 2 MiB, each as a whole or not at all (ext4 since Linux 6.16), so a program that
 * writes a mebibyte at a time finds no room where there is nearly one. Of a small limit less, or a failure of
 * any other kind would be blamed on it.
 */
const LEAST_ROOM = 64n;
const MOST_ROOM = 2_048n;
const PART_OF_LIMIT = 8n;

/** What can be said at once. */
export function explainExit(engine: Engine, container: ManagedContainer, status: WaitStatus): ExitVerdict {
  const { signal } = status;
  const isKill = signal === SIGKILL || signal === SIGTERM;
  if ((isKill || status.exitCode === KILLED_IN_SHELL) && isOutOfMemory(engine, container))
    return signal === undefined ? { reason: 'out-of-memory' } : { reason: 'out-of-memory', signal };
  if (signal === undefined) return { reason: 'exited' };
  if (isKill && container.state !== 'active') return { reason: 'container-stopped', signal };
  if (signal === SIGXFSZ) return { reason: 'disk-limit', signal };
  return { reason: 'signal', signal };
}

function isOutOfMemory(engine: Engine, container: ManagedContainer): boolean {
  checkOutOfMemory(engine, container);
  return container.record.events.has(OUT_OF_MEMORY_EVENT);
}

/** The kernel's notification of a kill may still be on its way. A failure is logged: a descriptor may be missing. */
export function checkOutOfMemory({ logger }: Engine, { handle, outOfMemoryWatch }: ManagedContainer): void {
  try {
    outOfMemoryWatch?.check();
  } catch (error) {
    logger.warn('out-of-memory-check-failed', { handle, error });
  }
}

/** A job that failed while there was no room left under the disk limit most likely failed for that. */
export async function withDiskLimit(
  engine: Engine,
  container: ManagedContainer,
  outcome: JobOutcome,
  { diskStat }: ContainerInfo,
): Promise<JobOutcome> {
  if (outcome.verdict.reason !== 'exited' || outcome.exitStatus === 0 || diskStat === undefined)
    return outcome;
  try {
    const { quota } = engine.drivers;
    const { blockHard } = await quota.limits(container.quotaSpec, container.record.drivers.quota);
    const isFull = blockHard > 0n && diskStat.bytesUsed / 1024n + roomOfNoUse(blockHard) >= blockHard;
    return isFull ? { ...outcome, verdict: { reason: 'disk-limit' } } : outcome;
  } catch (error) {
    if (!isUnsupported(error)) engine.logger.warn('disk-limit-unknown', { handle: container.handle, error });
    return outcome;
  }
}

function roomOfNoUse(blockHard: bigint): bigint {
  const part = blockHard / PART_OF_LIMIT;
  if (part < LEAST_ROOM) return LEAST_ROOM;
  return part > MOST_ROOM ? MOST_ROOM : part;
}
