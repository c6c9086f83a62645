/** Encodes and decodes by table. Presence is kept: an absent field is an absent property (spec protocol.md 4). */
import { fromBytes, toBytes } from './byte-string.ts';
import type { FieldDescriptor, MessageDescriptor } from './descriptor.ts';
import { ProtocolError } from './protocol-error.ts';
import { BLOCK, VARINT, WireReader, WireWriter } from './wire.ts';

const MAX_UINT32 = 0xffffffff;
const MAX_UINT64 = (1n << 64n) - 1n;

/**
 * Encodes `value`, fields in ascending order, repeated scalars unpacked. Properties that no field has are ignored.
 * Throws a {@link ProtocolError} that names the field: required and absent, wrong type, out of range.
 */
export function encode<T>(descriptor: MessageDescriptor<T>, value: T): Uint8Array {
  return encodeToWriter(descriptor, value).finish();
}

/** As {@link encode}, in pieces: large values are not copied. */
export function encodeToWriter<T>(descriptor: MessageDescriptor<T>, value: T): WireWriter {
  const writer = new WireWriter();
  const properties = value as Readonly<Record<string, unknown>>;
  for (const field of descriptor.fields) {
    const property = properties[field.name];
    if (property === undefined || property === null) {
      if (field.label === 'required')
        throw new ProtocolError('message', missing(descriptor, field), field.name);
    } else if (field.label === 'repeated') {
      if (!Array.isArray(property)) throw wrong(field, 'a list', property);
      for (const item of property) encodeField(writer, field, item);
    } else {
      encodeField(writer, field, property);
    }
  }
  return writer;
}

function encodeField(writer: WireWriter, field: FieldDescriptor, value: unknown): void {
  switch (field.type) {
    case 'uint32':
      if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > MAX_UINT32)
        throw wrong(field, 'an integer from 0 to 4294967295', value);
      writer.number(field.number, value as number);
      break;
    case 'uint64':
      writeUint64(writer, field, value);
      break;
    case 'int32':
      if (!Number.isInteger(value) || (value as number) < -0x80000000 || (value as number) > 0x7fffffff)
        throw wrong(field, 'an integer of 32 bits', value);
      writeVarint(writer, field, BigInt(value as number));
      break;
    case 'bool':
      if (typeof value !== 'boolean') throw wrong(field, 'true or false', value);
      writer.number(field.number, value ? 1 : 0);
      break;
    case 'enum':
      if (!Object.values(field.enum!.values).includes(value as number))
        throw wrong(field, `a number of ${field.enum!.name}`, value);
      writeVarint(writer, field, value as number);
      break;
    case 'string':
      if (typeof value !== 'string') throw wrong(field, 'a string', value);
      if (!writer.ascii(field.number, value)) writeBlock(writer, field, stringBytes(field, value));
      break;
    case 'bytes':
      if (!(value instanceof Uint8Array)) throw wrong(field, 'a Uint8Array', value);
      writeBlock(writer, field, value);
      break;
    case 'message':
      if (typeof value !== 'object') throw wrong(field, 'an object', value);
      writer.tag(field.number, BLOCK);
      writer.blockOf(nested(field, () => encodeToWriter(field.message!, value as object)));
      break;
  }
}

/** By way of a number where that is exact: what compares bigints takes several times as long. */
function writeUint64(writer: WireWriter, field: FieldDescriptor, value: unknown): void {
  const near = typeof value === 'bigint' ? Number(value) : Number.NaN;
  if (near >= 0 && near <= Number.MAX_SAFE_INTEGER) {
    writer.number(field.number, near);
    return;
  }
  if (typeof value !== 'bigint' || value < 0n || value > MAX_UINT64)
    throw wrong(field, 'a bigint from 0 to 2^64-1', value);
  writeVarint(writer, field, value);
}

function stringBytes(field: FieldDescriptor, value: string): Uint8Array {
  try {
    return toBytes(value);
  } catch {
    throw wrong(field, 'a string that stands for bytes', value);
  }
}

function writeVarint(writer: WireWriter, field: FieldDescriptor, value: number | bigint): void {
  writer.tag(field.number, VARINT);
  writer.varint(value);
}

function writeBlock(writer: WireWriter, field: FieldDescriptor, bytes: Uint8Array): void {
  writer.tag(field.number, BLOCK);
  writer.block(bytes);
}

/** What the bytes of somebody who is not trusted may ask for. */
export interface DecodeLimits {
  /** Fields in the message and all that lie in it, known or not. Each is work, however few bytes it has. */
  readonly fields?: number;
  /**
   * Bytes of all `string` fields together; they become JavaScript strings. `bytes` fields are views and as
   * large as the frame.
   */
  readonly stringBytes?: number;
}

/** The limits while a message is decoded, counted down. */
interface Allowance {
  readonly limits: Required<DecodeLimits>;
  fields: number;
  stringBytes: number;
}

/**
 * Decodes a message. Unknown fields are skipped, the last of several values of a singular field wins, packed
 * and unpacked lists are both understood, numbers of open enums are kept. `bytes` fields are views into the
 * input. Throws a {@link ProtocolError}: truncated, wrong wire type, required field absent, over a limit.
 * Nesting is as deep as the tables, so it is bounded.
 */
export function decode<T>(
  descriptor: MessageDescriptor<T>,
  bytes: Uint8Array,
  { fields = Number.POSITIVE_INFINITY, stringBytes = Number.POSITIVE_INFINITY }: DecodeLimits = {},
): T {
  return decodeWithin(descriptor, bytes, { limits: { fields, stringBytes }, fields, stringBytes });
}

function decodeWithin<T>(descriptor: MessageDescriptor<T>, bytes: Uint8Array, allowance: Allowance): T {
  const reader = new WireReader(bytes);
  const result: Record<string, unknown> = {};
  const { byNumber, required } = tableOf(descriptor);
  while (!reader.isAtEnd) {
    spend(allowance);
    const tag = reader.tag();
    const wireType = tag % 8;
    const field = byNumber.get((tag - wireType) / 8);
    if (field === undefined) reader.skip(wireType);
    else if (wireType === VARINT && field.type === 'uint64' && field.label !== 'repeated')
      result[field.name] = BigInt(reader.varint());
    else decodeField(reader, { field, wireType, allowance }, result);
  }
  for (const field of required) {
    if (result[field.name] === undefined)
      throw new ProtocolError('message', missing(descriptor, field), field.name);
  }
  return result as T;
}

/** What a decoder looks for. */
interface Table {
  readonly byNumber: ReadonlyMap<number, FieldDescriptor>;
  readonly required: readonly FieldDescriptor[];
}

/** Statistics have dozens of fields: a search for each would take longer than everything else. */
const tables = new WeakMap<MessageDescriptor, Table>();

function tableOf(descriptor: MessageDescriptor): Table {
  let known = tables.get(descriptor);
  if (known === undefined) {
    known = {
      byNumber: new Map(descriptor.fields.map((field) => [field.number, field])),
      required: descriptor.fields.filter(({ label }) => label === 'required'),
    };
    tables.set(descriptor, known);
  }
  return known;
}

function spend(allowance: Allowance): void {
  if (allowance.fields-- <= 0)
    throw new ProtocolError('message', `the message has more than ${allowance.limits.fields} fields`);
}

/** A field as it was met. */
interface MetField {
  readonly field: FieldDescriptor;
  readonly wireType: number;
  readonly allowance: Allowance;
}

function decodeField(
  reader: WireReader,
  { field, wireType, allowance }: MetField,
  result: Record<string, unknown>,
): void {
  const { type } = field;
  const expected = type === 'string' || type === 'bytes' || type === 'message' ? BLOCK : VARINT;
  const isPacked = field.label === 'repeated' && expected === VARINT && wireType === BLOCK;
  if (wireType !== expected && !isPacked) {
    throw new ProtocolError(
      'message',
      `field ${field.name}: wire type ${wireType} where ${expected} is expected`,
      field.name,
    );
  }
  if (field.label !== 'repeated') {
    result[field.name] = decodeValue(reader, field, allowance);
    return;
  }
  result[field.name] ??= [];
  const list = result[field.name] as unknown[];
  if (isPacked) {
    const packed = new WireReader(reader.block());
    while (!packed.isAtEnd) {
      spend(allowance);
      list.push(decodeValue(packed, field, allowance));
    }
  } else {
    list.push(decodeValue(reader, field, allowance));
  }
}

function decodeValue(reader: WireReader, field: FieldDescriptor, allowance: Allowance): unknown {
  switch (field.type) {
    case 'uint32':
      // not reduced to 32 bits, as protobuf says: job 2^32 + 1 is to be no job, and not job 1 (spec protocol.md 4)
      return Number(reader.varint());
    case 'uint64':
      return BigInt(reader.varint());
    case 'int32':
    case 'enum':
      return Number(BigInt.asIntN(32, BigInt(reader.varint())));
    case 'bool':
      return BigInt(reader.varint()) !== 0n;
    case 'string':
      return fromBytes(spendBytes(reader.block(), field, allowance));
    case 'bytes':
      return reader.block();
    case 'message':
      return nested(field, () => decodeWithin(field.message!, reader.block(), allowance));
  }
}

function spendBytes(bytes: Uint8Array, field: FieldDescriptor, allowance: Allowance): Uint8Array {
  allowance.stringBytes -= bytes.length;
  if (allowance.stringBytes >= 0) return bytes;
  throw new ProtocolError(
    'message',
    `field ${field.name}: the strings of the message have more than ${allowance.limits.stringBytes} bytes together`,
    field.name,
  );
}

/** Puts the field's name before those of an inner error. */
function nested<R>(field: FieldDescriptor, action: () => R): R {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ProtocolError(
      'message',
      `${field.name}: ${error.message}`,
      error.field === undefined ? field.name : `${field.name}.${error.field}`,
    );
  }
}

function missing(descriptor: MessageDescriptor, field: FieldDescriptor): string {
  return `${descriptor.name}: required field ${field.name} is missing`;
}

function wrong(field: FieldDescriptor, expected: string, found: unknown): ProtocolError {
  const shown = typeof found === 'bigint' ? `${found}n` : (JSON.stringify(found) ?? String(found));
  return new ProtocolError(
    'message',
    `field ${field.name}: expected ${expected}, found ${shown.length > 60 ? `${shown.slice(0, 60)}…` : shown}`,
    field.name,
  );
}
