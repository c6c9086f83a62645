/**
 * The little of the domain name system that the resolver speaks (RFC 1035): one question, and answers of type
 * A and CNAME.
 *
 * Written here rather than taken from a library because everything read is hostile and almost nothing is
 * needed: what comes in is either understood to the last byte that matters or refused, and what goes on is
 * made anew from what was understood, so that no record that nobody looked at crosses the border.
 */
import { WardenError } from '@warden/interface';
import { bigEndian16, bigEndian32 } from './netlink-message.ts';

/** Types of records. */
export const DNS_TYPE = { a: 1, cname: 5, opt: 41 } as const;
/** Answer codes. */
export const DNS_CODE = {
  ok: 0,
  malformed: 1,
  failed: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const;

const CLASS_IN = 1;
const HEADER_BYTES = 12;
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
const MAX_POINTERS = 32;
const MAX_ALIASES = 16;
const MAX_RECORDS = 256;
/** A question with the longest name, and what else one may carry. */
export const MAX_QUERY_BYTES = 512;
/** So many fit into 512 bytes behind the longest name. */
export const MAX_ADDRESSES = 15;
const FLAG = {
  response: 0x8000,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
} as const;

/** A question, as a container asked it. */
export interface DnsQuery {
  readonly id: number;
  /** Lower case, without the last dot; bytes that no host name has as `\ddd`. */
  readonly name: string;
  readonly type: number;
  readonly isInternet: boolean;
  readonly isRecursionDesired: boolean;
  /** As it came: its case is the asker's secret. */
  readonly question: Buffer;
}

/** What a name leads to. */
export interface DnsResult {
  readonly code: number;
  /** There is more than fits into a datagram. */
  readonly isTruncated: boolean;
  readonly addresses: readonly number[];
  /** Seconds: the least of the records that led there. */
  readonly ttl: number;
}

/** A message that cannot be read; `code` is what to answer, `undefined`: nothing. */
export class DnsMalformed extends WardenError {
  readonly answer: Buffer | undefined;

  constructor(what: string, answer?: Buffer) {
    super('INVALID_SPEC', `not a message of the domain name system: ${what}`, {
      fields: { operation: 'read dns message', object: what },
    });
    this.answer = answer;
  }
}

interface ReadName {
  readonly name: string;
  /** Behind the name where it stood. */
  readonly next: number;
}

/**
 * Reads a name; `mayPoint`: it may go on earlier in the message. A pointer leads strictly backwards, so there
 * are no loops.
 */
function readName(bytes: Buffer, start: number, mayPoint: boolean): ReadName {
  const labels: string[] = [];
  let length = 1;
  let at = start;
  let limit = start;
  let next: number | undefined;
  for (let pointers = 0; ; ) {
    const size = byteAt(bytes, at);
    if (size === 0) {
      return { name: labels.join('.'), next: next ?? at + 1 };
    }
    if ((size & 0xc0) === 0xc0) {
      const target = ((size & 0x3f) << 8) | byteAt(bytes, at + 1);
      pointers += 1;
      if (!mayPoint || target >= limit || target < HEADER_BYTES || pointers > MAX_POINTERS)
        throw new DnsMalformed('a pointer that leads nowhere');
      next ??= at + 2;
      at = target;
      limit = target;
      continue;
    }
    if (size > MAX_LABEL_BYTES) throw new DnsMalformed('a label of an unknown kind');
    length += size + 1;
    if (length > MAX_NAME_BYTES) throw new DnsMalformed('a name that is too long');
    if (at + 1 + size > bytes.length) throw new DnsMalformed('a name that is cut off');
    labels.push(readLabel(bytes.subarray(at + 1, at + 1 + size)));
    at += size + 1;
  }
}

function readLabel(bytes: Buffer): string {
  let label = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte).toLowerCase();
    label += /[a-z0-9_-]/.test(character) ? character : `\\${String(byte).padStart(3, '0')}`;
  }
  return label;
}

function byteAt(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new DnsMalformed('it ends too early');
  return byte;
}

function need(bytes: Buffer, at: number, count: number): void {
  if (at + count > bytes.length) throw new DnsMalformed('it ends too early');
}

/** Reads a question. Errors: {@link DnsMalformed} with the answer to give, if any. */
export function readQuery(bytes: Buffer): DnsQuery {
  if (bytes.length < HEADER_BYTES || bytes.length > MAX_QUERY_BYTES)
    throw new DnsMalformed(`${bytes.length} bytes`);
  const [id, flags] = [bytes.readUInt16BE(0), bytes.readUInt16BE(2)];
  if ((flags & FLAG.response) !== 0) throw new DnsMalformed('an answer'); // answering answers would never end
  const refuse = (what: string, code: number): DnsMalformed =>
    new DnsMalformed(what, header({ id, code, opcode: (flags >> 11) & 0xf }));
  if ((flags & 0x7800) !== 0) throw refuse('an unknown operation', DNS_CODE.notImplemented);
  const counts = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  const [questions = 0, answers = 0, authorities = 0, additional = 0] = counts;
  if (questions !== 1 || answers !== 0 || authorities !== 0 || additional > 1)
    throw refuse('not one question', DNS_CODE.malformed);
  try {
    const { name, next } = readName(bytes, HEADER_BYTES, false);
    need(bytes, next, 4);
    const end = next + 4;
    if (additional === 1) readOptions(bytes, end);
    else if (end !== bytes.length) throw new DnsMalformed('more than a question');
    return {
      id,
      name,
      type: bytes.readUInt16BE(next),
      isInternet: bytes.readUInt16BE(next + 2) === CLASS_IN,
      isRecursionDesired: (flags & FLAG.recursionDesired) !== 0,
      question: Buffer.from(bytes.subarray(HEADER_BYTES, end)),
    };
  } catch (error) {
    if (error instanceof DnsMalformed) throw refuse(String(error.fields.object), DNS_CODE.malformed);
    throw error;
  }
}

/** The record by which an asker says what it can take (RFC 6891); nothing in it matters here. */
function readOptions(bytes: Buffer, at: number): void {
  const FIXED_BYTES = 11;
  need(bytes, at, FIXED_BYTES);
  const isOptions = bytes[at] === 0 && bytes.readUInt16BE(at + 1) === DNS_TYPE.opt;
  if (!isOptions || at + FIXED_BYTES + bytes.readUInt16BE(at + 9) !== bytes.length)
    throw new DnsMalformed('an additional record that is no option');
}

function header(fields: {
  readonly id: number;
  readonly code: number;
  readonly opcode?: number;
  readonly isRecursionDesired?: boolean;
  readonly questions?: number;
  readonly answers?: number;
}): Buffer {
  const { id, code, opcode = 0, isRecursionDesired = false, questions = 0, answers = 0 } = fields;
  const desired = isRecursionDesired ? FLAG.recursionDesired : 0;
  const flags = FLAG.response | (opcode << 11) | desired | FLAG.recursionAvailable | code;
  return Buffer.concat([id, flags, questions, answers, 0, 0].map(bigEndian16));
}

/**
 * The answer to a question. At most {@link MAX_ADDRESSES} addresses, all of the name that was asked for: who
 * asks need not know the aliases.
 */
export function answerMessage(
  query: DnsQuery,
  code: number,
  { addresses, ttl }: Pick<DnsResult, 'addresses' | 'ttl'> = { addresses: [], ttl: 0 },
): Buffer {
  const { id, isRecursionDesired, question } = query;
  const listed = addresses.slice(0, MAX_ADDRESSES);
  const NAME_OF_QUESTION = 0xc000 | HEADER_BYTES;
  const records = listed.map((address) =>
    Buffer.concat([
      ...[NAME_OF_QUESTION, DNS_TYPE.a, CLASS_IN].map(bigEndian16),
      bigEndian32(ttl),
      bigEndian16(4),
      bigEndian32(address),
    ]),
  );
  const head = header({ id, code, isRecursionDesired, questions: 1, answers: listed.length });
  return Buffer.concat([head, question, ...records]);
}

/** A question for the addresses of a name, in lower case. */
export function questionMessage(id: number, name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from(label, 'latin1'));
  const parts = labels.flatMap((label) => [Buffer.of(label.length), label]);
  return Buffer.concat([
    ...[id, FLAG.recursionDesired, 1, 0, 0, 0].map(bigEndian16),
    ...parts,
    Buffer.of(0),
    ...[DNS_TYPE.a, CLASS_IN].map(bigEndian16),
  ]);
}

/** Reads the answer to that question. Errors: {@link DnsMalformed}, also for the answer to another one. */
export function readAnswer(bytes: Buffer, asked: { readonly id: number; readonly name: string }): DnsResult {
  need(bytes, 0, HEADER_BYTES);
  const flags = bytes.readUInt16BE(2);
  if (bytes.readUInt16BE(0) !== asked.id || (flags & FLAG.response) === 0 || (flags & 0x7800) !== 0)
    throw new DnsMalformed('no answer to this question');
  if (bytes.readUInt16BE(4) !== 1) throw new DnsMalformed('not one question');
  const question = readName(bytes, HEADER_BYTES, false);
  need(bytes, question.next, 4);
  const isSame =
    question.name === asked.name &&
    bytes.readUInt16BE(question.next) === DNS_TYPE.a &&
    bytes.readUInt16BE(question.next + 2) === CLASS_IN;
  if (!isSame) throw new DnsMalformed('the answer to another question');
  const isTruncated = (flags & FLAG.truncated) !== 0;
  // of a cut answer, nothing is believed
  const found = isTruncated
    ? { addresses: [], ttl: 0 }
    : follow(asked.name, readRecords(bytes, question.next + 4, bytes.readUInt16BE(6)));
  return { code: flags & 0xf, isTruncated, ...found };
}

interface DnsRecords {
  readonly aliases: Map<string, { readonly target: string; readonly ttl: number }>;
  readonly addresses: Map<string, { readonly address: number; readonly ttl: number }[]>;
}

function readRecords(bytes: Buffer, start: number, count: number): DnsRecords {
  if (count > MAX_RECORDS) throw new DnsMalformed(`${count} records`);
  const records: DnsRecords = { aliases: new Map(), addresses: new Map() };
  let at = start;
  for (let read = 0; read < count; read++) {
    const owner = readName(bytes, at, true);
    need(bytes, owner.next, 10);
    const [type, kind] = [bytes.readUInt16BE(owner.next), bytes.readUInt16BE(owner.next + 2)];
    const given = bytes.readUInt32BE(owner.next + 4);
    const ttl = given > 0x7fff_ffff ? 0 : given; // RFC 2181, 8
    const [data, length] = [owner.next + 10, bytes.readUInt16BE(owner.next + 8)];
    need(bytes, data, length);
    at = data + length;
    if (kind !== CLASS_IN) continue;
    if (type === DNS_TYPE.a) {
      if (length !== 4) throw new DnsMalformed('an address that is none');
      const list = records.addresses.get(owner.name) ?? [];
      records.addresses.set(owner.name, [...list, { address: bytes.readUInt32BE(data), ttl }]);
    } else if (type === DNS_TYPE.cname) {
      const target = readName(bytes, data, true);
      if (target.next !== at) throw new DnsMalformed('an alias that is none');
      records.aliases.set(owner.name, { target: target.name, ttl });
    }
  }
  return records;
}

/** Only what leads from the name, by aliases, to addresses: other records of the answer are nobody's business. */
function follow(asked: string, { aliases, addresses }: DnsRecords): Pick<DnsResult, 'addresses' | 'ttl'> {
  let name = asked;
  let ttl = 0x7fff_ffff;
  for (let steps = 0; steps <= MAX_ALIASES; steps++) {
    const alias = aliases.get(name);
    if (alias === undefined) {
      const found = addresses.get(name) ?? [];
      for (const one of found) ttl = Math.min(ttl, one.ttl);
      return { addresses: [...new Set(found.map(({ address }) => address))], ttl };
    }
    name = alias.target;
    ttl = Math.min(ttl, alias.ttl);
  }
  throw new DnsMalformed('aliases without an end');
}
