/** What a container was kept from, in words. */
import type { ContainerEvent } from '@warden/interface';
import { shown } from './shown.ts';

/**
 * As `tcp 192.0.2.1:443 (3 times)`, `7 packets: this host only counts them`, `dns other.example`,
 * `dns rebound.example, which leads to 10.0.0.1`.
 */
export function deniedText(event: Extract<ContainerEvent, { type: 'network-denied' }>): string {
  const { protocol, name, destination, port, count } = event;
  if (protocol === 'any') return `${count} ${count === 1 ? 'packet' : 'packets'}: this host only counts them`;
  const address = port === undefined ? (destination ?? '') : `${destination ?? ''}:${port}`;
  const leads = name !== undefined && destination !== undefined ? `, which leads to ${destination}` : '';
  const what = name === undefined ? address : `${shown(name)}${leads}`;
  return `${protocol} ${what}${count > 1 ? ` (${count} times)` : ''}`;
}
