/** Which containers have a bandwidth limit, and how it is put in force on this kernel. */
import type { BandwidthLimit, BandwidthStat, ContainerId, Logger, NetworkSpec } from '@warden/interface';
import { WardenError } from '@warden/interface';
import type { BandwidthMode } from './bandwidth.ts';
import {
  checkBandwidth,
  effectiveBurst,
  isMarked,
  shape,
  shapeEnds,
  unshape,
  unshapeFar,
  unshapeIncoming,
  unshapeNear,
} from './bandwidth.ts';
import type { LinkSettings } from './container-link.ts';
import { findLink } from './container-link.ts';
import { ensureLimit, removeLimit } from './container-rules.ts';
import { FarEnds, requireReached } from './far-ends.ts';
import type { KernelAccess } from './kernel-access.ts';
import { shaperName } from './link-names.ts';
import type { TableMessages } from './nftables-message.ts';
import { unlimitedBandwidth } from './none.ts';
import type { BandwidthFinding } from './probe.ts';
import { probeBandwidth } from './probe.ts';
import type { Link } from './rtnetlink.ts';

/** No link is faster, and above it the kernel's arithmetic overflows. */
const FASTEST_RULE = 1n << 33n;

/** What {@link BandwidthLimits} needs of its driver. */
export interface BandwidthParts {
  readonly table: TableMessages;
  readonly links: LinkSettings;
  readonly kernel: KernelAccess;
  readonly log: Logger;
  /** The only way to be used; undefined: the best that works. */
  readonly wanted: BandwidthMode | undefined;
}

/** See the file's head. */
export class BandwidthLimits {
  readonly #parts: BandwidthParts;
  /** As requested; the kernel rounds. */
  readonly #requested = new Map<ContainerId, BandwidthLimit>();
  /** Of whom a limit was set since they were attached or restored, or was to be. */
  readonly #touched = new Set<ContainerId>();
  #finding: BandwidthFinding | undefined;
  readonly #farEnds: FarEnds;

  constructor(parts: BandwidthParts) {
    this.#parts = parts;
    this.#farEnds = new FarEnds(() => parts.kernel.netlink());
  }

  /** The only way to be used; undefined: the best that works. */
  get wanted(): BandwidthMode | undefined {
    return this.#parts.wanted;
  }

  /**
   * How limits are put in force; undefined where nothing works. Found out at the first call, unless it was
   * {@link found} before.
   */
  get mode(): BandwidthMode | undefined {
    if (this.#finding === undefined) this.found(probeBandwidth(this.#parts.table, this.#parts.wanted));
    return this.#finding?.mode;
  }

  /** What a probe has found out, of which the first is taken. */
  found(finding: BandwidthFinding): void {
    if (this.#finding !== undefined) return;
    this.#finding = finding;
    const { mode, reasons } = finding;
    if (mode === undefined) this.#parts.log.warn('bandwidth-limits-missing', { reasons });
    else this.#parts.log.info('bandwidth-mode', { mode, rejected: reasons });
  }

  /** A link was made whose far end is in the namespace of `pid`. */
  attached(id: ContainerId, pid: number): void {
    this.#farEnds.note(id, pid);
  }

  has(id: ContainerId): boolean {
    return this.#requested.has(id);
  }

  /** Whether anything of a limit may be there, in force or left by a failure. */
  isTouched(id: ContainerId): boolean {
    return this.#touched.has(id);
  }

  /** The requested numbers; unlimited = 4294967295 each. */
  stat(id: ContainerId): BandwidthStat {
    const limit = this.#requested.get(id);
    if (limit === undefined) return unlimitedBandwidth();
    const { rate, burst } = limit;
    return { inRate: rate, inBurst: burst, outRate: rate, outBurst: burst };
  }

  /**
   * Puts a limit in force, or new numbers into the one there is, without an unlimited moment. After a failure
   * the earlier state holds. Errors: `UNSUPPORTED`, `INVALID_SPEC`, `NATIVE_FAILED`.
   */
  set(spec: NetworkSpec, link: Link, limit: BandwidthLimit): void {
    checkBandwidth(limit);
    const { mode } = this;
    if (mode === undefined) throw this.#unsupported(spec.id);
    this.#touched.add(spec.id);
    try {
      this.#apply(mode, spec, link, limit);
    } catch (error) {
      const earlier = this.#requested.get(spec.id);
      const now = findLink(this.#parts.kernel.netlink(), link.name) ?? link; // it may be marked since
      if (earlier === undefined) this.clear(spec.id, now);
      else this.#apply(mode, spec, now, earlier);
      throw error;
    }
    this.#requested.set(spec.id, limit);
  }

  /**
   * Takes limits of either way away. Idempotent. `mayHaveShaper`: whether its intermediate device is to be
   * looked for.
   */
  clear(id: ContainerId, link: Link | undefined, mayHaveShaper = true): void {
    this.#requested.delete(id);
    this.#clearRules(id);
    if (link !== undefined && isMarked(link)) unshapeNear(this.#parts.kernel.netlink(), link);
    this.#clearFarEnd(id, link);
    if (mayHaveShaper) this.#clearQueues(id, link);
  }

  /**
   * As {@link clear}, for a link that is released and goes with its namespace. `shaper`: its intermediate
   * device, if there is one.
   */
  drop(id: ContainerId, link: Link | undefined, shaper: Link | undefined): void {
    this.#requested.delete(id);
    this.#clearRules(id);
    unshape(this.#parts.kernel.netlink(), link, shaper);
    this.#farEnds.forget(id);
    this.#touched.delete(id);
  }

  #apply(mode: BandwidthMode, spec: NetworkSpec, link: Link, limit: BandwidthLimit): void {
    const { kernel, links, table } = this.#parts;
    if (mode === 'ends') {
      const isReached = this.#farEnds.reach(spec.id, link, (far) =>
        shapeEnds(kernel.netlink(), link, { far, limit }),
      );
      requireReached(isReached, spec.id);
      this.#clearRules(spec.id);
      unshapeIncoming(kernel.netlink(), link, findLink(kernel.netlink(), shaperName(spec.id)));
      return;
    }
    if (mode === 'queue') {
      shape(kernel.netlink(), spec, link, { settings: links, limit });
      this.#clearFarEnd(spec.id, link);
      // What an earlier daemon did in the other way goes only now: at no time is there no limit.
      this.#clearRules(spec.id);
      return;
    }
    const rate = limit.rate < FASTEST_RULE ? limit.rate : FASTEST_RULE;
    const bucket = { rate, burst: effectiveBurst(limit, link.mtu) };
    kernel.commit('set-bandwidth', spec.id, ensureLimit(table, spec.id, bucket));
    kernel.containers().limits.add(spec.id);
    if (isMarked(link)) unshapeNear(kernel.netlink(), link);
    this.#clearFarEnd(spec.id, link);
    this.#clearQueues(spec.id, link);
  }

  #clearRules(id: ContainerId): void {
    const { kernel, table } = this.#parts;
    if (!kernel.containers().limits.has(id)) return;
    // Parts may be missing. What is added first can be removed for certain, all within one transaction.
    const whole = ensureLimit(table, id, { rate: 1n, burst: 1 });
    kernel.commit('clear-bandwidth', id, [...whole, ...removeLimit(table, id)]);
    kernel.containers().limits.delete(id);
  }

  /** What a daemon that limited at both ends left at the far one. */
  #clearFarEnd(id: ContainerId, link: Link | undefined): void {
    if (link === undefined || !isMarked(link)) return;
    const connection = this.#parts.kernel.netlink();
    const isReached = this.#farEnds.reach(id, link, (far) => unshapeFar(connection, link, far));
    if (!isReached) unshapeFar(connection, link, undefined); // it goes with its namespace
  }

  #clearQueues(id: ContainerId, link: Link | undefined): void {
    const connection = this.#parts.kernel.netlink();
    unshape(connection, link, findLink(connection, shaperName(id)));
  }

  #unsupported(id: ContainerId): WardenError {
    const reasons = this.#finding?.reasons ?? [];
    return new WardenError(
      'UNSUPPORTED',
      `this kernel cannot limit bandwidth (${reasons.join('; ')}); it needs tbf, and ifb, u32 and mirred for queues on the host's side, or nft_limit`,
      { fields: { operation: 'set-bandwidth', object: id, driver: 'nftables', reasons } },
    );
  }
}
