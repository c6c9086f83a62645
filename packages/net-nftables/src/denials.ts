/**
 * What containers were kept from: packets that the kernel refused and told about, and names that the resolver
 * refused. The kernel's messages (linux/netfilter/nfnetlink_log.h) wake the daemon, which reads them twice a
 * second at most; the same ones are told as one. A kernel that has no such messages counts, and is asked now
 * and then for as long as there are containers.
 */
import { createHash } from 'node:crypto';
import type { ContainerId, DenialSupport, Logger, NetworkDenial } from '@warden/interface';
import { isWardenError } from '@warden/interface';
import { NETLINK_NETFILTER, NetlinkSocket, type PollWatch } from '@warden/native';
import { formatAddress } from './ipv4-address.ts';
import type { MessageBody } from './netlink-message.ts';
import {
  attribute,
  attribute32,
  bigEndian16,
  bigEndian32,
  message,
  messageAttributes,
  messageType,
  NLM_F_ACK,
  NLM_F_REQUEST,
  uint8,
} from './netlink-message.ts';
import { PROTOCOL } from './packet-match.ts';

const SUBSYSTEM_LOG = 4;
const LOG_PACKET = 0;
const LOG_CONFIG = 1;
const NFULA_PAYLOAD = 9;
const NFGENMSG_BYTES = 4;
const READ_MS = 500;
/** Nobody says when there is something new to be read. */
const COUNT_MS = 2_000;
/** Datagrams per reading: what is beyond waits, or is dropped by the kernel. */
const MAX_DATAGRAMS = 256;
/** Different denials per reading: of all, and of one container, so that none drowns the others nor fills the log. */
const MAX_DIFFERENT = 1_024;
const MAX_OF_CONTAINER = 16;
/** How long to wait until the group is tried again that another has. */
const RETRY_MS = 10_000;

/**
 * The number of the messages of one table: two daemons of a host do not read each other's. Never 0, which
 * others use.
 */
export function denialGroupOf(table: string): number {
  return (createHash('sha256').update(table).digest().readUInt16BE(0) % 0xfffe) + 1;
}

/** A refused packet. */
export type RefusedPacket = Pick<NetworkDenial, 'destination' | 'protocol' | 'port'> & {
  readonly source: number;
};

/**
 * Reads the headers of a refused packet; undefined when they are not those of IPv4 with a protocol that
 * containers may speak.
 */
export function readRefused(payload: Buffer): RefusedPacket | undefined {
  const IPV4_LEAST_BYTES = 20;
  if (payload.length < IPV4_LEAST_BYTES) return undefined;
  const first = payload.readUInt8(0);
  const headerBytes = (first & 0xf) * 4;
  const protocols = Object.entries(PROTOCOL) as ['tcp' | 'udp' | 'icmp', number][];
  const protocol = protocols.find(([, number]) => number === payload.readUInt8(9))?.[0];
  if (first >> 4 !== 4 || headerBytes < IPV4_LEAST_BYTES || protocol === undefined) return undefined;
  const isLaterFragment = (payload.readUInt16BE(6) & 0x1fff) !== 0;
  const hasPort = protocol !== 'icmp' && !isLaterFragment && payload.length >= headerBytes + 4;
  return {
    source: payload.readUInt32BE(12),
    destination: formatAddress(payload.readUInt32BE(16)),
    protocol,
    ...(hasPort && { port: payload.readUInt16BE(headerBytes + 2) }),
  };
}

/** What {@link Denials} needs of its driver. */
export interface DenialParts {
  readonly log: Logger;
  readonly group: number;
  /** Whose address this is. */
  owner(address: number): ContainerId | undefined;
  /** How many packets of each address were refused so far, where rules count them. Errors: `NATIVE_FAILED`. */
  counts(): ReadonlyMap<number, bigint>;
  /** Whether there is anybody whose packets may be refused. */
  isNeeded(): boolean;
}

/** See the file's head. */
export class Denials {
  readonly #parts: DenialParts;
  #listener: ((denials: readonly NetworkDenial[]) => void) | undefined;
  #way: DenialSupport['packets'] | undefined;
  #socket: NetlinkSocket | undefined;
  #watch: PollWatch | undefined;
  #reading: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isWarned = false;
  /** As read last. */
  #counts: ReadonlyMap<number, bigint> = new Map();
  #noted = new Map<string, NetworkDenial>();
  #different = new Map<ContainerId, number>();

  constructor(parts: DenialParts) {
    this.#parts = parts;
  }

  /** From now on, `listener` is told. */
  watch(listener: (denials: readonly NetworkDenial[]) => void): void {
    this.#listener = listener;
  }

  /** Begins to read what the rules tell in this way. Idempotent. */
  start(way: DenialSupport['packets']): void {
    if (this.#listener === undefined || this.#way !== undefined) return;
    this.#way = way;
    if (way === 'each') this.#connect();
    if (way !== 'totals') return;
    this.#readCounts();
    this.awaken();
  }

  /** There is somebody whose packets may be refused: where the kernel only counts, nobody else says so. */
  awaken(): void {
    if (this.#way === 'totals') this.#readIn(COUNT_MS);
  }

  /** Tells what was counted so far: what follows is another one's, who gets the address or has given it up. */
  settle(): void {
    if (this.#way !== 'totals') return;
    this.#readCounts();
    this.#tell();
  }

  /** Notes one, to be told soon. */
  note(denial: Omit<NetworkDenial, 'count'>): void {
    this.#add(denial, 1);
    if (this.#noted.size > 0 && this.#way !== undefined) this.#readIn(READ_MS);
  }

  /** Stops reading. Idempotent. */
  close(): void {
    clearTimeout(this.#reading);
    clearTimeout(this.#retry);
    this.#reading = undefined;
    this.#retry = undefined;
    this.#way = undefined;
    this.#disconnect();
  }

  #add(denial: Omit<NetworkDenial, 'count'>, times: number): void {
    if (this.#listener === undefined) return;
    const { id, destination, name, protocol, port } = denial;
    const key = [id, destination, name, protocol, port].join(' ');
    const before = this.#noted.get(key)?.count ?? 0;
    if (before === 0) {
      const others = this.#different.get(id) ?? 0;
      if (this.#noted.size >= MAX_DIFFERENT || others >= MAX_OF_CONTAINER) return;
      this.#different.set(id, others + 1);
    }
    this.#noted.set(key, { ...denial, count: before + times });
  }

  #readIn(milliseconds: number): void {
    this.#reading ??= setTimeout(() => {
      this.#reading = undefined;
      this.#read();
    }, milliseconds).unref();
  }

  #read(): void {
    if (this.#way === 'each') this.#collect();
    if (this.#way === 'totals') {
      this.#readCounts();
      if (this.#parts.isNeeded()) this.#readIn(COUNT_MS);
    }
    this.#tell();
  }

  #tell(): void {
    if (this.#noted.size === 0) return;
    const told = [...this.#noted.values()];
    this.#noted = new Map();
    this.#different = new Map();
    this.#listener?.(told);
  }

  #readCounts(): void {
    const { counts, owner, log } = this.#parts;
    let now: ReadonlyMap<number, bigint>;
    try {
      now = counts();
      this.#isWarned = false;
    } catch (error) {
      // as when somebody has deleted the table: once, not every two seconds
      if (!this.#isWarned) log.warn('denials-not-read', { error });
      this.#isWarned = true;
      return;
    }
    for (const [address, packets] of now) {
      const more = packets - (this.#counts.get(address) ?? 0n);
      const id = more > 0n ? owner(address) : undefined;
      if (id !== undefined) this.#add({ id, protocol: 'any' }, Number(more));
    }
    this.#counts = now;
  }

  #collect(): void {
    const { owner, log } = this.#parts;
    let received: Buffer[] = [];
    try {
      received = this.#socket?.drain(MAX_DATAGRAMS) ?? [];
      this.#watch?.update({ readable: true });
    } catch (error) {
      log.warn('denials-not-read', { error });
      this.#disconnect();
      this.#connectLater();
    }
    for (const one of received) {
      if (messageType(one) !== ((SUBSYSTEM_LOG << 8) | LOG_PACKET)) continue;
      const payload = messageAttributes(one, NFGENMSG_BYTES).get(NFULA_PAYLOAD);
      const refused = payload && readRefused(payload);
      const id = refused && owner(refused.source);
      if (id === undefined || refused === undefined) continue;
      const { source: _source, ...denial } = refused;
      this.#add({ id, ...denial }, 1);
    }
  }

  /** Another daemon that is about to end may have the group still. */
  #connect(): void {
    let socket: NetlinkSocket | undefined;
    try {
      socket = NetlinkSocket.open(NETLINK_NETFILTER);
      const body = configuration(this.#parts.group);
      const sequence = socket.nextSequence();
      socket.request(message(body, sequence), [sequence]);
      const watch = socket.watch(() => {
        // several come together, and whoever is refused tries again: what is there is read in a while, all of it
        watch.update({});
        this.#readIn(READ_MS);
      });
      this.#watch = watch;
      this.#socket = socket;
    } catch (error) {
      socket?.close();
      if (!this.#isWarned)
        this.#parts.log.warn('denials-not-read', {
          group: this.#parts.group,
          advice:
            isWardenError(error) && error.fields.errno === 'EBUSY' ? 'another program reads the group' : '',
          error,
        });
      this.#isWarned = true;
      this.#connectLater();
    }
  }

  #connectLater(): void {
    this.#retry = setTimeout(() => this.#connect(), RETRY_MS).unref();
  }

  #disconnect(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#socket?.close();
    this.#socket = undefined;
  }
}

/** Asks for the messages of a group: the packets' first bytes, a few times a second. */
function configuration(group: number): MessageBody {
  const BIND = 1;
  const COPY_PACKET = 2;
  const HEADER_BYTES = 64;
  const FLUSH_HUNDREDTHS = 20;
  return {
    type: (SUBSYSTEM_LOG << 8) | LOG_CONFIG,
    flags: NLM_F_REQUEST | NLM_F_ACK,
    payload: Buffer.concat([
      uint8(0),
      uint8(0),
      bigEndian16(group),
      attribute(1, uint8(BIND)),
      attribute(2, Buffer.concat([bigEndian32(HEADER_BYTES), uint8(COPY_PACKET), uint8(0)])),
      attribute32(4, FLUSH_HUNDREDTHS),
    ]),
  };
}
