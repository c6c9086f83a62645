/**
 * Blocks of the network pool that are in use on the host by somebody else: a container that got one would get
 * the other's traffic, or none.
 */
import type { Engine } from './engine.ts';
import { parseAddress } from './pools.ts';

/**
 * First addresses of such blocks, of the pool that the network driver was set up with. To be asked behind the
 * recovery: links of this daemon's containers may have another name.
 */
export async function foreignNetworks(engine: Engine): Promise<readonly number[]> {
  const own = new Set(Array.from(engine.containers.values(), ({ record }) => record.network));
  const found = ((await engine.drivers.network.foreignAddresses?.()) ?? []).flatMap((address) => {
    const number = parseAddress(address)!;
    const base = number - (number % 4);
    return own.has(base) ? [] : [{ address, base }];
  });
  if (found.length > 0) {
    engine.logger.warn('networks-in-use', {
      count: found.length,
      addresses: found.slice(0, 8).map(({ address }) => address),
      means:
        "the host has these addresses of network.pool_network on links that are not this daemon's, as those of containers whose daemon does not run; their blocks are given to nobody",
      advice:
        'configure another network.pool_network, or remove what has the addresses (wardend cleanup with the settings of the other daemon), and restart',
    });
  }
  return found.map(({ base }) => base);
}
