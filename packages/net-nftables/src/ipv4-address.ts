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
 * What only a rule about it opens: the host's own links, and the addresses at which clouds tell a machine its
 * credentials. A rule that merely happens to cover one of them leaves it closed. (Azure's is its name server
 * as well, so containers there need a rule about it.)
 */
export const METADATA: readonly AddressRange[] = [
  networkOf(parseAddress('169.254.0.0'), 16),
  networkOf(parseAddress('100.100.100.200'), 32),
  networkOf(parseAddress('168.63.129.16'), 32),
  networkOf(parseAddress('192.0.0.192'), 32),
];

/** Tells whether an address lies in one of the ranges. */
export function isWithin(address: number, ranges: readonly AddressRange[]): boolean {
  return ranges.some(({ first, last }) => address >= first && address <= last);
}

/** The addresses both ranges have. */
export function commonRange(one: AddressRange, other: AddressRange): AddressRange | undefined {
  const range = { first: Math.max(one.first, other.first), last: Math.min(one.last, other.last) };
  return range.first <= range.last ? range : undefined;
}

/** Tells whether `range` covers a part of one of `reserved` without being about it, which is to lie within it. */
export function coversReserved(range: AddressRange, reserved: readonly AddressRange[]): boolean {
  const isAbout = reserved.some((one) => range.first >= one.first && range.last <= one.last);
  return !isAbout && reserved.some((one) => commonRange(range, one) !== undefined);
}

/** The parts of a range that are opened: without the reserved addresses, unless it is about them. */
export function withoutReserved(range: AddressRange, reserved: readonly AddressRange[]): AddressRange[] {
  if (!coversReserved(range, reserved)) return [range];
  return reserved.reduce<AddressRange[]>(
    (parts, { first, last }) =>
      parts.flatMap((part) =>
        [
          { first: part.first, last: Math.min(part.last, first - 1) },
          { first: Math.max(part.first, last + 1), last: part.last },
        ].filter((rest) => rest.first <= rest.last),
      ),
    [range],
  );
}
