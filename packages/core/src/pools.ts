/** The three pools of a host, with the original's texts when one is empty. */
import { type Ipv4, WardenError } from '@warden/interface';
import { blocksOf, formatAddress, parseAddress } from './ipv4.ts';
import type { CoreOptions } from './options.ts';
import { Pool } from './pool.ts';

const HIGHEST_PORT = 65_535;

/** Addresses of a /30 block. */
export interface NetworkBlock {
  /** Its number: the first address. */
  readonly base: number;
  readonly hostIp: Ipv4;
  readonly containerIp: Ipv4;
}

/** Network blocks, uids and ports that can be had. */
export class Pools {
  readonly networks: Pool;
  readonly uids: Pool;
  readonly ports: Pool;

  /** Errors: `INVALID_SPEC` for a pool that cannot be. */
  constructor({ network, uids, ports }: Pick<CoreOptions, 'network' | 'uids' | 'ports'>) {
    if (ports.first < 1 || ports.first + ports.count - 1 > HIGHEST_PORT) {
      throw new WardenError('INVALID_SPEC', `port pool ${ports.first}+${ports.count} exceeds ${HIGHEST_PORT}`, {
        fields: { operation: 'port pool', ...ports },
      });
    }
    this.networks = new Pool(blocksOf(network.pool), { delayMs: network.releaseDelay * 1_000 });
    this.uids = new Pool(uids);
    this.ports = new Pool(ports);
  }

  /** Any block, or the one `wanted` lies in. Errors: `POOL_EXHAUSTED`; `INVALID_SPEC` for what is no address. */
  acquireNetwork(wanted: string | undefined): NetworkBlock {
    if (wanted === undefined) {
      const base = this.networks.acquire();
      if (base === undefined) throw exhausted('Could not acquire network', 'network', this.networks);
      return blockOf(base);
    }
    const address = parseAddress(wanted);
    if (address === undefined) {
      throw new WardenError('INVALID_SPEC', 'invalid address', {
        fields: { operation: 'create', object: wanted },
      });
    }
    const base = address - (address % 4);
    if (!this.networks.take(base)) {
      throw exhausted(`Could not acquire network: ${formatAddress(base)}`, 'network', this.networks);
    }
    return blockOf(base);
  }

  /** Errors: `POOL_EXHAUSTED`. */
  acquireUid(): number {
    const uid = this.uids.acquire();
    if (uid === undefined) throw exhausted('no uid available', 'uid', this.uids);
    return uid;
  }

  /** Errors: `POOL_EXHAUSTED`. */
  acquirePort(): number {
    const port = this.ports.acquire();
    if (port === undefined) throw exhausted('no port available', 'port', this.ports);
    return port;
  }
}

/** The addresses of the block that begins at `base`. */
export function blockOf(base: number): NetworkBlock {
  return { base, hostIp: formatAddress(base + 1), containerIp: formatAddress(base + 2) };
}

function exhausted(message: string, pool: string, { used, size }: Pool): WardenError {
  return new WardenError('POOL_EXHAUSTED', message, {
    fields: { operation: 'acquire', pool, used, limit: size },
  });
}
