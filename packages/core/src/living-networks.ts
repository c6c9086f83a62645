/**
 * Containers that live, and the network pool of a daemon that starts. What is translated on the way out, and
 * what is closed to wide rules of other containers, goes by the pool.
 */
import { WardenError } from '@warden/interface';
import { type DepotEntry, recordOf } from './depot-entries.ts';
import type { Engine } from './engine.ts';
import { livingOf } from './living.ts';
import { blockOf, isInNetwork } from './pools.ts';

/**
 * Before the network is set up, which puts the pool in force. Errors: `INVALID_SPEC` when a container that
 * lives has an address outside.
 */
export async function requireLivingWithin(engine: Engine, entries: readonly DepotEntry[]): Promise<void> {
  const { drivers, options } = engine;
  const { pool } = options.network;
  if (!drivers.network.supports.link) return;
  const records = entries
    .flatMap((entry) => recordOf(entry) ?? [])
    .filter(({ network }) => !isInNetwork(pool, network))
    .filter(({ state, isDestroying }) => state !== 'born' && !isDestroying); // removed at once
  const living = await livingOf(engine, records);
  const outside = living.map(({ handle, network }) => `${handle} (${blockOf(network).containerIp})`);
  if (outside.length === 0) return;
  const shown = outside.slice(0, 8).join(', ');
  throw new WardenError(
    'INVALID_SPEC',
    `network.pool_network: containers live outside of ${pool}: ${shown}${outside.length > 8 ? ', …' : ''}. Configure a network that holds them, too, or as it was and destroy them first; until then they live on as they are`,
    { fields: { operation: 'recover', object: 'network.pool_network', pool, containers: outside } },
  );
}
