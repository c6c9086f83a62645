/**
 * Containers that live, and the users of the host that a daemon gives to new ones: its configuration may lay
 * the ids of containers out otherwise than they were when the living ones were made.
 */
import fs from 'node:fs';
import type { ContainerId } from '@warden/interface';
import { firstIdOf, IDS_PER_CONTAINER } from './confinement.ts';
import { type DepotEntry, recordOf } from './depot-entries.ts';
import { type Engine, groupsById } from './engine.ts';
import type { NumberRange } from './options.ts';

/** The host's users that a container has: those of inside, if it has any, and its own, if that is known. */
interface HostUsers {
  readonly uid: number | undefined;
  readonly inside: readonly NumberRange[];
}

/**
 * Leaves those uids out of the pool by which a new container would have users of the host in common with one
 * of `entries`. Until the next start: also when that one has gone meanwhile.
 */
export async function keepUsersApart(engine: Engine, entries: readonly DepotEntry[]): Promise<void> {
  const { options, pools, logger } = engine;
  const earlier: (HostUsers & { readonly name: string })[] = [];
  for (const entry of entries) {
    const users = await usersOf(engine, entry);
    // where nothing has changed nothing meets
    if (!isAsNow(engine, users)) earlier.push({ ...users, name: recordOf(entry)?.handle ?? entry.id });
  }
  if (earlier.length === 0) return;
  const before = pools.uids.size;
  pools.uids.exclude((uid) => {
    const wanted = { uid, inside: idsOf(firstIdOf(options, uid)) };
    return earlier.some((one) => meet(one, wanted));
  });
  const count = before - pools.uids.size;
  if (count === 0) return;
  logger.warn('uids-left-out', {
    count,
    containers: earlier.slice(0, 8).map(({ name }) => name),
    means:
      'containers live that were made with another user.pool_start_uid, security.subordinate_ids or security.user_namespace; with these uids of the pool a new one would have users of the host in common with them, so they are given to nobody before the next start',
    advice: 'to have all of the pool again, destroy these containers and restart the daemon',
  });
}

async function usersOf(engine: Engine, entry: DepotEntry): Promise<HostUsers> {
  const record = recordOf(entry);
  const uid = record?.uid ?? ('uid' in entry ? entry.uid : undefined);
  if (record?.firstId !== undefined) return { uid, inside: idsOf(record.firstId) };
  const mapped = await mappedIds(engine, entry.id);
  return { uid, inside: mapped.filter(({ first, count }) => first !== uid || count > 1) };
}

/**
 * What no record tells (it cannot be read, or is of an older daemon) the kernel does, of whoever lives there.
 * Who has made a namespace of its own inside has some of the same.
 */
async function mappedIds(engine: Engine, id: ContainerId): Promise<readonly NumberRange[]> {
  const pids = await engine.drivers.cgroup.pids(groupsById(engine, id));
  return pids.flatMap((pid) => {
    const ranges = readMap(pid);
    // more than any container has: its users are the host's
    return ranges.some(({ count }) => count > IDS_PER_CONTAINER) ? [] : ranges;
  });
}

/** Lines of three numbers, see user_namespaces(7); none of a process that has gone. */
function readMap(pid: number): readonly NumberRange[] {
  try {
    const numbers = fs.readFileSync(`/proc/${pid}/uid_map`, 'utf8').match(/\d+/g)?.map(Number) ?? [];
    return numbers.flatMap((count, at) => (at % 3 === 2 ? [{ first: numbers[at - 1]!, count }] : []));
  } catch {
    return [];
  }
}

function idsOf(firstId: number | null): readonly NumberRange[] {
  return firstId === null ? [] : [{ first: firstId, count: IDS_PER_CONTAINER }];
}

/** Whether a container of this uid would have all of them today. */
function isAsNow({ options }: Engine, { uid, inside }: HostUsers): boolean {
  if (uid === undefined) return inside.length === 0;
  const first = firstIdOf(options, uid);
  if (inside.length === 0) return first === null;
  return (
    first !== null &&
    inside.every((one) => one.first >= first && one.first + one.count <= first + IDS_PER_CONTAINER)
  );
}

/** Of two that have the same uid of their own nothing is said: the pool knows it. */
function meet(one: HostUsers, other: HostUsers): boolean {
  return (
    isInside(one, other.uid) ||
    isInside(other, one.uid) ||
    one.inside.some((some) =>
      other.inside.some(({ first, count }) => first < some.first + some.count && some.first < first + count),
    )
  );
}

function isInside({ inside }: HostUsers, id: number | undefined): boolean {
  return id !== undefined && inside.some(({ first, count }) => id >= first && id < first + count);
}
