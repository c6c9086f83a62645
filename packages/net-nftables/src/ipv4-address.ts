/** IPv4 addresses as numbers and bytes, and the three ways configuration writes a range of them. */
import type { Ipv4 } from '@warden/interface';
import { WardenError } from '@warden/interface';

/** An inclusive range of addresses as unsigned 32-bit numbers. */
export interface AddressRange {
  readonly first: number;
  readonly last: number;
}

const HIGHEST = 0xffff_ffff;

function invalid(text: string): WardenError {
  return new WardenError('INVALID_SPEC', `not an IPv4 address, network or range: ${JSON.stringify(text)}`, {
    fields: { operation: 'parse-network', object: text },
  });
}

/** Parses a dotted quad. Leading zeros are refused: some programs read them as octal. Errors: `INVALID_SPEC`. */
export function parseAddress(text: Ipv4): number {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1);
  if (parts?.every((part) => Number(part) <= 255 && String(Number(part)) === part) !== true)
    throw invalid(text);
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** Writes an address as a dotted quad. */
export function formatAddress(address: number): Ipv4 {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}

/** The four bytes of an address in network order. */
export function addressBytes(address: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(address);
  return bytes;
}

/** The block of `prefixLength` bits around an address. */
export function networkOf(address: number, prefixLength: number): AddressRange {
  const size = 2 ** (32 - prefixLength);
  const first = Math.floor(address / size) * size;
  return { first, last: first + size - 1 };
}

/** Parses an address, a CIDR (host bits are ignored) or `a-b`. Errors: `INVALID_SPEC`. */
export function parseRange(text: string): AddressRange {
  const dash = text.indexOf('-');
  if (dash >= 0) {
    const range = { first: parseAddress(text.slice(0, dash)), last: parseAddress(text.slice(dash + 1)) };
    if (range.first > range.last) throw invalid(text);
    return range;
  }
  const slash = text.indexOf('/');
  if (slash < 0) return networkOf(parseAddress(text), 32);
  const prefix = text.slice(slash + 1);
  if (!/^(\d|[12]\d|3[012])$/.test(prefix)) throw invalid(text);
  return networkOf(parseAddress(text.slice(0, slash)), Number(prefix));
}

/** Sorts and joins ranges that overlap or touch: an interval set refuses overlapping elements. */
export function mergeRanges(ranges: readonly AddressRange[]): AddressRange[] {
  const merged: AddressRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before !== undefined && range.first <= before.last + 1)
      merged[merged.length - 1] = { first: before.first, last: Math.max(before.last, range.last) };
    else merged.push(range);
  }
  return merged;
}

/** Tells whether a range reaches up to 255.255.255.255, which has no address behind it. */
export function endsAtTop(range: AddressRange): boolean {
  return range.last === HIGHEST;
}

/**
 * Where a cloud's metadata service and other things of the host's own link live. A rule that merely happens to cover it does not open it: it has
 * to lie within.
 */
export const LINK_LOCAL: AddressRange = networkOf(parseAddress('169.254.0.0'), 16);

/** Tells whether a range covers link-local addresses without being about them. */
export function coversLinkLocal({ first, last }: AddressRange): boolean {
  const touches = first <= LINK_LOCAL.last && last >= LINK_LOCAL.first;
  return touches && !(first >= LINK_LOCAL.first && last <= LINK_LOCAL.last);
}

/** The parts of a range that are opened: without link-local addresses, unless it is about them. */
export function withoutLinkLocal(range: AddressRange): AddressRange[] {
  if (!coversLinkLocal(range)) return [range];
  return [
    { first: range.first, last: LINK_LOCAL.first - 1 },
    { first: LINK_LOCAL.last + 1, last: range.last },
  ].filter(({ first, last }) => first <= last);
}
