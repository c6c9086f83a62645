/**
 * Containers that live, and the users of the host that a daemon gives to new ones: its configuration may lay
 * the ids of containers out otherwise than they were when the living ones were made.
 */
import { firstIdOf, IDS_PER_CONTAINER } from './confinement.ts';
import type { Engine } from './engine.ts';
import type { ContainerRecord } from './record.ts';

/** The host's users that a container has: the range of those inside, if it has one, and its own. */
interface HostUsers {
  readonly uid: number;
  readonly firstId: number | null;
}

/**
 * Leaves those uids out of the pool by which a new container would have users of the host in common with one
 * of `records`. Until the next start: also when that one has gone meanwhile.
 */
export function keepUsersApart(engine: Engine, records: readonly ContainerRecord[]): void {
  const { options, pools, logger } = engine;
  const earlier = records.flatMap(({ uid, firstId, handle }): (HostUsers & { readonly handle: string })[] =>
    // where nothing has changed nothing meets; a record of an older daemon does not tell
    firstId === undefined || firstId === firstIdOf(options, uid) ? [] : [{ uid, firstId, handle }],
  );
  if (earlier.length === 0) return;
  const before = pools.uids.size;
  pools.uids.exclude((uid) => {
    const wanted = { uid, firstId: firstIdOf(options, uid) };
    return earlier.some((one) => meet(one, wanted));
  });
  const count = before - pools.uids.size;
  if (count === 0) return;
  logger.warn('uids-left-out', {
    count,
    containers: earlier.slice(0, 8).map(({ handle }) => handle),
    means:
      'containers live that were made with another user.pool_start_uid, security.subordinate_ids or security.user_namespace; with these uids of the pool a new one would have users of the host in common with them, so they are given to nobody before the next start',
    advice: 'to have all of the pool again, destroy these containers and restart the daemon',
  });
}

/** Of two that have the same uid of their own nothing is said: the pool knows it. */
function meet(one: HostUsers, other: HostUsers): boolean {
  return (
    isInside(one, other.uid) ||
    isInside(other, one.uid) ||
    (one.firstId !== null &&
      other.firstId !== null &&
      Math.abs(one.firstId - other.firstId) < IDS_PER_CONTAINER)
  );
}

function isInside({ firstId }: HostUsers, id: number): boolean {
  return firstId !== null && id >= firstId && id < firstId + IDS_PER_CONTAINER;
}
