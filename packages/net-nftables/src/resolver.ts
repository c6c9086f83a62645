/**
 * The name server of containers with rules about names. It answers for those names only, asks the configured
 * name servers, and opens what they answer before the container is told. Everything else gets "no such name"
 * and is a denial.
 *
 * One UDP and one TCP socket, on one port; the rules of the kernel lead each container's questions there and
 * nobody else's, in a bounded number of packets, and of what these carry a bounded number of questions is
 * answered. The source address tells who asks: a container cannot send under another's.
 */

import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ContainerId, Logger } from '@warden/interface';
import { isWardenError, WardenError } from '@warden/interface';
import type { DnsQuery, DnsResult } from './dns-message.ts';
import { answerMessage, DNS_CODE, DNS_TYPE, DnsMalformed, MAX_ADDRESSES, readQuery } from './dns-message.ts';
import type { NamedRule } from './name-policy.ts';
import { isAbout } from './name-policy.ts';
import { QUESTION_MS, QuestionAllowance } from './question-allowance.ts';

const PORT_ATTEMPTS = 8;
/** Questions of one container that wait for a name server, and of all. */
const MAX_WAITING = 32;
const MAX_WAITING_OF_ALL = 256;
const MAX_CONNECTIONS = 4;
/**
 * What waits in the kernel while this program is at something else: all that the kernel lets in at once of
 * some eighteen containers, each of which takes three times the bytes it has. By default the kernel's rules
 * let in more of a single one than a socket holds, and what others ask then is lost. Above net.core.rmem_max
 * the kernel gives twice that.
 */
const RECEIVE_BYTES = 4_194_304;
const IDLE_MS = 5_000;
/**
 * How often the log is told of names of one container that were not resolved, which it may ask for a hundred
 * times a second.
 */
const FAILURE_LOG_MS = 5_000;

/** A container that may ask. */
export interface Asker {
  readonly id: ContainerId;
  readonly rules: readonly NamedRule[];
}

/** What the resolver is given. */
export interface ResolverParts {
  readonly log: Logger;
  /** Who has this address; undefined: nobody who may ask. Asked again after each wait. */
  asker(address: string): Asker | undefined;
  /** Asks the world. Errors: `UNAVAILABLE`. */
  lookUp(name: string): Promise<DnsResult>;
  /**
   * Opens what may be opened of these addresses; answers it, and how many seconds it holds. Errors:
   * `POOL_EXHAUSTED`, `NATIVE_FAILED`.
   */
  open(
    asker: Asker,
    rules: readonly NamedRule[],
    found: DnsResult & { readonly name: string },
  ): { readonly addresses: readonly number[]; readonly ttl: number };
  /** A name was asked for that the container may not ask for. */
  denied(asker: Asker, name: string): void;
}

/** See the file's head. */
export class Resolver {
  readonly #parts: ResolverParts;
  #udp: dgram.Socket | undefined;
  #tcp: net.Server | undefined;
  #opening: Promise<number> | undefined;
  /** By name: many who ask for the same are one question, which leaves one answer to be forged and not many. */
  readonly #lookUps = new Map<string, Promise<DnsResult>>();
  readonly #waiting = new Map<ContainerId, number>();
  readonly #connections = new Map<string, Set<net.Socket>>();
  readonly #allowance = new QuestionAllowance();
  /** When the log was told last, and of how many it was not told since. */
  readonly #failures = new Map<ContainerId, { readonly at: number; unsaid: number }>();

  constructor(parts: ResolverParts) {
    this.#parts = parts;
  }

  /** Listens, once; answers the port. Errors: `NATIVE_FAILED`. */
  open(): Promise<number> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  /** The container asks no more. */
  forget(id: ContainerId): void {
    this.#allowance.forget(id);
    this.#failures.delete(id);
  }

  /** Lets go of the sockets. Idempotent. */
  close(): void {
    this.#opening = undefined;
    this.#udp?.close();
    this.#tcp?.close();
    for (const sockets of this.#connections.values()) for (const socket of sockets) socket.destroy();
    this.#udp = undefined;
    this.#tcp = undefined;
  }

  async #open(): Promise<number> {
    let last: unknown;
    for (let attempt = 0; attempt < PORT_ATTEMPTS; attempt++) {
      const udp = dgram.createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BYTES });
      const tcp = net.createServer((socket) => this.#serve(socket));
      try {
        udp.bind(0, '0.0.0.0');
        await once(udp, 'listening');
        const { port } = udp.address();
        tcp.listen(port, '0.0.0.0');
        await once(tcp, 'listening');
        this.#start(udp, tcp);
        return port;
      } catch (error) {
        last = error; // somebody has the port for TCP
        udp.close();
        tcp.close();
      }
    }
    const { message, code } = last as NodeJS.ErrnoException;
    throw new WardenError('NATIVE_FAILED', `no port to answer questions for names at: ${message}`, {
      cause: last,
      fields: { operation: 'open-resolver', object: 'port', errno: code },
    });
  }

  #start(udp: dgram.Socket, tcp: net.Server): void {
    const { log } = this.#parts;
    udp.on('error', (error) => log.warn('resolver-socket', { error }));
    tcp.on('error', (error) => log.warn('resolver-socket', { error }));
    udp.on('message', (bytes, { address, port }) => {
      if (port === 0) return; // a forged one: there is nobody to answer, and to try would throw
      const asker = this.#parts.asker(address);
      if (asker === undefined || !this.#allowance.take(asker.id)) return;
      void this.#answer(bytes, address).then((answer) => {
        // who asked may be gone: nobody waits for an error
        if (answer !== undefined && this.#udp === udp) udp.send(answer, port, address, () => undefined);
      });
    });
    // living containers are no reason to go on
    this.#udp = udp.unref();
    this.#tcp = tcp.unref();
  }

  /** Never rejects; undefined: no answer. */
  async #answer(bytes: Buffer, address: string): Promise<Buffer | undefined> {
    const asker = this.#parts.asker(address);
    if (asker === undefined) return undefined;
    let query: DnsQuery;
    try {
      query = readQuery(bytes);
    } catch (error) {
      return error instanceof DnsMalformed ? error.answer : undefined;
    }
    const rules = asker.rules.filter((rule) => isAbout(rule, query.name));
    if (rules.length === 0 || !query.isInternet) {
      this.#parts.denied(asker, query.name);
      return answerMessage(query, query.isInternet ? DNS_CODE.noSuchName : DNS_CODE.refused);
    }
    // Containers have IPv4 only, and need nothing else of a name than its addresses.
    if (query.type !== DNS_TYPE.a) return answerMessage(query, DNS_CODE.ok);
    try {
      return await this.#resolve(query, address, asker);
    } catch (error) {
      this.#logFailure(asker.id, query.name, error);
      return answerMessage(query, DNS_CODE.failed);
    }
  }

  #logFailure(id: ContainerId, name: string, error: unknown): void {
    const now = performance.now();
    const last = this.#failures.get(id);
    if (last !== undefined && now - last.at < FAILURE_LOG_MS) {
      last.unsaid += 1;
      return;
    }
    this.#failures.set(id, { at: now, unsaid: 0 });
    const isExpected = isWardenError(error, 'UNAVAILABLE') || isWardenError(error, 'POOL_EXHAUSTED');
    const unsaid = last?.unsaid ?? 0;
    this.#parts.log[isExpected ? 'info' : 'warn']('name-not-resolved', {
      id,
      name,
      error,
      ...(unsaid > 0 && { unsaid }),
    });
  }

  async #resolve(query: DnsQuery, address: string, { id }: Asker): Promise<Buffer | undefined> {
    const { name } = query;
    const found = await this.#wait(id, name);
    // Meanwhile the container may have gone, and its address be another's.
    const asker = this.#parts.asker(address);
    if (asker === undefined || asker.id !== id) return undefined;
    if (found.code !== DNS_CODE.ok) return answerMessage(query, found.code);
    const rules = asker.rules.filter((rule) => isAbout(rule, name));
    const told = { ...found, addresses: found.addresses.slice(0, MAX_ADDRESSES), name };
    return answerMessage(query, DNS_CODE.ok, this.#parts.open(asker, rules, told));
  }

  /** Errors: `UNAVAILABLE`, `POOL_EXHAUSTED`. */
  async #wait(id: ContainerId, name: string): Promise<DnsResult> {
    const waiting = this.#waiting.get(id) ?? 0;
    if (waiting >= MAX_WAITING) throw tooMany(id, waiting, MAX_WAITING);
    this.#waiting.set(id, waiting + 1);
    try {
      return await this.#lookUp(name);
    } finally {
      const left = (this.#waiting.get(id) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(id);
      else this.#waiting.set(id, left);
    }
  }

  #lookUp(name: string): Promise<DnsResult> {
    const running = this.#lookUps.get(name);
    if (running !== undefined) return running;
    if (this.#lookUps.size >= MAX_WAITING_OF_ALL)
      return Promise.reject(tooMany('all containers', this.#lookUps.size, MAX_WAITING_OF_ALL));
    const started = this.#parts.lookUp(name).finally(() => this.#lookUps.delete(name));
    this.#lookUps.set(name, started);
    return started;
  }

  /** Questions over TCP: each behind its length, one after the other. */
  #serve(socket: net.Socket): void {
    const address = socket.remoteAddress ?? '';
    const others = this.#connections.get(address) ?? new Set();
    if (this.#parts.asker(address) === undefined || others.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#connections.set(address, others.add(socket));
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      others.delete(socket);
      if (others.size === 0) this.#connections.delete(address);
    });
    socket.unref();
    void this.#converse(socket, address);
  }

  async #converse(socket: net.Socket, address: string): Promise<void> {
    let received = Buffer.alloc(0);
    try {
      for await (const bytes of socket) {
        received = Buffer.concat([received, bytes as Buffer]);
        while (received.length >= 2) {
          const length = received.readUInt16BE(0);
          if (received.length < length + 2) break;
          if (!(await this.#turn(socket, address))) return;
          const answer = await this.#answer(received.subarray(2, length + 2), address);
          received = received.subarray(length + 2);
          if (answer === undefined) return;
          const head = Buffer.alloc(2);
          head.writeUInt16BE(answer.length);
          await written(socket, Buffer.concat([head, answer]));
        }
      }
    } catch {
      // it is gone, or was idle for too long
    } finally {
      socket.destroy();
    }
  }

  /**
   * Waits until the asker may ask once more; whether it still is there. Nothing is read meanwhile, so that it
   * waits, too.
   */
  async #turn(socket: net.Socket, address: string): Promise<boolean> {
    for (;;) {
      const asker = this.#parts.asker(address);
      if (asker === undefined || socket.destroyed) return false;
      if (this.#allowance.take(asker.id)) return true;
      await delay(QUESTION_MS, undefined, { ref: false });
    }
  }
}

/**
 * Settles when the kernel has it: who does not read its answers gets no more of them to hold here. Errors:
 * the socket's, which ends when it is idle for too long.
 */
function written(socket: net.Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function tooMany(object: string, used: number, limit: number): WardenError {
  return new WardenError('POOL_EXHAUSTED', `too many questions for names of ${object}: ${used}`, {
    fields: { operation: 'resolve', object, pool: 'questions', used, limit },
  });
}
