/** The three pools of a host, with the original's texts when one is empty. */
import { type Ipv4, WardenError } from '@warden/interface';
import type { CoreOptions } from './options.ts';
import { type NumberSeries, Pool } from './pool.ts';

/** Addresses of a /30 block. */
export interface NetworkBlock {
  /** Its number: the first address. */
  readonly base: number;
  readonly network: Ipv4;
  readonly hostIp: Ipv4;
  readonly containerIp: Ipv4;
}

/** Network blocks, uids and ports that can be had. */
export class Pools {
  readonly networks: Pool;
  readonly uids: Pool;
  readonly ports: Pool;

  constructor(options: Pick<CoreOptions, 'network' | 'uids' | 'ports'>) {
    this.networks = new Pool(blocks(options.network.pool), { delayMs: options.network.releaseDelay * 1_000 });
    this.uids = new Pool(options.uids);
    this.ports = new Pool(options.ports);
  }

  /**
   * Answers what makes the pools as large as these options say. Errors: `INVALID_SPEC` when something of the
   * networks would not be in there any more.
   */
  extension({ network, uids, ports }: Pick<CoreOptions, 'network' | 'uids' | 'ports'>): () => void {
    const networks = blocks(network.pool);
    if (!this.networks.isWithin(networks)) {
      throw new WardenError(
        'INVALID_SPEC',
        `network.pool_network: a pool can only grow while the daemon runs: ${network.pool} does not hold all networks there were`,
        { fields: { operation: 'reconfigure', object: 'network.pool_network' } },
      );
    }
    return () => {
      this.networks.extend(networks);
      this.uids.extend(uids);
      this.ports.extend(ports);
    };
  }

  /** Errors: `POOL_EXHAUSTED`; `INVALID_SPEC` for what is no address, or none of the pool's. */
  acquireNetwork(wanted: string | undefined): NetworkBlock {
    if (wanted === undefined) {
      const base = this.networks.acquire();
      if (base === undefined) throw exhausted('Could not acquire network', 'network', this.networks);
      return blockOf(base);
    }
    const address = parseAddress(wanted);
    if (address === undefined) {
      throw new WardenError('INVALID_SPEC', noAddress(wanted), {
        fields: { operation: 'create', object: wanted },
      });
    }
    const base = address - (address % 4);
    const message = `Could not acquire network: ${formatAddress(base)}`;
    // the original's text for both
    if (!this.networks.has(base)) {
      throw new WardenError('INVALID_SPEC', message, { fields: { operation: 'create', object: wanted } });
    }
    if (!this.networks.take(base)) throw exhausted(message, 'network', this.networks);
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
  return {
    base,
    network: formatAddress(base),
    hostIp: formatAddress(base + 1),
    containerIp: formatAddress(base + 2),
  };
}

/** Dotted quad, or the 8 hexadecimal digits old clients may send; `undefined` for anything else. */
export function parseAddress(text: string): number | undefined {
  if (/^[0-9a-fA-F]{8}$/.test(text)) return Number.parseInt(text, 16);
  const octets = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (octets === undefined || octets.some((octet) => octet > 255)) return undefined;
  return octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

export function formatAddress(address: number): Ipv4 {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** Whether a block is in the network of a CIDR, of whose blocks a pool may have the later ones only. */
export function isInNetwork(cidr: string, base: number): boolean {
  const [text = '', prefix = ''] = cidr.split('/');
  const [address, size] = [parseAddress(text) ?? 0, 2 ** (32 - Number(prefix))];
  return Math.floor(address / size) === Math.floor(base / size);
}

/** More blocks than one daemon could ever fill. Whether a pool may become another one takes a look at each. */
const SHORTEST_PREFIX = 12;

/**
 * First addresses of the /30 blocks in a CIDR, from the given address to the end of its network; none in a
 * /31 or /32. Errors: `INVALID_SPEC`.
 */
function blocks(cidr: string): NumberSeries {
  const [text = '', prefixText = ''] = cidr.split('/');
  const address = parseAddress(text);
  const prefix = /^\d{1,2}$/.test(prefixText) ? Number(prefixText) : Number.NaN;
  if (address === undefined || !(prefix >= SHORTEST_PREFIX && prefix <= 32)) {
    throw new WardenError(
      'INVALID_SPEC',
      `Invalid address/netmask (require: 1.2.3.4/5, with a prefix of ${SHORTEST_PREFIX} to 32): ${cidr}`,
      { fields: { operation: 'network pool', object: cidr } },
    );
  }
  const size = 2 ** (32 - prefix);
  const end = address - (address % size) + size;
  const first = address - (address % 4);
  return { first, count: Math.max(0, Math.floor((end - first) / 4)), step: 4 };
}

/** The original's texts: one for numbers that are too large, one for what it took for 0.0.0.0. */
function noAddress(text: string): string {
  return /^\d+\.\d+\.\d+\.\d+$/.test(text)
    ? `invalid address: ${text}`
    : `Could not acquire network: 0.0.0.0, as which "${text}" counts: it is no address`;
}

function exhausted(message: string, pool: string, { used, size }: Pool): WardenError {
  return new WardenError('POOL_EXHAUSTED', message, {
    fields: { operation: 'acquire', pool, used, limit: size },
  });
}
