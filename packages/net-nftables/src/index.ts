/**
 * Network driver: veth pairs by rtnetlink and firewall rules in one nftables table, spoken to the kernel directly.
 *
 * {@link nftablesNetwork} isolates containers; {@link noNetwork} is for hosts that cannot, or need not.
 *
 * @packageDocumentation
 */

export type { BandwidthMode } from './bandwidth.ts';
export { nftablesNetwork } from './driver.ts';
export type { Lifetimes } from './learned-addresses.ts';
export type { NameServer } from './name-servers.ts';
export { parseNameServer } from './name-servers.ts';
export { noNetwork } from './none.ts';
export type { NftablesNetworkOptions } from './options.ts';
export { NFTABLES_FAILPOINTS } from './options.ts';
export type { InboundPolicy } from './ruleset.ts';
