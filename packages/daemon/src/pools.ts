/** The pools of the configuration, and what this host has against them (spec config.md 3, behaviour.md 13). */
import fs from 'node:fs';
import type { CoreOptions } from '@warden/core';
import { type Logger, WardenError } from '@warden/interface';
import type { Configuration } from './config.ts';
import { olderPrefix } from './config-rules.ts';

const EPHEMERAL_RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
const LAST_PORT = 65_000;
/** The smallest pool of ports that there is. */
export const MIN_PORTS = 1_000;

/** Warns of ports that outgoing connections of the host may have. Errors: as {@link portPool}. */
export function checkPorts(given: Configuration['port'], logger: Logger): void {
  const ephemeralEnd = readEphemeralEnd();
  const { first } = portPool(given, ephemeralEnd);
  if (first > ephemeralEnd) return;
  logger.warn('ports-overlap-ephemeral', {
    first,
    ephemeralEnd,
    advice:
      'outgoing connections of the host may hold ports that are handed out; set port.pool_start_port above',
  });
}

/** The older form (start and size) wins where both of its keys are given (spec config.md 2, network). */
export function networkPool({
  pool_network,
  pool_start_address,
  pool_size,
}: Configuration['network']): string {
  if (!pool_start_address || !pool_size) return pool_network;
  return `${pool_start_address}/${olderPrefix(pool_size)}`;
}

/**
 * Ports above the kernel's ephemeral range, which outgoing connections would take. Errors: `INVALID_SPEC`
 * when fewer than 1000 are left.
 */
export function portPool(given: Configuration['port'], ephemeralEnd: number): CoreOptions['ports'] {
  const first = given.pool_start_port ?? ephemeralEnd + 1;
  const count = Math.min(given.pool_size ?? LAST_PORT + 1 - (ephemeralEnd + 1), 65_536 - first);
  if (count < MIN_PORTS) {
    throw new WardenError(
      'INVALID_SPEC',
      `${tooFewPorts(count)}; set another port.pool_start_port or port.pool_size`,
      {
        fields: { operation: 'port pool', object: 'port.pool_size', first, count },
      },
    );
  }
  return { first, count };
}

/** The original's text. */
export function tooFewPorts(count: number): string {
  return `Insufficient non-ephemeral ports available (expected >= ${MIN_PORTS}, got: ${count})`;
}

/** The last port the kernel gives to outgoing connections. */
export function readEphemeralEnd(file: string = EPHEMERAL_RANGE): number {
  try {
    const end = Number(fs.readFileSync(file, 'utf8').trim().split(/\s+/)[1]);
    if (end >= 1 && end <= 65_535) return end;
  } catch {
    // no such file
  }
  return 61_000; // the original's assumption, where the kernel does not tell
}

/** A container must not share its uid with a user of the host. Errors: `INVALID_SPEC`. */
export function checkUserPool({ user: { pool_start_uid: first, pool_size: count } }: Configuration): void {
  for (const line of fs.readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid] = line.split(':');
    if (uid === undefined || Number(uid) < first || Number(uid) >= first + count) continue;
    throw new WardenError(
      'INVALID_SPEC',
      `UID in user pool overlaps with user in /etc/passwd: ${name} (${uid}); set another user.pool_start_uid or user.pool_size`,
      {
        fields: { operation: 'uid pool', object: 'user.pool_start_uid', uid: Number(uid) },
      },
    );
  }
}
