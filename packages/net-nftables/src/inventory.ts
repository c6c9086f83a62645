/** What the table holds of containers, as read from the kernel. */
import type { ContainerId } from '@warden/interface';
import { chainOwner } from './container-rules.ts';
import { formatAddress } from './ipv4-address.ts';
import { linkOwner } from './link-names.ts';
import type { NetlinkConnection } from './netlink-connection.ts';
import { isKernelError } from './netlink-connection.ts';
import { attributeText, messageAttributes } from './netlink-message.ts';
import type { TableMessages } from './nftables-message.ts';
import {
  NFGENMSG_BYTES,
  readCountedElement,
  readElements,
  readInterfaceElement,
  readPortElement,
  readSourceElement,
} from './nftables-message.ts';
import { SET } from './set-names.ts';

/** Where a host port leads. */
export interface PublishedPort {
  readonly owner: ContainerId;
  readonly containerIp: string;
  readonly containerPort: number;
}

/** What containers have in one table. */
export interface Inventory {
  /** Containers whose links the rules are about. */
  readonly interfaces: Set<ContainerId>;
  /** Containers with rules of their own. */
  readonly chains: Set<ContainerId>;
  /** Containers with a chain that limits their bandwidth. */
  readonly limits: Set<ContainerId>;
  /** Containers that may ask for names. */
  readonly askers: Set<ContainerId>;
  readonly ports: Map<number, PublishedPort>;
  /** The address that comes in by each link. */
  readonly sources: Map<ContainerId, number>;
}

/** Reads the inventory. A table that does not exist is an empty one. */
export function readInventory(connection: NetlinkConnection, table: TableMessages): Inventory {
  return {
    ...readChains(connection, table),
    interfaces: readInterfaces(connection, table),
    ports: readPorts(connection, table),
    sources: readSources(connection, table),
  };
}

/** Of a set that an earlier version of the driver did not have, and its table lacks, there are none. */
function elementsOf(
  connection: NetlinkConnection,
  table: TableMessages,
  set: string,
): Iterable<ReadonlyMap<number, Buffer>> {
  try {
    return readElements(connection.dump(table.dumpElements(set)));
  } catch (error) {
    if (!isKernelError(error, 'ENOENT')) throw error;
    return [];
  }
}

/**
 * What tells the table from a later one of the same name: the number that the kernel has given it, nothing
 * more than its name before Linux 4.17. Undefined where there is no such table.
 */
export function tableIdentity(connection: NetlinkConnection, table: TableMessages): string | undefined {
  const HANDLE = 4;
  try {
    const [received] = connection.dump(table.lookUpTable());
    const handle = received && messageAttributes(received, NFGENMSG_BYTES).get(HANDLE);
    return `${table.table} ${handle?.toString('hex') ?? ''}`;
  } catch (error) {
    if (isKernelError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Names of all chains in the table; nothing where there is no such table. */
export function chainNames(connection: NetlinkConnection, table: TableMessages): string[] | undefined {
  const names = connection
    .dump(table.dumpChains())
    .map((received) => messageAttributes(received, NFGENMSG_BYTES))
    .filter((attributes) => attributeText(attributes.get(1)) === table.table)
    .map((attributes) => attributeText(attributes.get(3)));
  return names.length === 0 ? undefined : names;
}

function readChains(
  connection: NetlinkConnection,
  table: TableMessages,
): Pick<Inventory, 'chains' | 'limits' | 'askers'> {
  const found = {
    chains: new Set<ContainerId>(),
    limits: new Set<ContainerId>(),
    askers: new Set<ContainerId>(),
  };
  for (const received of connection.dump(table.dumpChains())) {
    const attributes = messageAttributes(received, NFGENMSG_BYTES);
    if (attributeText(attributes.get(1)) !== table.table) continue;
    const owner = chainOwner(attributeText(attributes.get(3)));
    if (owner !== undefined) found[owner.kind].add(owner.id);
  }
  return found;
}

function readPorts(connection: NetlinkConnection, table: TableMessages): Map<number, PublishedPort> {
  const ports = new Map<number, PublishedPort>();
  for (const attributes of elementsOf(connection, table, SET.ports)) {
    const element = readPortElement(attributes);
    if (element === undefined) continue;
    ports.set(element.port, {
      owner: element.comment,
      containerIp: formatAddress(element.address),
      containerPort: element.containerPort,
    });
  }
  return ports;
}

function readInterfaces(connection: NetlinkConnection, table: TableMessages): Set<ContainerId> {
  const interfaces = new Set<ContainerId>();
  for (const attributes of elementsOf(connection, table, SET.interfaces)) {
    const owner = linkOwner(readInterfaceElement(attributes) ?? '');
    if (owner !== undefined) interfaces.add(owner);
  }
  return interfaces;
}

function readSources(connection: NetlinkConnection, table: TableMessages): Map<ContainerId, number> {
  const sources = new Map<ContainerId, number>();
  for (const attributes of elementsOf(connection, table, SET.sources)) {
    const element = readSourceElement(attributes);
    const owner = element && linkOwner(element.name);
    if (owner !== undefined) sources.set(owner, element!.address);
  }
  return sources;
}

/** How many packets of each address were refused, where rules count them. */
export function readCounts(connection: NetlinkConnection, table: TableMessages): ReadonlyMap<number, bigint> {
  const counts = new Map<number, bigint>();
  for (const attributes of readElements(connection.dump(table.dumpElements(SET.denied)))) {
    const element = readCountedElement(attributes);
    if (element !== undefined) counts.set(element.address, element.packets);
  }
  return counts;
}
