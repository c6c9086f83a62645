/** What the driver is made with. */
import type { Ipv4 } from '@warden/interface';
import { BANDWIDTH_MODES, type BandwidthMode } from './bandwidth.ts';
import { parseAddress } from './ipv4-address.ts';
import type { Lifetimes } from './learned-addresses.ts';
import type { InboundPolicy } from './ruleset.ts';

/** Where a test can make this driver fail, each named after the step it stands behind (docs/failpoints.md). */
export const NFTABLES_FAILPOINTS = [
  'nftables.setup',
  'nftables.rules',
  'nftables.restore-rules',
  'nftables.disconnect',
  'nftables.remove-rules',
] as const;

/** Options of `nftablesNetwork`. */
export interface NftablesNetworkOptions {
  /** Name of the `inet` table. It belongs to this driver alone; another daemon on the host needs another name. */
  readonly table: string;
  /**
   * What may reach containers from outside the host. `published` (default): connections to published ports.
   * `routed`: everything that the network routes to the pool, as the original daemon had it.
   */
  readonly inbound?: InboundPolicy;
  /**
   * The address at which ports are published; default: the source address of packets to the outside, looked
   * up at each mapping.
   */
  readonly outwardAddress?: Ipv4;
  /** The only way of limiting bandwidth to be used; default: the best one that works. */
  readonly bandwidth?: BandwidthMode;
  /** No better way of telling what was refused is to be used; default: the best one that works. */
  readonly denials?: 'each' | 'totals';
  /** How many seconds what a name led to stays open, whatever the name server says. Default: 60 to 3,600. */
  readonly nameLifetimes?: Lifetimes;
}

/** Errors: those of `nftablesNetwork`. */
export function checkOptions({ table, bandwidth, outwardAddress }: NftablesNetworkOptions): void {
  // a program without types may forget it: its table would be called undefined
  if (typeof table !== 'string' || !/^[A-Za-z][A-Za-z0-9_.-]{0,62}$/.test(table))
    throw new TypeError(`not a table name: ${table}`);
  if (bandwidth !== undefined && !BANDWIDTH_MODES.includes(bandwidth))
    throw new TypeError(`bandwidth is one of ${BANDWIDTH_MODES.join(', ')}, not ${bandwidth}`);
  if (outwardAddress !== undefined) parseAddress(outwardAddress);
}
