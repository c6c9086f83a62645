/**
 * The expressions rules are made of (linux/netfilter/nf_tables.h), one function each.
 *
 * An expression reads or writes one register of 16 bytes; register 1 is the only one used here, except that
 * the second part of a set's key lies in register 2, and that a map's value of address and port is addressed
 * by its 32-bit halves. A comparison that fails ends the rule, not the chain.
 */
import {
  attribute,
  attribute32,
  bigEndian16,
  bigEndian64,
  nested,
  textAttribute,
  uint8,
  uint32,
} from './netlink-message.ts';

const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;

const REGISTER_VERDICT = 0;
const REGISTER_1 = 1;
const REGISTER_2 = 2;
/** The second 32 bits of register 1. */
const REGISTER_1_SECOND_WORD = 9;
/** The second 32 bits of register 2. */
const REGISTER_2_SECOND_WORD = 13;

/** Keys of `meta`. */
export const META = { iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const;
/** Values of `ct state`, as bits. */
export const CT_STATE = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
/** Bit of `ct status`: the destination was rewritten. */
export const CT_STATUS_DNAT = 0x20;
/** Where a payload offset counts from. */
export const PAYLOAD = { network: 1, transport: 2 } as const;

/** What happens to a packet: `jump` comes back after the chain, `goto` does not. */
export type Verdict = 'accept' | 'drop' | { readonly jump: string } | { readonly goto: string };

/** One finished expression. */
export type Expression = Buffer;

/** Nobody changes a finished piece. */
const kept = new Map<string, Buffer>();

/**
 * What `make` answers, which is made once for each key and kept for good: for pieces that many rules have,
 * and of which there are few. Of three expressions of a base table two are repetitions, and to make them
 * again took a start longer than the kernel took for the rules.
 */
function keep(key: string, make: () => Buffer): Buffer {
  let piece = kept.get(key);
  if (piece === undefined) {
    piece = make();
    kept.set(key, piece);
  }
  return piece;
}

function expression(name: string, ...attributes: readonly Buffer[]): Expression {
  return expressionIn(NFTA_LIST_ELEM, name, attributes);
}

function expressionIn(type: number, name: string, attributes: readonly Buffer[]): Buffer {
  return nested(
    type,
    keep(name, () => textAttribute(NFTA_EXPR_NAME, name)),
    nested(NFTA_EXPR_DATA, ...attributes),
  );
}

function value(type: number, bytes: Uint8Array): Buffer {
  return nested(type, attribute(NFTA_DATA_VALUE, bytes));
}

/** The data attribute of a verdict, for rules and for values of verdict maps. */
export function verdictData(type: number, verdict: Verdict): Buffer {
  const [code, chain] =
    verdict === 'accept'
      ? [1]
      : verdict === 'drop'
        ? [0]
        : 'jump' in verdict
          ? [-3, verdict.jump]
          : [-4, verdict.goto];
  const attributes = [attribute32(NFTA_VERDICT_CODE, code)];
  if (chain !== undefined) attributes.push(textAttribute(NFTA_VERDICT_CHAIN, chain));
  return nested(type, nested(NFTA_DATA_VERDICT, ...attributes));
}

/** Ends the rule with a verdict. */
export function verdict(what: Verdict): Expression {
  const make = (): Expression =>
    expression('immediate', attribute32(1, REGISTER_VERDICT), verdictData(2, what));
  // chains are many, and have their names from containers
  return typeof what === 'string' ? keep(`verdict ${what}`, make) : make();
}

/** Puts eight bytes behind the first word of register 2: the last parts of a set's key, four bytes each. */
export function loadLastParts(bytes: Uint8Array): Expression[] {
  return [0, 1].map((word) =>
    expression(
      'immediate',
      attribute32(1, REGISTER_2_SECOND_WORD + word),
      value(2, bytes.subarray(word * 4, word * 4 + 4)),
    ),
  );
}

/** Goes on for so many packets per second at most, and `burst` beyond them; `over`: for those that exceed it. */
export function packetRate(rate: number, burst: number, which: 'within' | 'over' = 'within'): Expression {
  return expression('limit', ...packetLimit(rate, burst, which));
}

function packetLimit(rate: number, burst: number, which: 'within' | 'over'): Buffer[] {
  const PACKETS = 0;
  return [
    attribute(1, bigEndian64(BigInt(rate))),
    attribute(2, bigEndian64(1n)),
    attribute32(3, burst),
    attribute32(4, PACKETS),
    attribute32(5, which === 'over' ? 1 : 0),
  ];
}

/** Hands the first bytes of the packet to whoever listens to the group, and goes on. */
export function logToGroup(group: number, bytes: number): Expression {
  return expression('log', attribute(1, bigEndian16(group)), attribute32(3, bytes));
}

/** Loads a fact about the packet: one of {@link META}. */
export function meta(key: number): Expression {
  return keep(`meta ${key}`, () => expression('meta', attribute32(1, REGISTER_1), attribute32(2, key)));
}

/** Loads bytes of the packet. Ends the rule when it has none there. */
export function payload(
  base: number,
  offset: number,
  length: number,
  part: 'first' | 'second' = 'first',
): Expression {
  return keep(`payload ${base} ${offset} ${length} ${part}`, () =>
    expression(
      'payload',
      attribute32(1, part === 'first' ? REGISTER_1 : REGISTER_2),
      attribute32(2, base),
      attribute32(3, offset),
      attribute32(4, length),
    ),
  );
}

/** Goes on when the register is (not) `bytes`. */
export function compare(bytes: Uint8Array, operator: 'is' | 'is-not' = 'is'): Expression {
  return expression(
    'cmp',
    attribute32(1, REGISTER_1),
    attribute32(2, operator === 'is' ? 0 : 1),
    value(3, bytes),
  );
}

/** {@link compare} of a register of one byte. */
export function compareByte(byte: number, operator: 'is' | 'is-not' = 'is'): Expression {
  return keep(`byte ${operator} ${byte}`, () => compare(uint8(byte), operator));
}

/** Goes on when the register, read big-endian, lies within both bounds. */
export function within(first: Uint8Array, last: Uint8Array): Expression {
  return expression('range', attribute32(1, REGISTER_1), attribute32(2, 0), value(3, first), value(4, last));
}

/**
 * Goes on for the bytes that exceed a token bucket: `rate` bytes per second, and `burst` bytes beyond one
 * second's worth.
 */
export function exceeds(rate: bigint, burst: number): Expression {
  const SECONDS = 1n;
  const BYTES = 1;
  const INVERTED = 1;
  return expression(
    'limit',
    attribute(1, bigEndian64(rate)),
    attribute(2, bigEndian64(SECONDS)),
    attribute32(3, burst),
    attribute32(4, BYTES),
    attribute32(5, INVERTED),
  );
}

/**
 * Goes on when the key in the register has more than `most` connections, this one included. Those that have
 * ended no longer count. `set` must be of kind `counted`, and holds the numbers; it is nobody's to fill.
 */
export function hasMoreConnections(set: string, most: number): Expression {
  const OVER = 1;
  return inSet(set, { name: 'connlimit', data: [attribute32(1, most), attribute32(2, OVER)] });
}

/** Counts the packet under the key in the register, and goes on. `set` as for {@link hasMoreConnections}. */
export function countInto(set: string): Expression {
  return inSet(set, { name: 'counter', data: [] });
}

/**
 * {@link packetRate} of each key in the register by itself. `set` must be of kind `rated`; it forgets a key
 * of which nothing has come for `remembered` milliseconds.
 */
export function packetRateOf(set: string, rate: number, burst: number, remembered: number): Expression {
  return inSet(set, { name: 'limit', data: packetLimit(rate, burst, 'within') }, remembered);
}

/**
 * Makes an element of the key in the register where there is none, and carries out its expression. With a
 * time the element goes that long after the last packet.
 */
function inSet(
  set: string,
  { name, data }: { readonly name: string; readonly data: readonly Buffer[] },
  remembered?: number,
): Expression {
  const OPERATION = { add: 0, update: 1 };
  const own = expressionIn(7, name, data);
  const operation = remembered === undefined ? OPERATION.add : OPERATION.update;
  const time = remembered === undefined ? [] : [attribute(6, bigEndian64(BigInt(remembered)))];
  return expression(
    'dynset',
    textAttribute(1, set),
    attribute32(3, operation),
    attribute32(4, REGISTER_1),
    ...time,
    own,
  );
}

/** Masks the register. */
export function mask(bytes: Uint8Array): Expression {
  return expression(
    'bitwise',
    attribute32(1, REGISTER_1),
    attribute32(2, REGISTER_1),
    attribute32(3, bytes.length),
    value(4, bytes),
    value(5, new Uint8Array(bytes.length)),
  );
}

function conntrack(key: number): Expression {
  return keep(`ct ${key}`, () => expression('ct', attribute32(1, REGISTER_1), attribute32(2, key)));
}

/** Goes on when the connection is in one of the states: bits of {@link CT_STATE}. */
export function ctState(bits: number): Expression[] {
  return [conntrack(0), mask(uint32(bits)), compare(uint32(0), 'is-not')];
}

/** Goes on for packets that go back to who has begun the connection. */
export function ctIsReply(): Expression[] {
  const REPLY = 1;
  return [conntrack(1), compareByte(REPLY)];
}

/** Goes on when none of the status bits is set. Ends the rule for packets without a connection. */
export function ctStatusLacks(bits: number): Expression[] {
  return [conntrack(2), mask(uint32(bits)), compare(uint32(0))];
}

/** Goes on when one of the status bits is set. Packets without a connection have none. */
export function ctStatusHas(bits: number): Expression[] {
  return [conntrack(2), mask(uint32(bits)), compare(uint32(0), 'is-not')];
}

/** Goes on when the register is a member of the set. */
export function memberOf(set: string): Expression {
  return lookup(set);
}

/** Goes on when the register is no member of the set. */
export function notMemberOf(set: string): Expression {
  const FLAG_INVERTED = 1;
  return lookup(set, { type: 5, value: FLAG_INVERTED });
}

/** Looks the register up in a verdict map; goes on with the next rule when it is absent. */
export function verdictFrom(map: string): Expression {
  return lookup(map, { type: 3, value: REGISTER_VERDICT });
}

/** Replaces the register by its value in a map; ends the rule when it is absent. */
export function valueFrom(map: string): Expression {
  return lookup(map, { type: 3, value: REGISTER_1 });
}

/** Sets are few: those of the table. */
function lookup(set: string, more?: { readonly type: number; readonly value: number }): Expression {
  return keep(`lookup ${set} ${more?.type} ${more?.value}`, () =>
    expression(
      'lookup',
      textAttribute(1, set),
      attribute32(2, REGISTER_1),
      ...(more === undefined ? [] : [attribute32(more.type, more.value)]),
    ),
  );
}

/** Rewrites the destination to the IPv4 address and port in the register. */
export function destinationNat(): Expression {
  const NFPROTO_IPV4 = 2;
  return expression(
    'nat',
    attribute32(1, 1),
    attribute32(2, NFPROTO_IPV4),
    attribute32(3, REGISTER_1),
    attribute32(5, REGISTER_1_SECOND_WORD),
  );
}

/** Rewrites the source to the address of the outgoing interface. */
export function masquerade(): Expression {
  return expression('masq');
}

/** Refuses with "port unreachable" of the packet's own family. */
export function reject(): Expression {
  const ICMPX_UNREACHABLE = 2;
  const PORT_UNREACHABLE = 1;
  return expression('reject', attribute32(1, ICMPX_UNREACHABLE), attribute(2, uint8(PORT_UNREACHABLE)));
}

/** Refuses a segment of TCP with a reset, as a closed port does. Only for what is TCP. */
export function resetConnection(): Expression {
  const TCP_RESET = 1;
  return expression('reject', attribute32(1, TCP_RESET));
}

/** Counts packets and bytes and goes on. */
export function counter(): Expression {
  return expression('counter');
}

/** Writes a line to the kernel's log and goes on. */
export function log(prefix: string): Expression {
  return expression('log', textAttribute(2, prefix));
}

/** An interface name as sets and comparisons hold it: 16 bytes, filled up with zeros. */
export function interfaceKey(name: string): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.write(name, 'latin1');
  return bytes;
}
