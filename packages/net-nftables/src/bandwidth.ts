/**
 * Limits of a container's bandwidth, in one of three ways.
 *
 * `queue`: a token bucket on the way out of the host's end holds back what goes to the container; what comes
 * from it is led through an intermediate device (ifb) with a bucket of its own. All of it lies on the host's
 * side, where nothing inside can reach it.
 *
 * `ends`: for kernels without ifb or mirred, a token bucket on the way out of either end of the link. The
 * container's end lies inside: who has CAP_NET_ADMIN there, which containers do not get, can take its bucket
 * away.
 *
 * `limit`: for kernels without these, nftables drops what exceeds the rate. Nothing is queued, so TCP stays
 * somewhat below it.
 */
import type { BandwidthLimit, NetworkSpec } from '@warden/interface';
import { WardenError } from '@warden/interface';
import type { LinkSettings } from './container-link.ts';
import { findLink, linkHasIpv6, removeLink } from './container-link.ts';
import type { FarEnd } from './far-ends.ts';
import { shaperName } from './link-names.ts';
import type { NetlinkConnection } from './netlink-connection.ts';
import { isKernelError } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';
import type { Link } from './rtnetlink.ts';
import { bringUp, createIntermediate, getLink, markLink, readLink, setLinkGroup } from './rtnetlink.ts';
import type { TokenBucket } from './traffic-control.ts';
import {
  addIngress,
  deleteBucket,
  deleteIngress,
  redirectIncoming,
  replaceBucket,
} from './traffic-control.ts';

/** How bandwidth is limited. */
export type BandwidthMode = 'queue' | 'ends' | 'limit';

/** All, the best first. */
export const BANDWIDTH_MODES: readonly BandwidthMode[] = ['queue', 'ends', 'limit'];

const UINT32_MAX = 0xffff_ffffn;
/** What a packet has beside the interface's MTU. */
const ETHERNET_HEADER_BYTES = 14;
/** How long a byte may wait in a bucket's queue; the original's number. */
const LATENCY_MS = 25n;
/** What the kernel answers when there is nothing to take away. */
const ABSENT = ['ENOENT', 'EINVAL', 'ENODEV'];

/** Errors: `INVALID_SPEC` for numbers that mean no limit or that no kernel takes. */
export function checkBandwidth({ rate, burst }: BandwidthLimit): void {
  const refuse = (what: string, value: bigint, range: string): WardenError =>
    new WardenError('INVALID_SPEC', `bandwidth ${what} ${value} is not in ${range}`, {
      fields: { operation: 'set-bandwidth', object: what, value: String(value) },
    });
  if (rate < 1n || rate > 0xffff_ffff_ffff_ffffn) throw refuse('rate', rate, '1..18446744073709551615');
  if (burst < 1n || burst > UINT32_MAX) throw refuse('burst', burst, `1..${UINT32_MAX}`);
}

/** A burst below a full packet would stop the container's traffic for good, so that much is always granted. */
export function effectiveBurst({ burst }: BandwidthLimit, mtu: number): number {
  return Math.max(Number(burst), mtu + ETHERNET_HEADER_BYTES);
}

function bucketOf(limit: BandwidthLimit, mtu: number): TokenBucket {
  const burst = effectiveBurst(limit, mtu);
  const queue = (limit.rate * LATENCY_MS) / 1000n + BigInt(burst);
  return { rate: limit.rate, burst, queue: Number(queue < UINT32_MAX ? queue : UINT32_MAX) };
}

/** Puts both buckets in place, or new numbers into them. On failure the caller removes or restores. */
export function shape(
  connection: NetlinkConnection,
  spec: NetworkSpec,
  link: Link,
  { settings, limit }: { readonly settings: LinkSettings; readonly limit: BandwidthLimit },
): void {
  const bucket = bucketOf(limit, link.mtu);
  // The device comes first and goes last: without it there is nothing else either.
  let shaper = findLink(connection, shaperName(spec.id));
  if (shaper === undefined) {
    // A redirection to a device that was deleted drops everything.
    tolerate(connection, deleteIngress(link.index), ABSENT);
    shaper = makeShaper(connection, spec, { settings, mtu: link.mtu });
  }
  connection.route(replaceBucket(shaper.index, bucket));
  connection.route(replaceBucket(link.index, bucket));
  tolerate(connection, addIngress(link.index), ['EEXIST']);
  tolerate(connection, redirectIncoming(link.index, shaper.index), ['EEXIST']);
}

function makeShaper(
  connection: NetlinkConnection,
  spec: NetworkSpec,
  { settings, mtu }: { readonly settings: LinkSettings; readonly mtu: number },
): Link {
  const name = shaperName(spec.id);
  const [received] = connection.route(createIntermediate(name, mtu), getLink(name));
  if (received === undefined) throw new TypeError('the kernel did not list the new link');
  const made = readLink(received);
  // Up only once it knows that it gets no link-local address.
  connection.route(markLink(made.index, settings.alias, linkHasIpv6(settings, mtu)));
  connection.route(bringUp(made.index));
  return made;
}

/** Takes both buckets away. Idempotent; without a `shaper` nothing was made. */
export function unshape(
  connection: NetlinkConnection,
  link: Link | undefined,
  shaper: Link | undefined,
): void {
  if (shaper === undefined) return;
  // Back to direct delivery before the device goes: what is redirected to no device is lost.
  for (const change of link === undefined ? [] : [deleteIngress(link.index), deleteBucket(link.index)])
    tolerate(connection, change, ABSENT);
  removeLink(connection, shaper);
}

/** Marks the near end of a link that has a bucket at its far end, for a later daemon that limits in another way. */
const BOTH_ENDS_GROUP = 0x7764;

/** Tells whether the far end has, or may have, a bucket. */
export function isMarked({ group }: Link): boolean {
  return group === BOTH_ENDS_GROUP;
}

/** Puts a bucket at either end, or new numbers into them. `connection` and `link` are of the near end. */
export function shapeEnds(
  connection: NetlinkConnection,
  link: Link,
  { far, limit }: { readonly far: FarEnd; readonly limit: BandwidthLimit },
): void {
  const bucket = bucketOf(limit, link.mtu);
  connection.route(setLinkGroup(link.index, BOTH_ENDS_GROUP));
  far.connection.route(replaceBucket(far.link.index, bucket));
  connection.route(replaceBucket(link.index, bucket));
}

/** Takes the far end's bucket and the mark away; the near end's bucket serves every way that queues. Idempotent. */
export function unshapeFar(connection: NetlinkConnection, link: Link, far: FarEnd | undefined): void {
  if (far !== undefined) tolerate(far.connection, deleteBucket(far.link.index), ABSENT);
  tolerate(connection, setLinkGroup(link.index, 0), ABSENT);
}

/** Takes the near end's bucket away. Idempotent. */
export function unshapeNear(connection: NetlinkConnection, link: Link): void {
  tolerate(connection, deleteBucket(link.index), ABSENT);
}

/** Takes the intermediate device away and leaves the near end's bucket. Idempotent. */
export function unshapeIncoming(connection: NetlinkConnection, link: Link, shaper: Link | undefined): void {
  if (shaper === undefined) return;
  tolerate(connection, deleteIngress(link.index), ABSENT);
  removeLink(connection, shaper);
}

/** Makes a change that may have been made already. */
function tolerate(connection: NetlinkConnection, change: MessageBody, errors: readonly string[]): void {
  try {
    connection.route(change);
  } catch (error) {
    if (!isKernelError(error, ...errors)) throw error;
  }
}

/**
 * Whether both buckets and the redirection can be made, found out in a throw-away namespace's `link`. They go
 * with it: every kernel can remove a link, and waits until no processor looks at it any more.
 */
export function tryShaping(
  connection: NetlinkConnection,
  spec: NetworkSpec,
  link: Link,
  settings: LinkSettings,
): void {
  const limit = { rate: 100_000n, burst: 2_000n };
  shape(connection, spec, link, { settings, limit });
  shape(connection, spec, link, { settings, limit: { ...limit, rate: UINT32_MAX + 1n } });
}

/** Whether both ends take a bucket, found out at a pair whose ends both lie in a throw-away namespace. */
export function tryShapingEnds(connection: NetlinkConnection, link: Link, far: Link): void {
  const end = { connection, link: far };
  shapeEnds(connection, link, { far: end, limit: { rate: 100_000n, burst: 2_000n } });
  unshapeNear(connection, link);
  unshapeFar(connection, link, end);
}
