/**
 * The addresses that names have led to, as elements of one set: by which link, to which address, under the
 * hash of which name. They go by themselves when their time is over, whether a daemon lives or not, and what
 * they have opened closes then for new connections.
 */
import { createHash } from 'node:crypto';
import type { ContainerId } from '@warden/interface';
import { WardenError } from '@warden/interface';
import type { KernelAccess } from './kernel-access.ts';
import { linkEnds, linkOwner } from './link-names.ts';
import { isKernelError } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';
import type { LearnedKey, TableMessages } from './nftables-message.ts';
import { learnedElement, readElements, readLearnedElement } from './nftables-message.ts';
import { SET } from './set-names.ts';

const HASH_BYTES = 8;
/** Of one container at a time. Whoever answers for an allowed name chooses how many there are. */
const MAX_OF_CONTAINER = 1_024;

/** Stands for the name, or the names, of a rule. */
export function domainHash(domain: string): Buffer {
  return createHash('sha256').update(domain).digest().subarray(0, HASH_BYTES);
}

/** How long what was learned counts. */
export interface Lifetimes {
  /** Seconds, whatever the answer says: programs use an address for longer than they were told. */
  readonly least: number;
  /** Seconds, whatever the answer says. */
  readonly most: number;
  /** Seconds beyond that, so that who asks again in time finds no gap. Default: 10. */
  readonly grace?: number;
}

const GRACE_SECONDS = 10;

/** The time of an element, in milliseconds. */
export function lifetimeOf(ttl: number, { least, most, grace = GRACE_SECONDS }: Lifetimes): number {
  return (Math.min(Math.max(ttl, least), most) + grace) * 1_000;
}

interface Learned {
  readonly key: LearnedKey;
  /** By `performance.now()`; of what an earlier daemon learned, at the latest. */
  readonly until: number;
  /** An earlier daemon learned it: only the kernel knows for how long it counts. */
  readonly isInherited?: boolean;
}

/** Nothing is kept for longer. */
const LONGEST_MS = 86_400_000;

/** See the file's head. */
export class LearnedAddresses {
  readonly #table: TableMessages;
  readonly #kernel: KernelAccess;
  /** By the text of the key. */
  #known: Map<ContainerId, Map<string, Learned>> | undefined;

  constructor(table: TableMessages, kernel: KernelAccess) {
    this.#table = table;
    this.#kernel = kernel;
  }

  /** Opens addresses, or lets them be open for longer. Errors: `POOL_EXHAUSTED`, `NATIVE_FAILED`. */
  open(
    id: ContainerId,
    wanted: readonly { readonly domain: string; readonly address: number }[],
    milliseconds: number,
  ): void {
    const now = performance.now();
    const known = this.#living(id, now);
    // each once, however many rules are about the name: the kernel removes no element twice
    const keys = new Map(
      wanted.map(({ domain, address }) => {
        const key = this.#key(id, address, domainHash(domain));
        return [textOf(key), key];
      }),
    );
    const count = new Set([...known.keys(), ...keys.keys()]).size;
    if (count > MAX_OF_CONTAINER) {
      throw new WardenError(
        'POOL_EXHAUSTED',
        `names have led the container to ${known.size} addresses already`,
        {
          fields: {
            operation: 'learn',
            object: id,
            pool: 'learned addresses',
            used: known.size,
            limit: MAX_OF_CONTAINER,
          },
        },
      );
    }
    this.#kernel.commit(
      'learn',
      id,
      this.#table.renewPassing(SET.learned, [...keys.values()], learnedElement, milliseconds),
    );
    for (const [text, key] of keys) known.set(text, { key, until: now + milliseconds });
    this.#all().set(id, known);
  }

  /** Closes everything that names have opened for a container, also before this daemon. Idempotent. */
  clear(id: ContainerId): void {
    const keys = [...(this.#all().get(id)?.values() ?? [])].map(({ key }) => key);
    this.#discard(keys);
    this.#all().delete(id);
  }

  /** Whether a name of this rule leads the container there now. */
  has(id: ContainerId, domain: string, address: number): boolean {
    const known = this.#living(id, performance.now());
    return known.has(textOf({ address, hash: domainHash(domain) }));
  }

  /** Closes everything that other names than those of these rules have opened for a container. Idempotent. */
  keep(id: ContainerId, domains: readonly string[]): void {
    const known = this.#all().get(id);
    if (known === undefined) return;
    const hashes = new Set(domains.map((domain) => domainHash(domain).toString('hex')));
    const gone = [...known].filter(([, { key }]) => !hashes.has(key.hash.toString('hex')));
    this.#discard(gone.map(([, { key }]) => key));
    for (const [text] of gone) known.delete(text);
  }

  /**
   * Forgets what was open in a table that is gone, and answers the changes that open it again for the rest of
   * its time, as far as that is known.
   */
  reopened(): MessageBody[] {
    const now = performance.now();
    const earlier = [...(this.#known?.values() ?? [])].flatMap((known) => [...known]);
    const kept = earlier.filter(([, { until, isInherited }]) => until > now && isInherited !== true);
    this.#known = new Map();
    for (const [text, one] of kept) {
      const owner = linkOwner(one.key.name)!;
      this.#known.set(owner, (this.#known.get(owner) ?? new Map()).set(text, one));
    }
    const elements = kept.map(([, { key, until }]) => learnedElement(key, Math.ceil(until - now)));
    return this.#table.addManyElements(SET.learned, elements);
  }

  /** Closes what belongs to nobody. */
  sweep(keep: ReadonlySet<ContainerId>): void {
    for (const id of [...this.#all().keys()]) if (!keep.has(id)) this.clear(id);
  }

  #discard(keys: readonly LearnedKey[]): void {
    if (keys.length === 0) return;
    this.#kernel.commit('forget', SET.learned, this.#table.deletePassing(SET.learned, keys, learnedElement));
  }

  /** With what an earlier daemon has left, which is looked up once. */
  #all(): Map<ContainerId, Map<string, Learned>> {
    if (this.#known !== undefined) return this.#known;
    const known = new Map<ContainerId, Map<string, Learned>>();
    const until = performance.now() + LONGEST_MS;
    for (const key of this.#dump()) {
      const owner = linkOwner(key.name);
      if (owner === undefined) continue;
      known.set(owner, (known.get(owner) ?? new Map()).set(textOf(key), { key, until, isInherited: true }));
    }
    this.#known = known;
    return known;
  }

  #dump(): LearnedKey[] {
    let received: Buffer[];
    try {
      received = this.#kernel.netlink().dump(this.#table.dumpElements(SET.learned));
    } catch (error) {
      if (!isKernelError(error, 'ENOENT')) throw error;
      return []; // there is no table, or one of a daemon that knew no names
    }
    return Array.from(readElements(received)).flatMap((attributes) => readLearnedElement(attributes) ?? []);
  }

  #living(id: ContainerId, now: number): Map<string, Learned> {
    const known = this.#all().get(id) ?? new Map<string, Learned>();
    for (const [text, { until }] of known) if (until <= now) known.delete(text);
    return known;
  }

  #key(id: ContainerId, address: number, hash: Buffer): LearnedKey {
    return { name: linkEnds(id).host.name, address, hash };
  }
}

function textOf({ address, hash }: Pick<LearnedKey, 'address' | 'hash'>): string {
  return `${address}/${hash.toString('hex')}`;
}
