/**
 * Containers that live, and the network pool of a daemon that starts. What is translated on the way out, and
 * what is closed to wide rules of other containers, goes by the pool.
 */
import { WardenError } from '@warden/interface';
import { type DepotEntry, recordOf } from './depot-entries.ts';
import type { Engine } from './engine.ts';
import { blockOf, isInNetwork } from './pools.ts';

/**
 * Before the network is set up, which puts the pool in force. Errors: `INVALID_SPEC` when a container that
 * lives has an address outside.
 */
export async function requireLivingWithin(engine: Engine, entries: readonly DepotEntry[]): Promise<void> {
  const { drivers, options } = engine;
  const { pool } = options.network;
  if (!drivers.network.supports.link) return;
  const outside: string[] = [];
  for (const entry of entries) {
    const record = recordOf(entry);
    if (record === undefined || isInNetwork(pool, record.network)) continue;
    if (record.state === 'born' || record.isDestroying) continue; // removed at once
    if ((await drivers.cgroup.pids(record.drivers.cgroup)).length > 0)
      outside.push(`${record.handle} (${blockOf(record.network).containerIp})`);
  }
  if (outside.length === 0) return;
  const shown = outside.slice(0, 8).join(', ');
  throw new WardenError(
    'INVALID_SPEC',
    `network.pool_network: containers live outside of ${pool}: ${shown}${outside.length > 8 ? ', …' : ''}. Configure a network that holds them, too, or as it was and destroy them first; until then they live on as they are`,
    { fields: { operation: 'recover', object: 'network.pool_network', pool, containers: outside } },
  );
}
