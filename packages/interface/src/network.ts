/**
 * Role *network*: a point-to-point link between host and container, its addresses, and what may pass.
 *
 * ## Lifecycle
 * `probe` → `setup` (once per daemon start; never interrupts living containers, rules stay in force between
 * daemons) → per container `plan` → *state persisted* → `attach` (init exists and waits) → `mapPort`,
 * `allowEgress`, `setBandwidth` → `release`. After a restart: `restore` for each living container, then
 * `sweep` of everything nobody claims.
 *
 * ## Guarantees
 * - Egress is denied unless allowed; inbound to unpublished ports, other containers and the host is denied.
 * - Default deny stays in force while no daemon runs.
 * - A container has its rules before its link can carry a packet; each change is one transaction.
 * - Tables of other programs are never touched.
 */
import type { ContainerId, DriverState, ProbeResult } from './driver.ts';
import type { BandwidthStat } from './warden.ts';

/** IPv4 address, dotted quad. */
export type Ipv4 = string;

/** Host-wide policy. */
export interface NetworkHostSpec {
  /** CIDR of the pool all containers come from. */
  readonly pool: string;
  /** Destinations every container may reach: addresses, CIDRs or `a-b` ranges. */
  readonly allowNetworks: readonly string[];
  /** Destinations denied before the final reject (extension; empty in the original's last version). */
  readonly denyNetworks: readonly string[];
  readonly allowHostAccess: boolean;
  /**
   * Name servers that a driver with `supports.namedEgress` asks: `address` or `address:port`. Empty or
   * absent: those of the host.
   */
  readonly nameServers?: readonly string[] | undefined;
  /**
   * Connections (and flows of datagrams) of each container that the host keeps track of at a time; further
   * ones are dropped at their first packet. `undefined`: no limit but the host's own, which is one for all.
   */
  readonly maxConnections?: number | undefined;
}

/** One container's link. `hostIp`/`containerIp` are the two usable addresses of its /30. */
export interface NetworkSpec {
  readonly id: ContainerId;
  readonly hostIp: Ipv4;
  readonly containerIp: Ipv4;
  /** 30 for the original's addressing. */
  readonly prefixLength: number;
  readonly mtu: number;
}

/** What init must configure inside, as data: init has the namespace, the driver does not enter it. */
export interface InsideNetwork {
  /** Name of the container's interface as made by `attach`; empty when there is none. */
  readonly interface: string;
  readonly address: Ipv4;
  readonly prefixLength: number;
  readonly gateway: Ipv4;
  readonly mtu: number;
  /** Link-layer address of the gateway, for a permanent neighbour entry; empty: resolve by ARP. */
  readonly gatewayMac: string;
}

/** A published port: TCP on the host's outward address and on loopback leads to the container. */
export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
}

/** One allow rule. Ranges are inclusive; absent means any. The newest rule is examined first. */
export interface EgressRule {
  /**
   * Only addresses that this name was resolved to for the container: a name of lower-case labels, or `*.` and
   * a name for all names below it. With `network`, those of them that lie within it; without, only public
   * ones. Needs `supports.namedEgress`.
   */
  readonly domain?: string;
  readonly network?: { readonly first: Ipv4; readonly last: Ipv4 };
  readonly ports?: { readonly first: number; readonly last: number };
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'all';
  readonly icmpType?: number;
  readonly icmpCode?: number;
  /** Also log new TCP connections with prefix `warden-i-<id> `. */
  readonly log: boolean;
}

/** What is open for a container. */
export interface NetworkRules {
  readonly mappings: readonly PortMapping[];
  /** Oldest first. */
  readonly egress: readonly EgressRule[];
}

/** Token-bucket shaping of both directions. */
export interface BandwidthLimit {
  /** Bytes per second. */
  readonly rate: bigint;
  /** Bytes. */
  readonly burst: bigint;
}

/** What a network driver can do. */
export interface NetworkSupports {
  /** There is a link at all (false: the `none` driver; the other flags are false too). */
  readonly link: boolean;
  readonly portMapping: boolean;
  readonly egressRules: boolean;
  readonly bandwidth: boolean;
  /** From outside, only published ports can be reached (false: whatever is routed to the pool). */
  readonly closedInbound: boolean;
  /** Egress rules may have a `domain`: the driver answers the container's questions for names. Absent: no. */
  readonly namedEgress?: boolean;
  /** {@link NetworkDriver.withdraw} is there. Absent: what was opened stays open for the container's life. */
  readonly withdrawal?: boolean;
  /** What {@link NetworkDriver.watchDenials} tells of packets. Absent: nothing. */
  readonly denials?: DenialSupport;
}

/** How much can be told of packets that were refused. */
export interface DenialSupport {
  /** `each`: where they were to go; `totals`: only how many there were of each container. */
  readonly packets: 'each' | 'totals' | 'none';
  /** Why there is not more. */
  readonly reason?: string;
}

/** Something that a container was kept from. */
export interface NetworkDenial {
  readonly id: ContainerId;
  /** Where it wanted to go; absent for a name that was not looked up. */
  readonly destination?: Ipv4;
  /** The name it asked for. With `destination`: the name leads there, and that is not opened by a name. */
  readonly name?: string;
  /** `any`: the kernel only counts what it refuses; there is neither destination nor port then. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'dns' | 'any';
  /** Of TCP and UDP. */
  readonly port?: number;
  /** How often it was seen since it was last told. What comes faster than the driver looks is not seen. */
  readonly count: number;
}

/** A network driver. */
export interface NetworkDriver {
  readonly role: 'network';
  readonly name: string;
  readonly supports: NetworkSupports;

  /** Tries links and rules in a throw-away network namespace. Never throws. */
  probe(): Promise<ProbeResult>;

  /** Puts the host-wide skeleton in place and enables forwarding. Idempotent; elements of living containers stay. */
  setup(host: NetworkHostSpec): Promise<void>;

  /** Computes interface names and addresses. Pure. */
  plan(spec: NetworkSpec): DriverState;

  /** What init configures inside for this plan. Pure. */
  inside(spec: NetworkSpec, state: DriverState): InsideNetwork;

  /**
   * Does what of `attach` needs no process, while that one is being started: commits the container's rules.
   * Optional; `attach` does what has not been done. Idempotent. On failure no rule remains.
   */
  begin?(spec: NetworkSpec, state: DriverState): Promise<void>;

  /**
   * Commits the container's rules, then makes the link with its far end directly in the network namespace of `pid`.
   * Idempotent: a stale link of the same name is replaced. On failure neither rules nor link remain.
   */
  attach(spec: NetworkSpec, state: DriverState, pid: number): Promise<void>;

  /**
   * Errors: `ALREADY_EXISTS` naming the owner when the host port is mapped; `UNSUPPORTED`. Same mapping twice
   * is one.
   */
  mapPort(spec: NetworkSpec, state: DriverState, mapping: PortMapping): Promise<void>;

  /** Puts the rule in front of earlier ones. Errors: `UNSUPPORTED`. */
  allowEgress(spec: NetworkSpec, state: DriverState, rule: EgressRule): Promise<void>;

  /**
   * Takes `withdrawn` away, in one transaction: afterwards exactly `kept` is in force, and connections that
   * `withdrawn` had let through and `kept` does not are ended. What was not there is no failure. On failure
   * nothing has changed. With `supports.withdrawal`.
   */
  withdraw?(
    spec: NetworkSpec,
    state: DriverState,
    rules: { readonly withdrawn: NetworkRules; readonly kept: NetworkRules },
  ): Promise<void>;

  /** Replaces earlier settings. Errors: `UNSUPPORTED`. */
  setBandwidth(spec: NetworkSpec, state: DriverState, limit: BandwidthLimit): Promise<void>;

  /** Requested numbers of `setBandwidth` as kept in force; unlimited = 4294967295 each. */
  bandwidth(spec: NetworkSpec, state: DriverState): Promise<BandwidthStat>;

  /**
   * Makes the kernel equal to what is recorded: link checked, rules ensured without an unfiltered or
   * interrupted moment. Errors: `NATIVE_FAILED` when the link is gone. With the errno `ENODEV`, and with no
   * other, the container is ended and removed: it could not be reached ever again. After any other error it
   * is set aside, and its processes go on.
   */
  restore(
    spec: NetworkSpec,
    state: DriverState,
    recorded: NetworkRules & { readonly bandwidth?: BandwidthLimit },
  ): Promise<void>;

  /**
   * Removes rules and link. Idempotent. The link itself may go asynchronously with the dead namespace (an
   * explicit delete costs 31 ms).
   */
  release(spec: NetworkSpec, state: DriverState): Promise<void>;

  /** Removes every own object whose id is not in `keep`. Called at start, after recovery. */
  sweep(keep: ReadonlySet<ContainerId>): Promise<readonly ContainerId[]>;

  /**
   * From now on, tells what containers were kept from: now and then, several at once, the same ones as one.
   * For one listener, which does not throw. What a driver cannot see is in `supports.denials`, and in the log
   * at `setup`. Optional.
   */
  watchDenials?(listener: (denials: readonly NetworkDenial[]) => void): void;

  /**
   * From now on, tells when rules that were in force are gone and this driver has not taken them away, as
   * when another program empties the kernel's rule set. Whoever is told calls `setup` again, and `restore`
   * for each container; as long as that is not done, or has failed, it is told again. For one listener, which
   * does not throw. Optional.
   */
  watchRules?(listener: () => void): void;

  /**
   * Addresses that the host had at the last `setup`, in the pool of that, and that are not those of this
   * driver's own links: of containers of another daemon that does not run now, or of the host itself. A
   * container that got such a block would share it. Changes nothing. Optional.
   */
  foreignAddresses?(): Promise<readonly Ipv4[]>;

  /** Closes sockets. The rules stay in force. */
  close(): Promise<void>;

  /** Ids that {@link NetworkDriver.sweep} would find something of. Changes nothing. Optional. */
  list?(): Promise<readonly ContainerId[]>;

  /**
   * Ids of containers whose link is there and was not released: it goes with the namespace at its far end, so
   * somebody lives in that. Asked where control groups do not tell, also before `setup`. Changes nothing.
   * Optional.
   */
  linked?(): Promise<readonly ContainerId[]>;

  /**
   * What `setup` has made on the host and what stays between daemons, in words, as
   * `nftables table inet warden`; only what is there. Changes nothing. Optional, with
   * {@link NetworkDriver.dismantle}: for taking a configuration off a host.
   */
  standing?(): Promise<readonly string[]>;
  /**
   * Removes that. The caller sees to it that no container is left. Idempotent. Errors: `NATIVE_FAILED` naming
   * what others have put in there.
   */
  dismantle?(): Promise<void>;
}
