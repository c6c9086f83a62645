/** Rules about names: who has some, what they have led to, and the resolver that answers. */
import type { ContainerId, EgressRule, Logger, NetworkHostSpec, NetworkSpec } from '@warden/interface';
import { WardenError } from '@warden/interface';
import { ensureAsker, removeAsker } from './container-rules.ts';
import type { DnsResult } from './dns-message.ts';
import { formatAddress, parseRange } from './ipv4-address.ts';
import type { KernelAccess } from './kernel-access.ts';
import type { Lifetimes } from './learned-addresses.ts';
import { LearnedAddresses, lifetimeOf } from './learned-addresses.ts';
import type { Forbidden, NamedRule } from './name-policy.ts';
import { hostAddresses, mayOpen, namedRule } from './name-policy.ts';
import type { NameServer } from './name-servers.ts';
import { askNameServers, hostNameServers, parseNameServer } from './name-servers.ts';
import type { MessageBody } from './netlink-message.ts';
import type { TableMessages } from './nftables-message.ts';
import { passingPortElement } from './nftables-message.ts';
import type { Asker } from './resolver.ts';
import { Resolver } from './resolver.ts';
import { SET } from './set-names.ts';

const DEFAULT_LIFETIMES: Lifetimes = { least: 60, most: 3_600 };
/** The kernel lets questions in for so long after the daemon was heard of; then the port may be somebody else's. */
const ANSWERING_MS = 10_000;
const BEAT_MS = 3_000;
const HOST_FACTS_MS = 10_000;
/**
 * A removal of what an earlier daemon left has to name some destination: the set-up has taken the element
 * away that would contradict it.
 */
const NO_ADDRESS = '0.0.0.0';
const NO_PORT = 1;

/** What {@link NamedEgress} needs of its driver. */
export interface NamedEgressParts {
  readonly table: TableMessages;
  readonly kernel: KernelAccess;
  readonly log: Logger;
  readonly lifetimes?: Lifetimes | undefined;
  denied(denial: { readonly id: ContainerId; readonly name: string; readonly destination?: string }): void;
}

interface NamedContainer extends Asker {
  readonly hostIp: string;
  readonly rules: NamedRule[];
}

interface HostFacts {
  /** By `performance.now()`. */
  readonly until: number;
  readonly addresses: ReadonlySet<number>;
  readonly servers: readonly NameServer[];
}

/** See the file's head. */
export class NamedEgress {
  readonly #parts: NamedEgressParts;
  readonly #learned: LearnedAddresses;
  readonly #resolver: Resolver;
  readonly #lifetimes: Lifetimes;
  /** Those with rules about names, by their address. */
  readonly #containers = new Map<string, NamedContainer>();
  #port: number | undefined;
  #beat: NodeJS.Timeout | undefined;
  #host: NetworkHostSpec | undefined;
  #hostFacts: HostFacts = { until: 0, addresses: new Set(), servers: [] };

  constructor(parts: NamedEgressParts) {
    const { table, kernel, log, lifetimes = DEFAULT_LIFETIMES } = parts;
    this.#parts = parts;
    this.#lifetimes = lifetimes;
    this.#learned = new LearnedAddresses(table, kernel);
    this.#resolver = new Resolver({
      log,
      asker: (address) => this.#containers.get(address),
      lookUp: async (name) => askNameServers(name, this.#servers()),
      open: (asker, rules, found) => this.#open(asker, rules, found),
      denied: ({ id }, name) => parts.denied({ id, name }),
    });
  }

  /** Errors: `INVALID_SPEC` for what is no name server. */
  configure(host: NetworkHostSpec): void {
    for (const server of host.nameServers ?? []) parseNameServer(server);
    this.#host = host;
    this.#hostFacts = { ...this.#hostFacts, until: 0 };
  }

  /** Sees to it that questions can be answered, when one of the rules is about a name. Errors: `NATIVE_FAILED`. */
  async prepare(rules: readonly EgressRule[]): Promise<void> {
    if (!rules.some(({ domain }) => domain !== undefined)) return;
    this.#port = await this.#resolver.open();
    this.#startBeat();
  }

  /** As {@link prepare}, for all who have rules about names already; false: nobody has. */
  async prepareAll(): Promise<boolean> {
    if (this.#containers.size === 0) return false;
    this.#port = await this.#resolver.open();
    this.#startBeat();
    return true;
  }

  /** Who has rules about names. */
  get askers(): readonly ContainerId[] {
    return Array.from(this.#containers.values(), ({ id }) => id);
  }

  /**
   * The changes that let a container ask for the names of these rules, if there are any. Of a container that
   * could: see {@link forget}.
   */
  admission(spec: NetworkSpec, rules: readonly EgressRule[]): MessageBody[] {
    const isNamed = rules.some(({ domain }) => domain !== undefined);
    if (!isNamed || this.#port === undefined) return [];
    const { table } = this.#parts;
    return ensureAsker(table, spec.id, { hostIp: spec.hostIp, port: this.#port });
  }

  /** Those of all that can ask, for a table that has been made anew. */
  admissions(): MessageBody[] {
    const { table } = this.#parts;
    const port = this.#port;
    if (port === undefined) return [];
    return [
      ...(this.#beat === undefined ? [] : answering(table, port)),
      ...[...this.#containers.values()].flatMap(({ id, hostIp }) => ensureAsker(table, id, { hostIp, port })),
    ];
  }

  /** What names have opened, for a table that was taken away and is made again. */
  reopened(): MessageBody[] {
    return this.#learned.reopened();
  }

  /** The changes that keep a container from asking, for one whose chain is there. */
  dismissal(id: ContainerId): MessageBody[] {
    const { table } = this.#parts;
    // Parts may be missing. What is added first can be removed for certain, all within one transaction; but a
    // question that an earlier daemon leads elsewhere cannot be led again. Without a resolver here nobody
    // answers any of them.
    return [
      ...(this.#port === undefined ? [table.flushSet(SET.resolvers)] : []),
      ...ensureAsker(table, id, { hostIp: this.#hostIpOf(id) ?? NO_ADDRESS, port: this.#port ?? NO_PORT }),
      ...removeAsker(table, id),
    ];
  }

  /** From now on these are the container's rules. */
  note({ id, hostIp, containerIp }: NetworkSpec, egress: readonly EgressRule[]): void {
    const rules = egress.flatMap((rule) => namedRule(rule) ?? []);
    if (rules.length === 0) this.#containers.delete(containerIp);
    else this.#admit(containerIp, { id, hostIp, rules });
  }

  /** One more rule. */
  add(spec: NetworkSpec, rule: EgressRule): void {
    const added = namedRule(rule);
    if (added === undefined) return;
    const { id, hostIp, containerIp } = spec;
    const { rules } = this.#containers.get(containerIp) ?? { rules: [] };
    if (rules.some((one) => isSameRule(one, added))) return;
    this.#admit(containerIp, { id, hostIp, rules: [...rules, added] });
  }

  /** Since {@link prepare}, the last one that could ask may have been forgotten, and nobody be let in any more. */
  #admit(containerIp: string, container: NamedContainer): void {
    this.#containers.set(containerIp, container);
    if (this.#port !== undefined) this.#startBeat();
  }

  /** Whether a name of this rule leads the container there now. */
  leadsTo(id: ContainerId, domain: string, address: number): boolean {
    return this.#learned.has(id, domain, address);
  }

  /** Of a container whose rules have become fewer: closes what only the names of others have opened. */
  retain(id: ContainerId, egress: readonly EgressRule[]): void {
    this.#learned.keep(
      id,
      egress.flatMap(({ domain }) => domain ?? []),
    );
  }

  /** The container asks no more, and what names have opened for it is closed. Idempotent. */
  forget(id: ContainerId): void {
    for (const [address, container] of this.#containers)
      if (container.id === id) this.#containers.delete(address);
    this.#learned.clear(id);
    this.#resolver.forget(id);
    if (this.#containers.size === 0) this.#stopBeat();
  }

  /** Closes what belongs to nobody. */
  sweep(keep: ReadonlySet<ContainerId>): void {
    this.#learned.sweep(keep);
  }

  /** Lets go of the sockets; what is open stays so until its time is over. Idempotent. */
  close(): void {
    clearInterval(this.#beat);
    this.#beat = undefined;
    this.#resolver.close();
    this.#port = undefined;
    this.#containers.clear();
  }

  #hostIpOf(id: ContainerId): string | undefined {
    return [...this.#containers.values()].find((one) => one.id === id)?.hostIp;
  }

  #open(
    asker: Asker,
    rules: readonly NamedRule[],
    { name, addresses, ttl }: DnsResult & { readonly name: string },
  ): { readonly addresses: readonly number[]; readonly ttl: number } {
    const forbidden = this.#forbidden();
    const wanted = addresses.flatMap((address) =>
      rules.filter((rule) => mayOpen(rule, address, forbidden)).map(({ domain }) => ({ domain, address })),
    );
    const opened = addresses.filter((address) => wanted.some((one) => one.address === address));
    for (const address of addresses.filter((one) => !opened.includes(one)))
      this.#parts.denied({ id: asker.id, name, destination: formatAddress(address) });
    if (wanted.length > 0) this.#learned.open(asker.id, wanted, lifetimeOf(ttl, this.#lifetimes));
    return { addresses: opened, ttl: Math.min(ttl, this.#lifetimes.most) };
  }

  #forbidden(): Forbidden {
    const host = this.#host;
    if (host === undefined) throw new TypeError('names are looked up before the set-up');
    return {
      pool: parseRange(host.pool),
      denyNetworks: host.denyNetworks.map(parseRange),
      host: this.#facts().addresses,
    };
  }

  /** Errors: `UNAVAILABLE` when there is none. */
  #servers(): readonly NameServer[] {
    const configured = this.#host?.nameServers ?? [];
    const servers = configured.length > 0 ? configured.map(parseNameServer) : this.#facts().servers;
    if (servers.length > 0) return servers;
    throw new WardenError(
      'UNAVAILABLE',
      'there is no name server to ask: the host has none in /etc/resolv.conf, and the configuration names none (network.dns_servers)',
      { fields: { operation: 'resolve', object: 'name servers' } },
    );
  }

  /** What the host is like, looked up now and then. */
  #facts(): HostFacts {
    const now = performance.now();
    if (now >= this.#hostFacts.until)
      this.#hostFacts = {
        until: now + HOST_FACTS_MS,
        addresses: hostAddresses(),
        servers: hostNameServers(),
      };
    return this.#hostFacts;
  }

  #startBeat(): void {
    if (this.#beat !== undefined) return;
    const show = (): void => {
      try {
        this.#showAnswering();
      } catch (error) {
        this.#parts.log.warn('resolver-not-shown', { error });
      }
    };
    this.#beat = setInterval(show, BEAT_MS).unref();
    show();
  }

  /** Nobody can ask any more. */
  #stopBeat(): void {
    if (this.#beat === undefined || this.#port === undefined) return;
    clearInterval(this.#beat);
    this.#beat = undefined;
    const { table, kernel } = this.#parts;
    kernel.commit(
      'hide-resolver',
      String(this.#port),
      table.deletePassing(SET.answering, [this.#port], passingPortElement),
    );
  }

  /** Tells the kernel that somebody answers at the port, for a while. */
  #showAnswering(): void {
    const { table, kernel } = this.#parts;
    if (this.#port !== undefined)
      kernel.commit('show-resolver', String(this.#port), answering(table, this.#port));
  }
}

function answering(table: TableMessages, port: number): MessageBody[] {
  return table.renewPassing(SET.answering, [port], passingPortElement, ANSWERING_MS);
}

function isSameRule(one: NamedRule, other: NamedRule): boolean {
  const { domain, network } = one;
  return (
    domain === other.domain &&
    network?.first === other.network?.first &&
    network?.last === other.network?.last
  );
}
