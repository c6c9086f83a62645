/**
 * What daemons on one host must not have in common: two that hand out the same addresses or ports lead the
 * traffic of one's containers to the other's. Each notes its pools in the file of its name's lock, and looks
 * at those of the living ones first.
 */
import fs from 'node:fs';
import type { NumberRange } from '@warden/core';
import { type Logger, WardenError } from '@warden/interface';
import { blockOf, isCommon } from './address-block.ts';
import type { Configuration } from './config.ts';
import type { NameLock, NotedDaemon } from './name-lock.ts';
import { networkPool, portPool, readEphemeralEnd } from './pools.ts';
import { IDS_PER_CONTAINER } from './security-options.ts';

/** The pools of one daemon, as it notes them. Ranges are inclusive at `first` and hold `count` numbers. */
export interface PoolClaim {
  readonly pid: number;
  readonly depot: string;
  /** Addresses and ports are of one network namespace, uids of one user namespace. */
  readonly networkNamespace: string;
  readonly userNamespace: string;
  /** CIDR; none without a network driver. */
  readonly network?: string;
  readonly ports?: NumberRange;
  readonly uids: NumberRange;
  readonly subordinateIds?: NumberRange;
}

/** A pool that another daemon has a part of, too. */
export interface PoolOverlap {
  /** The setting that says where it begins. */
  readonly key: string;
  readonly isRefused: boolean;
  readonly own: string;
  readonly theirs: string;
  readonly means: string;
}

/**
 * Notes the pools of this configuration as this daemon's, in the place of those it has noted before. Errors:
 * `ALREADY_EXISTS` naming pool, setting and the other daemon, `UNAVAILABLE`; nothing has changed then.
 */
export async function claimPools(
  lock: NameLock,
  configuration: Configuration,
  { depot, logger }: { readonly depot: string; readonly logger: Logger },
): Promise<void> {
  const claim = claimOf(configuration, depot);
  await lock.note((others) => {
    for (const other of others) compare(claim, other, { configuration, logger });
    return `${JSON.stringify(claim)}\n`;
  });
}

function compare(
  claim: PoolClaim,
  { name, text }: NotedDaemon,
  { configuration, logger }: { readonly configuration: Configuration; readonly logger: Logger },
): void {
  const other = parseClaim(text);
  if (other === undefined) return;
  for (const { key, isRefused, own, theirs, means } of overlaps(claim, other, configuration)) {
    const facts = {
      operation: 'claim pool',
      object: key,
      pool: own,
      name,
      pid: other.pid,
      depot: other.depot,
    };
    if (isRefused)
      throw new WardenError(
        'ALREADY_EXISTS',
        `${key}: ${own} overlaps ${theirs} of the running wardend ${name} (pid ${other.pid}, depot ${other.depot}): ${means}; configure another ${key}, or stop that one`,
        { fields: facts },
      );
    logger.warn('pool-shared', {
      ...facts,
      theirs,
      means,
      advice: `configure another ${key}, so that no daemon on this host has a part of another's`,
    });
  }
}

/**
 * Those of addresses and ports lead traffic astray, and no set-up wants that. Shared uids do not: containers
 * do not see each other's processes. What is counted by uid is counted together, which whoever runs a daemon
 * in a network namespace of its own beside another one may live with.
 */
export function overlaps(claim: PoolClaim, other: PoolClaim, configuration: Configuration): PoolOverlap[] {
  const found: PoolOverlap[] = [];
  const { network, ports, subordinateIds: ids } = claim;
  if (claim.networkNamespace === other.networkNamespace) {
    if (
      network !== undefined &&
      other.network !== undefined &&
      isCommon(blockOf(network), blockOf(other.network))
    )
      found.push({
        key: networkKey(configuration),
        isRefused: true,
        own: network,
        theirs: other.network,
        means: 'containers of both would have the same addresses',
      });
    if (ports !== undefined && other.ports !== undefined && isCommon(ports, other.ports))
      found.push({
        key: 'port.pool_start_port',
        isRefused: true,
        own: text(ports),
        theirs: text(other.ports),
        means:
          'a port that one publishes could lead to a container of the other (ports are those from pool_start_port on, pool_size many, at least 1000)',
      });
  }
  if (claim.userNamespace !== other.userNamespace) return found;
  const counted = 'what the kernel limits by user is counted for containers of both together';
  if (isCommon(claim.uids, other.uids))
    found.push({
      key: 'user.pool_start_uid',
      isRefused: false,
      own: text(claim.uids),
      theirs: text(other.uids),
      means: counted,
    });
  if (ids !== undefined && other.subordinateIds !== undefined && isCommon(ids, other.subordinateIds))
    found.push({
      key: 'security.subordinate_ids',
      isRefused: false,
      own: text(ids),
      theirs: text(other.subordinateIds),
      means: `users inside containers of both are the same users of the host; ${counted}`,
    });
  return found;
}

function claimOf(configuration: Configuration, depot: string): PoolClaim {
  const { drivers, network, port, user, security } = configuration;
  const uids = { first: user.pool_start_uid, count: user.pool_size };
  return {
    pid: process.pid,
    depot,
    networkNamespace: namespace('net'),
    userNamespace: namespace('user'),
    // without a network driver no address and no port is given to anything
    ...(drivers.network !== 'none' && {
      network: networkPool(network),
      ports: portPool(port, readEphemeralEnd()),
    }),
    uids,
    ...(security.user_namespace && {
      subordinateIds: { first: security.subordinate_ids, count: uids.count * IDS_PER_CONTAINER },
    }),
  };
}

function namespace(kind: 'net' | 'user'): string {
  const { dev, ino } = fs.statSync(`/proc/self/ns/${kind}`, { bigint: true });
  return `${dev}:${ino}`;
}

function networkKey({ network }: Configuration): string {
  return networkPool(network) === network.pool_network
    ? 'network.pool_network'
    : 'network.pool_start_address';
}

/** What is no claim of this form is of a daemon that has just begun, or of another version. */
function parseClaim(noted: string): PoolClaim | undefined {
  try {
    const claim = JSON.parse(noted) as PoolClaim;
    return typeof claim.networkNamespace === 'string' && claim.uids !== undefined ? claim : undefined;
  } catch {
    return undefined;
  }
}

function text({ first, count }: NumberRange): string {
  return `${first} to ${first + count - 1}`;
}
