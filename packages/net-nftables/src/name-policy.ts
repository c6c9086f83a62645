/** Which names a container may ask for, and which of the addresses they lead to a name may open. */
import os from 'node:os';
import type { EgressRule } from '@warden/interface';
import type { AddressRange } from './ipv4-address.ts';
import { isWithin, METADATA, parseAddress, parseRange } from './ipv4-address.ts';
import { isContainerLink } from './link-names.ts';

/** A rule about a name. */
export interface NamedRule {
  readonly domain: string;
  readonly network: AddressRange | undefined;
}

/** The rule as one about a name; undefined when it is about addresses only. */
export function namedRule({ domain, network }: EgressRule): NamedRule | undefined {
  if (domain === undefined) return undefined;
  const range = network && { first: parseAddress(network.first), last: parseAddress(network.last) };
  return { domain, network: range };
}

/** Tells whether a rule is about this name, which is in lower case. `*.` stands for one label or more. */
export function isAbout({ domain }: NamedRule, name: string): boolean {
  if (!/^[a-z0-9_.-]+$/.test(name)) return false;
  if (!domain.startsWith('*.')) return name === domain;
  const parent = domain.slice(1);
  return name.length > parent.length && name.endsWith(parent) && !name.startsWith('.');
}

const ranges = (...texts: readonly string[]): AddressRange[] => texts.map(parseRange);

/** No rule about a name opens these, whatever it says: whoever answers for the name would choose them. */
const NEVER = [...ranges('0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/4', '240.0.0.0/4'), ...METADATA];
/** Networks that are somebody's own; a rule opens them by naming them. */
const PRIVATE = ranges(
  '10.0.0.0/8',
  '100.64.0.0/10',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
);

/** What of the host and its configuration no name may open. */
export interface Forbidden {
  readonly pool: AddressRange;
  readonly denyNetworks: readonly AddressRange[];
  readonly host: ReadonlySet<number>;
}

/** Tells whether the rule opens the address, now that its name has led there. */
export function mayOpen({ network }: NamedRule, address: number, forbidden: Forbidden): boolean {
  const { pool, denyNetworks, host } = forbidden;
  if (isWithin(address, NEVER) || isWithin(address, [pool, ...denyNetworks]) || host.has(address))
    return false;
  return network === undefined ? !isWithin(address, PRIVATE) : isWithin(address, [network]);
}

/** Addresses of the host; without those towards containers, which lie in the pool. */
export function hostAddresses(): ReadonlySet<number> {
  const found = Object.entries(os.networkInterfaces()).flatMap(([name, addresses = []]) =>
    isContainerLink(name) ? [] : addresses,
  );
  return new Set(found.filter(({ family }) => family === 'IPv4').map(({ address }) => parseAddress(address)));
}
