/** A network driver over a table of links and rules, and the packet filter that reads it. */
import {
  type BandwidthLimit,
  type DriverFactory,
  type EgressRule,
  type NetworkDriver,
  type NetworkSpec,
  type PortMapping,
  WardenError,
} from '@warden/interface';

interface Link {
  readonly spec: NetworkSpec;
  readonly pid: number;
  readonly mappings: Map<number, PortMapping>;
  readonly egress: EgressRule[];
  bandwidth: BandwidthLimit | undefined;
}

/** The "kernel" of the fake: shared by driver instances, so that it survives a restart of one. */
export class LinkTable {
  readonly links: Map<string, Link> = new Map();
  /** Ports on which programs of the host listen. */
  readonly hostPorts: Set<number> = new Set();
  /** Processes whose namespaces have ended. */
  readonly ended: Set<number> = new Set();

  /** Whether the container behind `pid` may open a TCP connection to `address`. */
  allows(pid: number, address: string, port: number): boolean {
    const link = [...this.links.values()].find((one) => one.pid === pid);
    return link?.egress.some((rule) => matches(rule, address, port)) === true;
  }

  /** Where a connection to a host port leads. */
  translate(port: number): { readonly address: string; readonly port: number } | undefined {
    for (const { spec, mappings } of this.links.values()) {
      const mapping = mappings.get(port);
      if (mapping) return { address: spec.containerIp, port: mapping.containerPort };
    }
    return undefined;
  }

  inventory(): string[] {
    return [...this.links].map(
      ([id, { mappings, egress, bandwidth }]) =>
        `${id}${bandwidth ? ` ${bandwidth.rate}/${bandwidth.burst}` : ''} ${JSON.stringify([...mappings.values()])} ${JSON.stringify(egress)}`,
    );
  }
}

function numeric(address: string): number {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

function matches(rule: EgressRule, address: string, port: number): boolean {
  const { network, ports, protocol, domain } = rule;
  if (domain !== undefined) return false;
  if (network && (numeric(address) < numeric(network.first) || numeric(address) > numeric(network.last)))
    return false;
  if (ports && (port < ports.first || port > ports.last)) return false;
  return protocol === 'tcp' || protocol === 'all';
}

const UNLIMITED = 4_294_967_295n;

/** Makes the fake. */
export function memoryNetwork(options: { readonly table: LinkTable }): DriverFactory<NetworkDriver> {
  const { links } = options.table;
  const link = (spec: NetworkSpec): Link => {
    const found = links.get(spec.id);
    if (!found)
      throw new WardenError('NATIVE_FAILED', `no link of ${spec.id}`, {
        fields: { operation: 'network', object: spec.id, errno: 'ENODEV' },
      });
    return found;
  };
  return () => ({
    role: 'network',
    name: 'memory',
    supports: {
      link: true,
      portMapping: true,
      egressRules: true,
      bandwidth: true,
      closedInbound: true,
      // no name leads anywhere here, so that a rule about one opens nothing
      namedEgress: true,
      withdrawal: true,
    },
    probe: async () => ({ ok: true }),
    setup: async () => {},
    plan: (spec) => ({ link: `w-${spec.id}-0` }),
    inside: (spec) => ({
      interface: `w-${spec.id}-1`,
      address: spec.containerIp,
      prefixLength: spec.prefixLength,
      gateway: spec.hostIp,
      mtu: spec.mtu,
      gatewayMac: '',
    }),
    attach: async (spec, _state, pid) => {
      if (options.table.ended.has(pid))
        throw new WardenError('NATIVE_FAILED', `no network namespace of process ${pid}`, {
          fields: { operation: 'attach', object: spec.id, errno: 'ESRCH' },
        });
      links.set(spec.id, { spec, pid, mappings: new Map(), egress: [], bandwidth: undefined });
    },
    mapPort: async (spec, _state, mapping) => {
      for (const other of links.values()) {
        const taken = other.mappings.get(mapping.hostPort);
        if (taken && (other.spec.id !== spec.id || taken.containerPort !== mapping.containerPort)) {
          throw new WardenError(
            'ALREADY_EXISTS',
            `host port ${mapping.hostPort} is mapped to ${other.spec.id}`,
            {
              fields: { operation: 'map port', object: mapping.hostPort, owner: other.spec.id },
            },
          );
        }
      }
      if (options.table.hostPorts.has(mapping.hostPort)) {
        throw new WardenError('ALREADY_EXISTS', `host port ${mapping.hostPort} is taken by the host`, {
          fields: { operation: 'map port', object: mapping.hostPort, owner: 'host' },
        });
      }
      link(spec).mappings.set(mapping.hostPort, mapping);
    },
    allowEgress: async (spec, _state, rule) => {
      link(spec).egress.unshift(rule);
    },
    withdraw: async (spec, _state, { kept }) => {
      const { mappings, egress } = link(spec);
      mappings.clear();
      for (const mapping of kept.mappings) mappings.set(mapping.hostPort, mapping);
      egress.splice(0, egress.length, ...kept.egress.toReversed());
    },
    setBandwidth: async (spec, _state, limit) => {
      for (const what of ['rate', 'burst'] as const) {
        if (limit[what] >= 1n && (what === 'rate' || limit.burst <= UNLIMITED)) continue;
        throw new WardenError('INVALID_SPEC', `bandwidth ${what} ${limit[what]}`, {
          fields: { operation: 'set bandwidth', object: what },
        });
      }
      link(spec).bandwidth = limit;
    },
    bandwidth: async (spec) => {
      const { rate, burst } = links.get(spec.id)?.bandwidth ?? { rate: UNLIMITED, burst: UNLIMITED };
      return { inRate: rate, inBurst: burst, outRate: rate, outBurst: burst };
    },
    restore: async (spec, _state, recorded) => {
      const { pid } = link(spec);
      links.set(spec.id, {
        spec,
        pid,
        mappings: new Map(recorded.mappings.map((mapping) => [mapping.hostPort, mapping])),
        egress: [...recorded.egress].reverse(),
        bandwidth: recorded.bandwidth,
      });
    },
    release: async (spec) => {
      links.delete(spec.id);
    },
    sweep: async (keep) => {
      const gone = [...links.keys()].filter((id) => !keep.has(id));
      for (const id of gone) links.delete(id);
      return gone;
    },
    linked: async () => [...links].filter(([, { pid }]) => !options.table.ended.has(pid)).map(([id]) => id),
    close: async () => {},
  });
}
