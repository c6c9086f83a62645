/**
 * Containers prepared before anybody asks for them. One that is claimed is a container like any other from
 * then on; until then it is nobody's: not listed, not in the way of any handle, and what it holds of the
 * pools is given up for whoever needs it. On disk it is half made (state `born`), so that a daemon that finds
 * it at its start removes it.
 */
import fs from 'node:fs';
import { type CreateSpec, type Init, isWardenError, toWardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import { isPlain } from './plain.ts';
import { parseAddress } from './pools.ts';
import type { UndoStack } from './undo-stack.ts';

/** A container with its connection, and how to get rid of it. */
export interface MadeContainer {
  readonly container: ManagedContainer;
  readonly init: Init;
  readonly undo: UndoStack;
}

interface Prepared extends MadeContainer {
  /** What it was made from; see {@link WarmPool.claim}. */
  readonly origin: string;
}

/**
 * Between a request and the next preparation: that one takes milliseconds of this thread, and whoever was
 * woken for the answer may have been put behind it, on its processor.
 */
const BEHIND_ANSWER_MS = 1;
/** After a preparation that failed, or came to nothing. */
const RETRY_MS = 5_000;
const HOST_RESOLV_CONF = '/etc/resolv.conf';

/** See the file's head. */
export class WarmPool {
  readonly #engine: () => Engine;
  readonly #make: () => Promise<MadeContainer>;
  #ready: Prepared[] = [];
  #filling: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Requests that wait for what prepared containers hold; meanwhile none is prepared. */
  #yielding = 0;

  constructor(engine: () => Engine, make: () => Promise<MadeContainer>) {
    this.#engine = engine;
    this.#make = make;
  }

  /** How many can be claimed. */
  get readyCount(): number {
    return this.#ready.length;
  }

  /** How many there are to be. */
  get #size(): number {
    return isPlain(this.#engine()) ? 0 : (this.#engine().options.warmContainers ?? 0);
  }

  /** Prepares what is missing, in the background, one after the other. Never fails: it is tried again later. */
  fill(): void {
    if (this.#filling !== undefined || !this.#isMissing()) return;
    clearTimeout(this.#retry);
    this.#filling = this.#fill().finally(() => {
      this.#filling = undefined;
    });
  }

  /** Prepares or gives up until there are as many as there are to be now. */
  fit(): void {
    for (const surplus of this.#ready.splice(this.#size)) void this.#giveUp(surplus);
    this.fill();
  }

  /**
   * A prepared container for this request; `undefined` when there is none, or when the request needs another:
   * a root, mounts or a network of its own, or a handle that is taken. Synchronous. What was prepared from a
   * root or name servers that have changed since is removed.
   */
  claim(spec: CreateSpec, isTaken: (handle: string) => boolean): MadeContainer | undefined {
    if (this.#ready.length === 0 || !isOrdinary(spec)) return undefined;
    const origin = originOf(this.#engine());
    const stale = this.#ready.filter((one) => one.origin !== origin);
    this.#ready = this.#ready.filter((one) => one.origin === origin);
    for (const one of stale) void this.#dispose(one);
    const at = this.#ready.findIndex(
      ({ container }) => spec.handle !== undefined || !isTaken(container.record.id),
    );
    const [claimed] = at === -1 ? [] : this.#ready.splice(at, 1);
    this.#fillSoon();
    return claimed;
  }

  /** Whether the request would fail for what prepared containers hold. */
  isInTheWay(spec: CreateSpec): boolean {
    if (this.#ready.length === 0 && this.#filling === undefined) return false;
    if (this.#ready.length > 0 && isOrdinary(spec)) return false;
    const { networks, uids } = this.#engine().pools;
    if (!uids.hasFree) return true;
    if (spec.network === undefined) return !networks.hasFree;
    return (
      this.#ready.some((one) => holds(one, spec.network!)) ||
      (this.#filling !== undefined && !networks.hasFree)
    );
  }

  /** Gives up as many as it takes for the request, or makes one ready that it can claim. */
  async makeRoom(spec: CreateSpec): Promise<void> {
    this.#yielding += 1;
    try {
      while (this.isInTheWay(spec)) {
        const wanted = this.#ready.findIndex((one) => spec.network !== undefined && holds(one, spec.network));
        const [given] = this.#ready.splice(Math.max(0, wanted), 1);
        if (given !== undefined) await this.#giveUp(given);
        else await this.#filling;
      }
    } finally {
      this.#yielding -= 1;
      this.#fillSoon();
    }
  }

  /** Removes all; none is prepared any more once the engine is closing. Never rejects. */
  async close(): Promise<void> {
    clearTimeout(this.#retry);
    await this.#filling;
    await Promise.all(this.#ready.splice(0).map((one) => this.#dispose(one)));
  }

  #fillSoon(): void {
    setTimeout(() => this.fill(), BEHIND_ANSWER_MS).unref();
  }

  #fillLater(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.fill(), RETRY_MS).unref();
  }

  #isMissing(): boolean {
    return !this.#engine().isClosing && this.#yielding === 0 && this.#ready.length < this.#size;
  }

  async #fill(): Promise<void> {
    while (this.#isMissing()) {
      try {
        const origin = originOf(this.#engine());
        const prepared: Prepared = { ...(await this.#make()), origin };
        this.#ready.push(prepared);
        void prepared.init.closed.then(() => this.#lost(prepared));
      } catch (error) {
        // an empty pool is what many containers are about; anything else the next request will meet, too
        const level = isWardenError(error, 'POOL_EXHAUSTED') ? 'debug' : 'warn';
        this.#engine().logger[level]?.('not-prepared', { error: toWardenError(error) });
        this.#fillLater();
        return;
      }
    }
  }

  /** Its init has ended before anybody claimed it. */
  #lost(prepared: Prepared): void {
    const at = this.#ready.indexOf(prepared);
    if (at === -1) return;
    this.#ready.splice(at, 1);
    this.#engine().logger.warn('prepared-container-lost', { id: prepared.container.record.id });
    void this.#dispose(prepared);
    this.#fillLater(); // what ended it may end the next ones, too
  }

  /** Answers whether nothing is left. */
  async #dispose({ container, undo }: Prepared): Promise<boolean> {
    const failures = await undo.unwind();
    if (failures.length === 0) return true;
    // its record is still there: the next daemon removes it
    this.#engine().logger.error('prepared-container-not-removed', {
      id: container.record.id,
      error: failures[0],
    });
    return false;
  }

  /** Nobody has ever used its addresses: they need no time to be forgotten. */
  async #giveUp(prepared: Prepared): Promise<void> {
    if (await this.#dispose(prepared))
      this.#engine().pools.networks.putBack(prepared.container.record.network);
  }
}

/** Whether any container would do. */
function isOrdinary({ rootfs, image, bindMounts = [], network }: CreateSpec): boolean {
  return rootfs === undefined && image === undefined && bindMounts.length === 0 && network === undefined;
}

function holds({ container }: Prepared, network: string): boolean {
  const address = parseAddress(network);
  return address !== undefined && address - (address % 4) === container.record.network;
}

/**
 * What of the host goes into a container when it is made: the root of all, and the name servers. Cheap, for
 * each claim asks.
 */
function originOf({ options }: Engine): string {
  const facts = (file: string): readonly unknown[] => {
    const stat = fs.statSync(file, { throwIfNoEntry: false });
    return [stat?.dev, stat?.ino, stat?.mtimeMs, stat?.size];
  };
  return [...facts(options.rootfs), ...facts(HOST_RESOLV_CONF), ...options.network.dnsServers].join(' ');
}
