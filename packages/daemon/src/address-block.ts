/** Blocks of IPv4 addresses, as pools and the kernel's own are. */
import type { NumberRange } from '@warden/core';

/** Addresses as unsigned 32-bit numbers. */
export type AddressBlock = NumberRange;

/** The whole network of a CIDR, whatever of it the address names. The text is one. */
export function blockOf(cidr: string): AddressBlock {
  const [address = '', prefix] = cidr.split('/');
  const count = 2 ** (32 - Number(prefix));
  const number = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return { first: number - (number % count), count };
}

/** Tells whether two ranges have a number in common. */
export function isCommon(one: NumberRange, other: NumberRange): boolean {
  return one.first < other.first + other.count && other.first < one.first + one.count;
}
