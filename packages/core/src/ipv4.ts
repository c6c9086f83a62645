/** IPv4 addresses as numbers, and the forms in which clients and configuration give them. */
import { type Ipv4, WardenError } from '@warden/interface';

/** Inclusive. */
export interface AddressRange {
  readonly first: number;
  readonly last: number;
}

/** Dotted quad; `undefined` for anything else. */
export function parseAddress(text: string): number | undefined {
  const octets = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (octets === undefined || octets.some((octet) => octet > 255)) return undefined;
  return octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

export function formatAddress(address: number): Ipv4 {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** An address, a CIDR or `a-b` with a not above b; `undefined` for anything else. */
export function parseAddressRange(text: string): AddressRange | undefined {
  const dash = text.indexOf('-');
  if (dash >= 0) {
    const first = parseAddress(text.slice(0, dash).trim());
    const last = parseAddress(text.slice(dash + 1).trim());
    return first === undefined || last === undefined || first > last ? undefined : { first, last };
  }
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const prefix = slash < 0 ? 32 : parsePrefix(text.slice(slash + 1));
  if (address === undefined || prefix === undefined) return undefined;
  const size = 2 ** (32 - prefix);
  const first = address - (address % size);
  return { first, last: first + size - 1 };
}

function parsePrefix(text: string): number | undefined {
  const prefix = /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  return prefix >= 0 && prefix <= 32 ? prefix : undefined;
}

/**
 * The /30 blocks of a pool, from the one its address lies in to the end of its network; none in a /31 or /32.
 * Errors: `INVALID_SPEC` with the original's texts.
 */
export function blocksOf(cidr: string): { readonly first: number; readonly count: number; readonly step: 4 } {
  const invalid = (message: string): WardenError =>
    new WardenError('INVALID_SPEC', message, { fields: { operation: 'network pool', object: cidr } });
  const [text = '', prefixText = '', ...rest] = cidr.split('/');
  const prefix = parsePrefix(prefixText);
  if (prefix === undefined || rest.length > 0) {
    throw invalid(`Invalid address/netmask (require: 1.2.3.4/5): ${cidr}`);
  }
  const address = parseAddress(text);
  if (address === undefined) throw invalid('invalid address');
  const first = address - (address % 4);
  const size = 2 ** (32 - prefix);
  const end = address - (address % size) + size;
  return { first, count: prefix > 30 ? 0 : (end - first) / 4, step: 4 };
}
