/** The nftables network driver. */
import type {
  BandwidthLimit,
  BandwidthStat,
  ContainerId,
  DriverComponents,
  DriverFactory,
  DriverState,
  EgressRule,
  Failpoints,
  InsideNetwork,
  Ipv4,
  Logger,
  NetworkDenial,
  NetworkDriver,
  NetworkHostSpec,
  NetworkRules,
  NetworkSpec,
  NetworkSupports,
  PortMapping,
  ProbeResult,
} from '@warden/interface';
import { isWardenError, NO_FAILPOINTS, WardenError } from '@warden/interface';
import { BandwidthLimits } from './bandwidth-limits.ts';
import type { LinkSettings } from './container-link.ts';
import { ensureAddressing, findLink, linkHasIpv6, linkSearch, removeLink } from './container-link.ts';
import { ContainerLinks } from './container-links.ts';
import { ensureElements, ensureSource } from './container-rules.ts';
import { Denials, denialGroupOf } from './denials.ts';
import { endUnfiltered, endWithdrawn } from './ended-connections.ts';
import { failure } from './failure.ts';
import { FreedAddresses } from './freed-addresses.ts';
import { listeningAddresses } from './host-listener.ts';
import { readCounts, tableIdentity } from './inventory.ts';
import type { AddressRange } from './ipv4-address.ts';
import { formatAddress, isWithin, parseAddress, parseRange } from './ipv4-address.ts';
import { KernelFindings } from './kernel-findings.ts';
import { formatMac, isContainerLink, linkEnds, shaperName } from './link-names.ts';
import { LivingAddresses } from './living-addresses.ts';
import { NamedEgress } from './named-egress.ts';
import { isKernelError } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';
import { TableMessages } from './nftables-message.ts';
import { checkOptions, type NftablesNetworkOptions } from './options.ts';
import { outwardAddress, outwardLink } from './outward-address.ts';
import type { Seen } from './own-links.ts';
import { hasOwnAddress, lookAround } from './own-links.ts';
import { Remains } from './remains.ts';
import type { Link } from './rtnetlink.ts';
import { bringUp, markLink, routeLoopback } from './rtnetlink.ts';
import { RulesInForce, type RulesOfOne } from './rules-in-force.ts';
import type { InboundPolicy, Surroundings } from './ruleset.ts';
import { skeleton } from './ruleset.ts';
import { enableForwarding, hasIpv6 } from './sysctl.ts';
import { TableAccess } from './table-access.ts';
import { Together } from './together.ts';
import type { PolicyFacts } from './withdrawn-connections.ts';

/**
 * How often it is looked whether the table is still there, the host still forwards, and goes out by the same
 * address, which costs the kernel some microseconds.
 */
const LOOK_MS = 1_000;
/** How long it takes until a name server that could not be opened is tried again. */
const ANSWER_AGAIN_MS = 3_000;
const ANY_ADDRESS = 0;
const LOOPBACK = parseAddress('127.0.0.1');

/**
 * Makes the driver. Errors: `TypeError` for a table name that nftables would not take, or a way of limiting
 * bandwidth that does not exist; `INVALID_SPEC` for what is no address.
 */
export function nftablesNetwork(options: NftablesNetworkOptions): DriverFactory<NetworkDriver> {
  checkOptions(options);
  return (components) => new NftablesNetwork(options, components);
}

class NftablesNetwork implements NetworkDriver {
  readonly role = 'network';
  readonly name = 'nftables';
  readonly #table: TableMessages;
  readonly #access: TableAccess;
  readonly #rules: RulesInForce;
  readonly #inbound: InboundPolicy;
  readonly #log: Logger;
  readonly #failpoints: Failpoints;
  readonly #linkSettings: LinkSettings;
  readonly #links: ContainerLinks;
  readonly #remains: Remains;
  /**
   * What `setup` has listed, once for all links that are restored after it. An entry goes as soon as
   * something is done to its link; one that has gone since is found out by its number.
   */
  #atSetup: Seen = { links: new Map(), shapers: new Set(), addresses: new Set(), foreign: [] };
  /**
   * Restored rules, many containers' in one transaction: at the end of each that leads to a chain the kernel
   * looks at the chains of all containers.
   */
  readonly #together = new Together<RulesOfOne>((all) => this.#rules.replace(...all));
  readonly #outwardOption: number | undefined;
  readonly #bandwidth: BandwidthLimits;
  readonly #freed: FreedAddresses;
  readonly #names: NamedEgress;
  readonly #denials: Denials;
  readonly #findings: KernelFindings;
  /** Containers whose rules are in force and whose links are not made yet. */
  readonly #begun = new Set<ContainerId>();
  readonly #living = new LivingAddresses();
  #pool: AddressRange | undefined;
  #host: NetworkHostSpec | undefined;
  #lossListener: (() => void) | undefined;
  #looking: NodeJS.Timeout | undefined;
  #hasForwardingFailed = false;
  #answering: NodeJS.Timeout | undefined;
  /** How often the table was found missing under containers. */
  #losses = 0;
  /** They have lived without rules: what they have begun meanwhile is looked through when their own are back. */
  readonly #unfiltered = new Set<ContainerId>();

  constructor(options: NftablesNetworkOptions, components: DriverComponents) {
    this.#table = new TableMessages(options.table);
    this.#access = new TableAccess(this.#table);
    this.#inbound = options.inbound ?? 'published';
    this.#log = components.logger.child('nftables');
    this.#failpoints = components.failpoints ?? NO_FAILPOINTS;
    this.#linkSettings = { alias: options.table, hasIpv6: hasIpv6() };
    this.#links = new ContainerLinks(this.#access, this.#linkSettings, this.#log);
    this.#outwardOption =
      options.outwardAddress === undefined ? undefined : parseAddress(options.outwardAddress);
    this.#remains = new Remains(this.#access, this.#table, options.table);
    this.#freed = new FreedAddresses(() => this.#access.netlink(), this.#log);
    this.#bandwidth = new BandwidthLimits({
      table: this.#table,
      links: this.#linkSettings,
      log: this.#log,
      wanted: options.bandwidth,
      kernel: this.#access,
    });
    const denialGroup = denialGroupOf(options.table);
    this.#findings = new KernelFindings({
      table: this.#table,
      log: this.#log,
      denials: options.denials,
      denialGroup,
    });
    this.#denials = new Denials({
      log: this.#log,
      group: denialGroup,
      owner: (address) => this.#living.ownerOf(address),
      counts: () => readCounts(this.#access.netlink(), this.#table),
      isNeeded: () => !this.#living.isEmpty,
    });
    this.#names = new NamedEgress({
      table: this.#table,
      kernel: this.#access,
      log: this.#log,
      lifetimes: options.nameLifetimes,
      denied: (denial) => this.#denials.note({ ...denial, protocol: 'dns' }),
    });
    this.#rules = new RulesInForce({
      table: this.#table,
      access: this.#access,
      names: this.#names,
      pool: () => this.#pool,
      outward: () => this.#outward(),
    });
  }

  get supports(): NetworkSupports {
    const bandwidth = this.#bandwidth.mode !== undefined;
    const closedInbound = this.#inbound === 'published';
    const { hasNames: namedEgress, denials } = this.#findings.names;
    return {
      ...{ link: true, portMapping: true, egressRules: true, withdrawal: true },
      ...{ bandwidth, closedInbound, namedEgress, denials },
    };
  }

  async probe(): Promise<ProbeResult> {
    const { result, bandwidth } = this.#findings.probe(this.#bandwidth.wanted);
    if (bandwidth !== undefined) this.#bandwidth.found(bandwidth);
    return result;
  }

  async setup(host: NetworkHostSpec): Promise<void> {
    enableForwarding();
    // now: a daemon that is out of descriptors must still be able to take links down. And in turn: of what is
    // being released nothing is put in force again
    await this.#access.patient().inTurn(async () => this.#setUp(host));
    this.#denials.start(this.#findings.names.denials.packets);
    if (this.#lossListener !== undefined)
      this.#looking ??= setInterval(() => {
        this.#keepForwarding();
        this.#lookForTable();
        void this.#lookForOutward();
      }, LOOK_MS).unref();
    this.#failpoints.passSync('nftables.setup');
  }

  #setUp(host: NetworkHostSpec): void {
    const outward = this.#outward();
    if (outward === undefined) {
      this.#log.warn('outward-address-missing', {
        reason:
          'no route leads out of this host: published ports answer at 127.0.0.1 alone until there is one',
        advice: 'name the address in drivers.outward_address if it is known already',
      });
    }
    this.#access.forgetContainers();
    const around = {
      inbound: this.#inbound,
      published: outward === undefined ? [] : [outward],
      uplink: this.#uplinkOfContainer(),
      // an earlier daemon's stay in force until their containers are restored, which some never are
      hasLimits: this.#bandwidth.mode === 'limit' || this.#access.containers().limits.size > 0,
      denials: this.#findings.telling,
    };
    this.#names.configure(host);
    this.#pool = parseRange(host.pool);
    this.#host = host;
    const isMissing = tableIdentity(this.#access.netlink(), this.#table) === undefined;
    const isGone = isMissing || this.#access.isTableLost();
    this.#putRules(host, around, isGone);
    this.#access.adoptTable();
    if (isGone) this.#noteLoss();
    this.#access.published = outward;
    this.#access.forgetContainers();
  }

  watchRules(listener: () => void): void {
    this.#lossListener = listener;
  }

  /** Without it nothing comes out of a container, and nobody reaches a published port. */
  #keepForwarding(): void {
    try {
      const wasOff = enableForwarding();
      this.#hasForwardingFailed = false;
      if (!wasOff) return;
      this.#log.warn('forwarding-put-back', {
        means:
          'another program has switched net.ipv4.ip_forward off; containers had no connections to the outside, and their ports could not be reached',
        advice: 'find who does: mostly net.ipv4.ip_forward=0 in /etc/sysctl.conf or /etc/sysctl.d',
      });
    } catch (error) {
      // tried again each time: once is enough for the log
      if (!this.#hasForwardingFailed) this.#log.error('forwarding-not-put-back', { error });
      this.#hasForwardingFailed = true;
    }
  }

  #lookForTable(): void {
    try {
      if (!this.#access.isTableLost()) return;
    } catch (error) {
      this.#log.debug?.('table-not-looked-up', { error });
      return;
    }
    this.#lossListener?.();
  }

  /** The host may get another address, as by DHCP, or its first one after the daemon has started. */
  async #lookForOutward(): Promise<void> {
    try {
      const outward = this.#outward();
      if (outward === undefined || outward === this.#access.published) return;
      const address = await this.#rules.followOutward();
      if (address !== undefined)
        this.#log.info('outward-address-changed', { address: formatAddress(address) });
    } catch (error) {
      // the next look tries it again; a table that has gone is told by the one for it
      this.#log.debug?.('outward-address-not-followed', { error });
    }
  }

  /** Whose link is there without a table has lived without rules; who gets one has to put them in force again. */
  #noteLoss(): void {
    this.#losses += 1;
    this.#begun.clear();
    const { links } = this.#atSetup;
    if (links.size === 0) return;
    for (const id of links.keys()) this.#unfiltered.add(id);
    this.#log.error('rules-lost', {
      table: this.#table.table,
      containers: links.size,
      means:
        'another program has removed the nftables table; containers could reach the host and its networks until now, and are denied everything again from now on',
      advice:
        'find who empties the rule set, as `nft flush ruleset` does, or nftables.service when it is started, reloaded or stopped; it must remove only its own tables',
    });
  }

  /**
   * The daemon had another name before. What the table of that name says of the container must not outlive
   * it, nor refuse what is allowed from now on.
   */
  async #takeOver(spec: NetworkSpec, link: Link): Promise<void> {
    const { id } = spec;
    const earlier = new NftablesNetwork({ table: link.alias }, { logger: this.#log });
    try {
      await earlier.#rules.remove(id);
      earlier.#bandwidth.drop(id, undefined, undefined);
    } finally {
      await earlier.close();
    }
    const shaper = findLink(this.#access.netlink(), shaperName(id));
    for (const one of shaper === undefined ? [link] : [link, shaper])
      this.#access
        .netlink()
        .route(markLink(one.index, this.#linkSettings.alias, linkHasIpv6(this.#linkSettings, one.mtu)));
    this.#log.info('container-renamed', { id, from: link.alias, to: this.#linkSettings.alias });
  }

  /** What it has begun while it had no rules. */
  #endForbidden({ id, containerIp }: NetworkSpec, { egress }: NetworkRules): void {
    const host = this.#host;
    if (host === undefined || !this.#unfiltered.has(id)) return;
    endUnfiltered(this.#access.netlink(), parseAddress(containerIp), egress, this.#facts(host, id));
    this.#unfiltered.delete(id);
  }

  watchDenials(listener: (denials: readonly NetworkDenial[]) => void): void {
    this.#denials.watch(listener);
  }

  /** All of it, or nothing; without the limit of connections where the kernel cannot count them. */
  #putRules(host: NetworkHostSpec, around: Surroundings, isAnew: boolean): void {
    const reopened = isAnew ? this.#names.reopened() : [];
    const put = (spec: NetworkHostSpec): void =>
      this.#access.commit('setup', this.#table.table, [
        ...skeleton(this.#table, spec, around),
        ...this.#ensureDefaults(),
        ...this.#names.admissions(),
        ...reopened,
      ]);
    try {
      put(host);
    } catch (error) {
      if (isKernelError(error, 'EEXIST')) throw otherTable(this.#table.table, error);
      // what an unknown expression is answered with
      const isUnknown = isWardenError(error) && ['ENOENT', 'EOPNOTSUPP'].includes(String(error.fields.errno));
      if (host.maxConnections === undefined || !isUnknown) throw error;
      put({ ...host, maxConnections: undefined });
      this.#log.warn('connections-not-limited', {
        reason: 'the kernel cannot count connections (CONFIG_NFT_CONNLIMIT)',
        error,
      });
    }
  }

  plan(spec: NetworkSpec): DriverState {
    const { host, container } = linkEnds(spec.id);
    const state = { hostInterface: host.name, containerInterface: container.name };
    const { namespace } = this.#links;
    return namespace === undefined ? state : { ...state, namespace };
  }

  inside(spec: NetworkSpec): InsideNetwork {
    const { host, container } = linkEnds(spec.id);
    return {
      interface: container.name,
      address: spec.containerIp,
      prefixLength: spec.prefixLength,
      gateway: spec.hostIp,
      mtu: spec.mtu,
      gatewayMac: formatMac(host.mac),
    };
  }

  async begin(spec: NetworkSpec): Promise<void> {
    this.#atSetup.links.delete(spec.id);
    this.#freed.claim(parseAddress(spec.containerIp));
    if (this.#bandwidth.has(spec.id)) this.#bandwidth.clear(spec.id, undefined);
    await this.#rules.replace({ spec, egress: [], mappings: [] });
    this.#begun.add(spec.id);
  }

  async attach(spec: NetworkSpec, _state: DriverState, pid: number): Promise<void> {
    // Before the link: it must not carry a packet that no rule is about.
    if (!this.#begun.has(spec.id)) await this.begin(spec);
    this.#begun.delete(spec.id);
    const losses = this.#losses;
    try {
      this.#failpoints.passSync('nftables.rules');
      await this.#links.make(spec, pid);
      // lost meanwhile, and put back for the links that there were
      if (losses !== this.#losses) await this.#rules.replace({ spec, egress: [], mappings: [] });
      this.#bandwidth.attached(spec.id, pid);
      this.#denials.settle();
      this.#lives(spec);
      this.#log.debug?.('link-attached', { id: spec.id, address: spec.containerIp, pid });
    } catch (cause) {
      const error = failure('attach', linkEnds(spec.id).host.name, cause);
      try {
        await this.#links.unmake(spec.id);
        await this.#rules.remove(spec.id);
      } catch (suppressed) {
        throw new WardenError(error.code, error.message, {
          cause,
          fields: error.fields,
          suppressed: [suppressed],
        });
      }
      throw error;
    }
  }

  async mapPort(spec: NetworkSpec, _state: DriverState, mapping: PortMapping): Promise<void> {
    if (this.#rules.isPublished(spec, mapping)) return;
    this.#refuseListener(mapping.hostPort);
    const link = this.#links.existing('map-port', spec.id);
    const port = String(mapping.hostPort);
    try {
      this.#access.netlink().route(routeLoopback(link.index));
      await this.#rules.publish(spec, mapping);
    } catch (cause) {
      if (!isKernelError(cause, 'EEXIST')) throw failure('map-port', port, cause);
      // Somebody else changed our table. The inventory is read again now, so that the error can name the owner.
      if (this.#rules.isPublished(spec, mapping)) return;
      throw cause;
    }
    this.#log.debug?.('port-mapped', { id: spec.id, ...mapping });
  }

  async allowEgress(spec: NetworkSpec, _state: DriverState, rule: EgressRule): Promise<void> {
    if (rule.domain !== undefined && !this.#findings.names.hasNames) throw this.#namesUnsupported(spec.id);
    await this.#names.prepare([rule]);
    await this.#rules.allow(spec, rule);
    this.#log.debug?.('egress-allowed', { id: spec.id, rule });
  }

  async withdraw(
    spec: NetworkSpec,
    _state: DriverState,
    rules: { readonly withdrawn: NetworkRules; readonly kept: NetworkRules },
  ): Promise<void> {
    const { withdrawn, kept } = rules;
    const host = this.#host;
    if (host === undefined) throw new TypeError('rules are withdrawn before the set-up');
    // put back after something else has failed: there may be rules about names again
    await this.#prepareNames(spec.id, kept.egress);
    const hadRules = withdrawn.egress.length > 0;
    await this.#rules.replace({ spec, egress: kept.egress, mappings: kept.mappings, hadRules });
    try {
      // first: what has led somewhere says which connections a name still allows
      endWithdrawn(this.#access.netlink(), parseAddress(spec.containerIp), rules, this.#facts(host, spec.id));
      this.#names.retain(spec.id, kept.egress);
    } catch (cause) {
      await this.#putBack(spec, rules);
      throw failure('withdraw', spec.id, cause);
    }
    this.#log.debug?.('rules-withdrawn', { id: spec.id, withdrawn });
  }

  #facts(host: NetworkHostSpec, id: ContainerId): PolicyFacts {
    return { host, isLearned: (domain, to) => this.#names.leadsTo(id, domain, to) };
  }

  /** A withdrawal that has not ended its connections has not happened. */
  async #putBack(
    spec: NetworkSpec,
    { withdrawn, kept }: { readonly withdrawn: NetworkRules; readonly kept: NetworkRules },
  ): Promise<void> {
    const egress = [...withdrawn.egress, ...kept.egress];
    try {
      await this.#rules.replace({ spec, egress, mappings: [...withdrawn.mappings, ...kept.mappings] });
    } catch (error) {
      // closed although they are recorded: the next start of the daemon puts that right
      this.#log.error('rules-not-put-back', { id: spec.id, error });
    }
  }

  /**
   * Everything else of the container works without an answer to its questions; what names have opened stays
   * open until its time is over.
   */
  async #prepareNames(id: ContainerId, egress: readonly EgressRule[]): Promise<void> {
    try {
      await this.#names.prepare(egress);
    } catch (error) {
      this.#log.error('names-not-answered', { id, error, advice: 'it is tried again until it succeeds' });
      this.#answerLater();
    }
  }

  /** Those whose rules were put in force without an answer can ask as soon as there is one. */
  #answerLater(): void {
    this.#answering ??= setTimeout(() => {
      this.#answering = undefined;
      this.#answerAll().catch((error: unknown) => {
        this.#log.debug?.('names-still-not-answered', { error });
        this.#answerLater();
      });
    }, ANSWER_AGAIN_MS).unref();
  }

  async #answerAll(): Promise<void> {
    if (!(await this.#names.prepareAll())) return;
    await this.#rules.admitAll();
    this.#log.info('names-answered-again');
  }

  async setBandwidth(spec: NetworkSpec, _state: DriverState, limit: BandwidthLimit): Promise<void> {
    this.#atSetup.links.delete(spec.id);
    const link = this.#links.existing('set-bandwidth', spec.id);
    try {
      this.#bandwidth.set(spec, link, limit);
    } catch (cause) {
      throw failure('set-bandwidth', spec.id, cause);
    }
  }

  async bandwidth(spec: NetworkSpec): Promise<BandwidthStat> {
    return this.#bandwidth.stat(spec.id);
  }

  async restore(
    spec: NetworkSpec,
    state: DriverState,
    recorded: NetworkRules & { readonly bandwidth?: BandwidthLimit },
  ): Promise<void> {
    const seen = this.#atSetup.links.get(spec.id);
    this.#atSetup.links.delete(spec.id);
    const link = seen ?? this.#links.recorded(spec.id, state);
    const mayHaveShaper = seen === undefined || this.#atSetup.shapers.has(spec.id);
    try {
      const isToBeRouted = recorded.mappings.length > 0 && !link.routesLoopback;
      await this.#links.closeToIpv6(link);
      // Before the rules, which setup has put in force for all links: of one that has gone nothing is to stay.
      ensureAddressing(this.#access.netlink(), spec, link, {
        hasAddress: seen !== undefined && hasOwnAddress(this.#atSetup, spec, seen),
        others: [
          ...(isToBeRouted ? [routeLoopback(link.index)] : []),
          ...(link.isUp ? [] : [bringUp(link.index)]), // as it was made; its routes come back with it
        ],
      });
    } catch (cause) {
      throw failure('restore', link.name, cause);
    }
    await this.#prepareNames(spec.id, recorded.egress);
    await this.#together.add({ spec, egress: recorded.egress, mappings: recorded.mappings });
    this.#failpoints.passSync('nftables.restore-rules');
    try {
      if (link.alias !== '' && link.alias !== this.#linkSettings.alias) await this.#takeOver(spec, link);
      this.#endForbidden(spec, recorded);
      if (recorded.bandwidth === undefined) this.#bandwidth.clear(spec.id, link, mayHaveShaper);
      else this.#bandwidth.set(spec, link, recorded.bandwidth);
      this.#lives(spec);
    } catch (cause) {
      throw failure('restore', link.name, cause);
    }
  }

  async release(spec: NetworkSpec): Promise<void> {
    const name = linkEnds(spec.id).host.name;
    this.#atSetup.links.delete(spec.id);
    this.#begun.delete(spec.id);
    this.#unfiltered.delete(spec.id);
    try {
      const shaper = this.#mayHaveShaper(spec)
        ? await this.#access.patient().carryOut(linkSearch(shaperName(spec.id)))
        : undefined;
      // Before the rules go: without them nothing would stop what still runs inside.
      const link = await this.#links.disconnect(spec);
      this.#failpoints.passSync('nftables.disconnect');
      // from here on a set-up puts nothing in force for it again
      if (link !== undefined) this.#links.awaitEnd(spec.id, link);
      await this.#rules.remove(spec.id);
      this.#failpoints.passSync('nftables.remove-rules');
      this.#bandwidth.drop(spec.id, link, shaper);
      this.#denials.settle();
      this.#living.remove(spec);
      this.#freed.add(parseAddress(spec.containerIp));
      this.#log.debug?.('link-released', { id: spec.id });
    } catch (cause) {
      throw failure('release', name, cause);
    }
  }

  /** Of a link that this driver has made or restored it is known. */
  #mayHaveShaper({ id, containerIp }: NetworkSpec): boolean {
    return this.#living.ownerOf(parseAddress(containerIp)) !== id || this.#bandwidth.isTouched(id);
  }

  async sweep(keep: ReadonlySet<ContainerId>): Promise<readonly ContainerId[]> {
    this.#atSetup.links.clear();
    const { found, links } = this.#remains.owners();
    const removed = [...found].filter((id) => !keep.has(id));
    this.#names.sweep(keep);
    for (const id of removed) {
      const link = links.get(id);
      if (link !== undefined) removeLink(this.#access.netlink(), link);
      await this.#rules.remove(id);
      this.#bandwidth.drop(id, undefined, findLink(this.#access.netlink(), shaperName(id)));
    }
    // of those that are kept, some may have been restored by nobody: what was set aside lives on all the same
    const kept = new Set(this.#access.containers().sources.values());
    this.#freed.flushStrangers((address) => this.#isStranger(address) && !kept.has(address));
    return removed;
  }

  async foreignAddresses(): Promise<readonly Ipv4[]> {
    const pool = this.#pool;
    if (pool === undefined) return [];
    return this.#atSetup.foreign.filter((address) => isWithin(address, [pool])).map(formatAddress);
  }

  async list(): Promise<readonly ContainerId[]> {
    return [...this.#remains.owners().found].sort();
  }

  async linked(): Promise<readonly ContainerId[]> {
    return this.#remains.linked();
  }

  async standing(): Promise<readonly string[]> {
    return this.#remains.standing();
  }

  async dismantle(): Promise<void> {
    this.#remains.dismantle();
  }

  async close(): Promise<void> {
    clearInterval(this.#looking);
    clearTimeout(this.#answering);
    this.#looking = undefined;
    this.#findings.close();
    this.#links.close();
    this.#freed.flush();
    this.#names.close();
    this.#denials.close();
    await this.#access.close();
  }

  #namesUnsupported(id: ContainerId): WardenError {
    const { reasons } = this.#findings.names;
    return new WardenError(
      'UNSUPPORTED',
      `this kernel cannot bound what a name opens (${reasons.join('; ')})`,
      {
        fields: { operation: 'allow-egress', object: id, driver: 'nftables', reasons },
      },
    );
  }

  /** Links that live while somebody emptied the table: from the first transaction on they are denied, not forgotten. */
  #ensureDefaults(): MessageBody[] {
    const { chains } = this.#access.containers();
    this.#atSetup = lookAround(this.#access.netlink(), this.#linkSettings.alias);
    const addresses = this.#living.byContainer();
    return [...this.#atSetup.links].flatMap(([id, link]) => {
      // Released, cut off, and gone in a moment: rules for it would stay.
      if (this.#links.isEnding(id, link)) return [];
      const address = addresses.get(id);
      // one that is not used yet has no other rules, and nobody to put these back
      const source = address === undefined ? [] : [ensureSource(this.#table, id, address)];
      return [...ensureElements(this.#table, id, { hasChain: chains.has(id) }), ...source];
    });
  }

  #outward(): number | undefined {
    return this.#outwardOption ?? outwardAddress(this.#access.netlink());
  }

  /** Of a daemon that lives in a container itself, the link it goes out by. */
  #uplinkOfContainer(): string | undefined {
    const name = outwardLink(this.#access.netlink());
    return name !== undefined && isContainerLink(name) ? name : undefined;
  }

  /** Errors: `ALREADY_EXISTS` when a program of the host would lose its clients to the mapping. */
  #refuseListener(port: number): void {
    const published = [ANY_ADDRESS, LOOPBACK, this.#outward()];
    const address = listeningAddresses(port).find((one) => published.includes(one));
    if (address === undefined) return;
    throw new WardenError(
      'ALREADY_EXISTS',
      `port ${port} is taken by a program of the host, which listens on ${formatAddress(address)}`,
      { fields: { operation: 'map-port', object: String(port), owner: 'host' } },
    );
  }

  /** Its link is there, made or restored. */
  #lives(spec: NetworkSpec): void {
    this.#living.add(spec);
    this.#denials.awaken();
  }

  #isStranger(address: number): boolean {
    const pool = this.#pool;
    return pool !== undefined && isWithin(address, [pool]) && !this.#living.has(address);
  }
}

/** To replace what is known otherwise there, containers would have to be without rules for a moment. */
function otherTable(table: string, cause: unknown): WardenError {
  return new WardenError(
    'NATIVE_FAILED',
    `the nftables table ${table} holds what another version of the daemon, mostly a newer one, has made otherwise (EEXIST). Nothing was changed: containers and their rules live on, and that version serves them again. Without containers, its wardend cleanup removes the table`,
    { cause, fields: { operation: 'setup', object: table, errno: 'EEXIST' } },
  );
}
