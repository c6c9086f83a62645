/**
 * nftables messages (linux/netfilter/nf_tables.h). "New" messages without EXCL are idempotent: what exists
 * stays as it is.
 *
 * Changes travel as a batch, which the kernel carries out entirely or not at all; lookups and dumps go on
 * their own.
 */

import type { MessageBody } from './netlink-message.ts';
import {
  attribute,
  attribute32,
  attributeText,
  bigEndian16,
  bigEndian32,
  bigEndian64,
  cString,
  listAttributes,
  messageAttributes,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  nested,
  parseAttributes,
  textAttribute,
  uint8,
  uint32,
} from './netlink-message.ts';
import type { Expression, Verdict } from './nftables-expression.ts';
import { interfaceKey, verdictData } from './nftables-expression.ts';

const SUBSYSTEM = 10;
const FAMILY_UNSPECIFIED = 0;
const FAMILY_INET = 1;
/** Length of the header (struct nfgenmsg) in front of the attributes. */
export const NFGENMSG_BYTES = 4;

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
/** Message types, without the subsystem. */
export const NFT = {
  newTable: 0,
  getTable: 1,
  delTable: 2,
  newChain: 3,
  getChain: 4,
  delChain: 5,
  newRule: 6,
  delRule: 8,
  newSet: 9,
  newElement: 12,
  getElement: 13,
  delElement: 14,
} as const;

/** Types of set keys and values as the nft program numbers them; the kernel only hands them back. */
const TYPE = {
  ipv4: 7,
  protocol: 12,
  port: 13,
  mark: 19,
  interface: 41,
  verdict: 0xffff_ff00,
  ipv4AndPort: (7 << 6) | 13,
  interfaceAndIpv4: (41 << 6) | 7,
  /** 64 bits behind them, as two marks. */
  interfaceIpv4AndName: (41 << 18) | (7 << 12) | (19 << 6) | 19,
} as const;
const FLAG_INTERVAL = 4;
const FLAG_MAP = 8;
/** Elements may go by themselves. */
const FLAG_TIMEOUT = 0x10;
/** Filled by rules. */
const FLAG_EVALUATED = 0x20;
const FLAG_INTERVAL_END = 1;

const NFTA_ELEMENT = { key: 1, data: 2, flags: 3, timeout: 4, userdata: 6, expression: 7 } as const;
const NFTA_EXPRESSION_DATA = 2;
const NFTA_COUNTER_PACKETS = 2;
/** Tag of a comment in the user data of an element. */
const COMMENT_TAG = 0;
/** Tag of the byte order of keys in the user data of a set, and its values, as the nft program has them. */
const KEY_BYTE_ORDER_TAG = 0;
const BYTE_ORDER = { host: 1, big: 2 } as const;

/** Sets and maps this driver uses. */
export type SetKind =
  | 'interfaces'
  | 'sources'
  | 'protocols'
  | 'addresses'
  | 'ranges'
  | 'counted'
  | 'rated'
  | 'learned'
  | 'passing-ports'
  | 'interface-destinations'
  | 'interface-verdicts'
  | 'port-destinations';

const SET_KINDS: Readonly<
  Record<
    SetKind,
    { key: number; keyBytes: number; data?: number; dataBytes?: number; flags: number; size?: number }
  >
> = {
  interfaces: { key: TYPE.interface, keyBytes: 16, flags: 0 },
  sources: { key: TYPE.interfaceAndIpv4, keyBytes: 20, flags: 0 },
  protocols: { key: TYPE.protocol, keyBytes: 1, flags: 0 },
  addresses: { key: TYPE.ipv4, keyBytes: 4, flags: 0 },
  ranges: { key: TYPE.ipv4, keyBytes: 4, flags: FLAG_INTERVAL },
  // More addresses than containers: an entry goes when its connections have gone.
  counted: { key: TYPE.ipv4, keyBytes: 4, flags: FLAG_EVALUATED, size: 65_535 },
  rated: { key: TYPE.ipv4, keyBytes: 4, flags: FLAG_EVALUATED | FLAG_TIMEOUT, size: 65_535 },
  learned: { key: TYPE.interfaceIpv4AndName, keyBytes: 28, flags: FLAG_TIMEOUT },
  'passing-ports': { key: TYPE.port, keyBytes: 2, flags: FLAG_TIMEOUT },
  'interface-destinations': {
    key: TYPE.interface,
    keyBytes: 16,
    data: TYPE.ipv4AndPort,
    dataBytes: 8,
    flags: FLAG_MAP,
  },
  'interface-verdicts': {
    key: TYPE.interface,
    keyBytes: 16,
    data: TYPE.verdict,
    dataBytes: 0,
    flags: FLAG_MAP,
  },
  'port-destinations': { key: TYPE.port, keyBytes: 2, data: TYPE.ipv4AndPort, dataBytes: 8, flags: FLAG_MAP },
};

/** How a base chain is hooked in. The policy is always accept: it concerns packets that no rule here is about. */
export interface BaseChain {
  readonly type: 'filter' | 'nat';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  readonly priority: number;
}

const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;

function header(family: number, resource: number): Buffer {
  return Buffer.concat([uint8(family), uint8(0), bigEndian16(resource)]);
}

const OF_INET = header(FAMILY_INET, 0);

function change(type: number, flags: number, ...attributes: readonly Buffer[]): MessageBody {
  return {
    type: (SUBSYSTEM << 8) | type,
    flags: NLM_F_REQUEST | flags,
    payload: Buffer.concat([OF_INET, ...attributes]),
  };
}

/** Encloses changes into one transaction. */
export function transaction(changes: readonly MessageBody[]): MessageBody[] {
  const edge = (type: number): MessageBody => ({
    type,
    flags: NLM_F_REQUEST,
    payload: header(FAMILY_UNSPECIFIED, SUBSYSTEM),
  });
  return [edge(BATCH_BEGIN), ...changes, edge(BATCH_END)];
}

/** The messages about one table. */
export class TableMessages {
  readonly table: string;
  /** As each message has it. */
  readonly #name: Buffer;

  constructor(table: string) {
    this.table = table;
    this.#name = textAttribute(1, table);
  }

  addTable(): MessageBody {
    return change(NFT.newTable, NLM_F_CREATE, this.#name);
  }

  /** Asks for the table itself; ENOENT where there is none. Not part of a transaction. */
  lookUpTable(): MessageBody {
    return change(NFT.getTable, NLM_F_ACK, this.#name);
  }

  deleteTable(): MessageBody {
    return change(NFT.delTable, 0, this.#name);
  }

  addChain(name: string, base?: BaseChain): MessageBody {
    const attributes = [this.#name, textAttribute(3, name)];
    if (base !== undefined) {
      const NF_ACCEPT = 1;
      attributes.push(
        nested(4, attribute32(1, HOOKS[base.hook]), attribute32(2, base.priority)),
        attribute32(5, NF_ACCEPT),
        textAttribute(7, base.type),
      );
    }
    return change(NFT.newChain, NLM_F_CREATE, ...attributes);
  }

  /** Fails with EEXIST when it is there. */
  addNewChain(name: string): MessageBody {
    return change(NFT.newChain, NLM_F_CREATE | NLM_F_EXCL, this.#name, textAttribute(3, name));
  }

  /** The chain must have no rules and no references when its turn in the transaction comes. */
  deleteChain(name: string): MessageBody {
    return change(NFT.delChain, 0, this.#name, textAttribute(3, name));
  }

  /** `reference` is any number that no other set of the transaction has. */
  addSet(name: string, kind: SetKind, reference: number): MessageBody {
    const { key, keyBytes, data, dataBytes, flags, size } = SET_KINDS[kind];
    const attributes = [
      this.#name,
      textAttribute(2, name),
      attribute32(3, flags),
      attribute32(4, key),
      attribute32(5, keyBytes),
    ];
    if (data !== undefined && dataBytes !== undefined)
      attributes.push(attribute32(6, data), attribute32(7, dataBytes));
    if (size !== undefined) attributes.push(nested(9, attribute32(1, size)));
    // Only for programs that list the set: interface names are kept as text, in host byte order, the rest is
    // big-endian.
    const order = uint32(key === TYPE.interface ? BYTE_ORDER.host : BYTE_ORDER.big);
    const userdata = attribute(13, Buffer.concat([uint8(KEY_BYTE_ORDER_TAG), uint8(order.length), order]));
    return change(NFT.newSet, NLM_F_CREATE, ...attributes, attribute32(10, reference), userdata);
  }

  /** At the end of the chain, or in front of all its rules. */
  addRule(chain: string, expressions: readonly Expression[], place: 'last' | 'first' = 'last'): MessageBody {
    const flags = NLM_F_CREATE | (place === 'last' ? NLM_F_APPEND : 0);
    return change(NFT.newRule, flags, this.#name, textAttribute(2, chain), nested(4, ...expressions));
  }

  /** Removes all rules of a chain. */
  flushChain(chain: string): MessageBody {
    return change(NFT.delRule, 0, this.#name, textAttribute(2, chain));
  }

  /** Elements are made by the functions below. With `exclusive` an existing key fails with EEXIST. */
  addElements(set: string, elements: readonly Buffer[], exclusive = false): MessageBody {
    const flags = NLM_F_CREATE | (exclusive ? NLM_F_EXCL : 0);
    return change(NFT.newElement, flags, this.#name, textAttribute(2, set), nested(3, ...elements));
  }

  /**
   * {@link addElements} for any number of them: an attribute holds 64 KiB, so they go in several messages of
   * one transaction.
   */
  addManyElements(set: string, elements: readonly Buffer[]): MessageBody[] {
    return portions(elements).map((some) => this.addElements(set, some));
  }

  /** {@link deleteElements} for any number of them. */
  deleteManyElements(set: string, elements: readonly Buffer[]): MessageBody[] {
    return portions(elements).map((some) => this.deleteElements(set, some));
  }

  /**
   * Removes elements that may have gone by themselves: what is added first can be removed for certain, all
   * within one transaction.
   */
  deletePassing<Key>(set: string, keys: readonly Key[], element: PassingElement<Key>): MessageBody[] {
    const again = keys.map((key) => element(key, 1_000));
    const named = keys.map((key) => element(key));
    return [...this.addManyElements(set, again), ...this.deleteManyElements(set, named)];
  }

  /** Gives elements so much time from now on. One keeps the time it was made with; so it is made anew. */
  renewPassing<Key>(
    set: string,
    keys: readonly Key[],
    element: PassingElement<Key>,
    milliseconds: number,
  ): MessageBody[] {
    const anew = keys.map((key) => element(key, milliseconds));
    return [...this.deletePassing(set, keys, element), ...this.addManyElements(set, anew)];
  }

  /** A missing element fails with ENOENT. */
  deleteElements(set: string, elements: readonly Buffer[]): MessageBody {
    return change(NFT.delElement, 0, this.#name, textAttribute(2, set), nested(3, ...elements));
  }

  /** Removes all elements of a set. */
  flushSet(set: string): MessageBody {
    return change(NFT.delElement, 0, this.#name, textAttribute(2, set));
  }

  /** Asks for all elements of a set. Not part of a transaction. */
  dumpElements(set: string): MessageBody {
    return change(NFT.getElement, NLM_F_DUMP, this.#name, textAttribute(2, set));
  }

  /** Asks for all chains of all `inet` tables: the kernel of 4.x ignores a table's name here. */
  dumpChains(): MessageBody {
    return change(NFT.getChain, NLM_F_DUMP);
  }
}

/**
 * An even number in each, so that the two ends of a range stay together; far below 64 KiB whatever the
 * elements are.
 */
function portions(elements: readonly Buffer[]): Buffer[][] {
  const MOST = 256;
  const count = Math.ceil(elements.length / MOST);
  return Array.from({ length: count }, (_none, at) => elements.slice(at * MOST, (at + 1) * MOST));
}

function element(...attributes: readonly Buffer[]): Buffer {
  return nested(1, ...attributes);
}

function dataValue(type: number, bytes: Uint8Array): Buffer {
  return nested(type, attribute(1, bytes));
}

/** Element of a set of interface names. */
export function interfaceElement(name: string): Buffer {
  return element(dataValue(NFTA_ELEMENT.key, interfaceKey(name)));
}

/** Reads the attributes of an element of such a set; undefined when they are not those of one. */
export function readInterfaceElement(attributes: ReadonlyMap<number, Buffer>): string | undefined {
  const key = elementValue(attributes.get(NFTA_ELEMENT.key));
  return key === undefined ? undefined : attributeText(key);
}

/** The attributes of each element in what a dump of a set has answered. */
export function* readElements(received: readonly Buffer[]): Generator<ReadonlyMap<number, Buffer>> {
  for (const one of received) {
    const elements = messageAttributes(one, NFGENMSG_BYTES).get(3);
    for (const [, bytes] of elements === undefined ? [] : listAttributes(elements))
      yield parseAttributes(bytes);
  }
}

/** Element of a set of interface names with the one address that comes in by each. */
export function sourceElement(name: string, address: Uint8Array): Buffer {
  return element(dataValue(NFTA_ELEMENT.key, Buffer.concat([interfaceKey(name), address])));
}

/** Reads the attributes of an element of such a set; undefined when they are not those of one. */
export function readSourceElement(
  attributes: ReadonlyMap<number, Buffer>,
): { readonly name: string; readonly address: number } | undefined {
  const key = elementValue(attributes.get(NFTA_ELEMENT.key));
  if (key === undefined || key.length < 20) return undefined;
  return { name: attributeText(key.subarray(0, 16)), address: key.readUInt32BE(16) };
}

/** Makes an element that goes by itself; without a time it names the element to be deleted. */
export type PassingElement<Key> = (key: Key, milliseconds?: number) => Buffer;

/** An address that a name leads to: by which link it may be reached, under which hash of a name. */
export interface LearnedKey {
  readonly name: string;
  readonly address: number;
  /** 8 bytes. */
  readonly hash: Buffer;
}

/** Element of a set of learned addresses; without a time it names the element to be deleted. */
export function learnedElement({ name, address, hash }: LearnedKey, milliseconds?: number): Buffer {
  const key = Buffer.concat([interfaceKey(name), bigEndian32(address), hash]);
  return passingElement(key, milliseconds);
}

/** Element of a set of ports that go by themselves; without a time it names the element to be deleted. */
export function passingPortElement(port: number, milliseconds?: number): Buffer {
  return passingElement(bigEndian16(port), milliseconds);
}

function passingElement(key: Buffer, milliseconds: number | undefined): Buffer {
  const value = dataValue(NFTA_ELEMENT.key, key);
  if (milliseconds === undefined) return element(value);
  return element(value, attribute(NFTA_ELEMENT.timeout, bigEndian64(BigInt(milliseconds))));
}

/** Reads the attributes of an element of a set of learned addresses; undefined when they are not those of one. */
export function readLearnedElement(attributes: ReadonlyMap<number, Buffer>): LearnedKey | undefined {
  const key = elementValue(attributes.get(NFTA_ELEMENT.key));
  if (key === undefined || key.length < 28) return undefined;
  return {
    name: attributeText(key.subarray(0, 16)),
    address: key.readUInt32BE(16),
    hash: key.subarray(20, 28),
  };
}

/**
 * Reads the attributes of an element of a set whose rules count packets by address; undefined when they are
 * not those of one.
 */
export function readCountedElement(
  attributes: ReadonlyMap<number, Buffer>,
): { readonly address: number; readonly packets: bigint } | undefined {
  const key = elementValue(attributes.get(NFTA_ELEMENT.key));
  const expression = attributes.get(NFTA_ELEMENT.expression);
  const data = expression && parseAttributes(expression).get(NFTA_EXPRESSION_DATA);
  const packets = data && parseAttributes(data).get(NFTA_COUNTER_PACKETS);
  if (key === undefined || key.length < 4 || packets === undefined || packets.length < 8) return undefined;
  return { address: key.readUInt32BE(0), packets: packets.readBigUInt64BE(0) };
}

/** Element of a map from interface names to an address and port; without them it names the element to be deleted. */
export function interfaceDestinationElement(
  name: string,
  to?: { readonly address: Uint8Array; readonly port: number },
): Buffer {
  const key = dataValue(NFTA_ELEMENT.key, interfaceKey(name));
  if (to === undefined) return element(key);
  const destination = Buffer.concat([to.address, bigEndian16(to.port), Buffer.alloc(2)]);
  return element(key, dataValue(NFTA_ELEMENT.data, destination));
}

/** Element of a set of transport protocols. */
export function protocolElement(protocol: number): Buffer {
  return element(dataValue(NFTA_ELEMENT.key, uint8(protocol)));
}

/** Element of a verdict map keyed by interface name; without a verdict it names the element to be deleted. */
export function verdictElement(name: string, verdict?: Verdict): Buffer {
  const key = dataValue(NFTA_ELEMENT.key, interfaceKey(name));
  return verdict === undefined ? element(key) : element(key, verdictData(NFTA_ELEMENT.data, verdict));
}

/** Element of a set of addresses. */
export function addressElement(address: Uint8Array): Buffer {
  return element(dataValue(NFTA_ELEMENT.key, address));
}

/** Elements of an interval set: where the range begins and, unless it ends at the top, the first address behind it. */
export function rangeElements(first: Uint8Array, behind: Uint8Array | undefined): Buffer[] {
  const start = element(dataValue(NFTA_ELEMENT.key, first));
  if (behind === undefined) return [start];
  return [
    start,
    element(dataValue(NFTA_ELEMENT.key, behind), attribute32(NFTA_ELEMENT.flags, FLAG_INTERVAL_END)),
  ];
}

/** Element of the port map. The comment is what `nft list` shows and what tells whose port it is. */
export function portElement(
  port: number,
  to?: { address: Uint8Array; port: number; comment: string },
): Buffer {
  const key = dataValue(NFTA_ELEMENT.key, bigEndian16(port));
  if (to === undefined) return element(key);
  const destination = Buffer.concat([to.address, bigEndian16(to.port), Buffer.alloc(2)]);
  const comment = cString(to.comment);
  return element(
    key,
    dataValue(NFTA_ELEMENT.data, destination),
    attribute(NFTA_ELEMENT.userdata, Buffer.concat([uint8(COMMENT_TAG), uint8(comment.length), comment])),
  );
}

/** An element of the port map as the kernel lists it. */
export interface PortElement {
  readonly port: number;
  readonly address: number;
  readonly containerPort: number;
  /** Empty when it has none. */
  readonly comment: string;
}

/** Reads the attributes of an element of the port map; undefined when they are not those of one. */
export function readPortElement(attributes: ReadonlyMap<number, Buffer>): PortElement | undefined {
  const key = elementValue(attributes.get(NFTA_ELEMENT.key));
  const data = elementValue(attributes.get(NFTA_ELEMENT.data));
  if (key === undefined || data === undefined || key.length < 2 || data.length < 6) return undefined;
  const userdata = attributes.get(NFTA_ELEMENT.userdata);
  const hasComment = userdata !== undefined && userdata[0] === COMMENT_TAG;
  return {
    port: key.readUInt16BE(0),
    address: data.readUInt32BE(0),
    containerPort: data.readUInt16BE(4),
    comment: hasComment ? attributeText(userdata.subarray(2)) : '',
  };
}

function elementValue(bytes: Buffer | undefined): Buffer | undefined {
  return bytes === undefined ? undefined : parseAttributes(bytes).get(1);
}
