/** Names and link-layer addresses of a container's link, computed from its id alone. */
import { createHash } from 'node:crypto';
import type { ContainerId } from '@warden/interface';
import { isContainerId } from '@warden/interface';
import type { LinkEnd } from './rtnetlink.ts';

const HOST_SUFFIX = '-0';
const CONTAINER_SUFFIX = '-1';
const SHAPER_SUFFIX = '-2';
const PREFIX = 'w-';

/** See {@link linkEnds}. */
export interface LinkEnds {
  readonly host: LinkEnd;
  readonly container: LinkEnd;
}

/** A create asks some ten times for the same ones, and the hashes take a while. As many as may be made at a time. */
const recent = new Map<ContainerId, LinkEnds>();
const MOST_RECENT = 64;

/** Both ends of the link. The names have 15 bytes, the most the kernel takes. */
export function linkEnds(id: ContainerId): LinkEnds {
  const known = recent.get(id);
  if (known !== undefined) return known;
  const ends = computeEnds(id);
  for (const [oldest] of recent) {
    if (recent.size < MOST_RECENT) break;
    recent.delete(oldest);
  }
  recent.set(id, ends);
  return ends;
}

function computeEnds(id: ContainerId): LinkEnds {
  const [host, container] = [`${PREFIX}${id}${HOST_SUFFIX}`, `${PREFIX}${id}${CONTAINER_SUFFIX}`];
  return { host: { name: host, mac: macOf(host) }, container: { name: container, mac: macOf(container) } };
}

/** The intermediate device that queues what a container sends; it exists only while its bandwidth is limited. */
export function shaperName(id: ContainerId): string {
  return PREFIX + id + SHAPER_SUFFIX;
}

/** The container whose host end has this name, or undefined. */
export function linkOwner(name: string): ContainerId | undefined {
  return ownerBySuffix(name, HOST_SUFFIX);
}

/** The container whose {@link shaperName} this is, or undefined. */
export function shaperOwner(name: string): ContainerId | undefined {
  return ownerBySuffix(name, SHAPER_SUFFIX);
}

/**
 * Tells whether a link is one end of some warden's containers: the outward link of a daemon that lives in one
 * of them.
 */
export function isContainerLink(name: string): boolean {
  return [HOST_SUFFIX, CONTAINER_SUFFIX].some((suffix) => ownerBySuffix(name, suffix) !== undefined);
}

function ownerBySuffix(name: string, suffix: string): ContainerId | undefined {
  if (!name.startsWith(PREFIX) || !name.endsWith(suffix)) return undefined;
  const id = name.slice(PREFIX.length, -suffix.length);
  return isContainerId(id) ? id : undefined;
}

/** A locally administered unicast address. 46 bits of a hash: the two ends of a link differ. */
function macOf(name: string): Uint8Array {
  const mac = createHash('sha256').update(name).digest().subarray(0, 6);
  mac[0] = ((mac[0] ?? 0) & 0xfc) | 0x02;
  return mac;
}

/** Writes a link-layer address as `02:0a:…`. */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
