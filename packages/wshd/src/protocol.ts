/**
 * The private protocol with init, as `native/include/wshd_protocol.h` defines it. `protocol.test.ts` reads
 * that header and compares every number, so the two cannot drift apart.
 */
import { decodeBytes, encodeBytes, type JobSpec, WardenError } from '@warden/interface';

export const PROTOCOL_VERSION = 1;
/** Bytes of one packet, either direction. */
export const MESSAGE_MAX = 65536;
/** Longer standard input travels as a sealed memfd. */
export const STDIN_INLINE_MAX = 32768;
/** Latest output kept per stream while no daemon is connected. */
export const RING_BYTES = 65536;
/** Bytes of ring content in one RING message. */
export const RING_CHUNK = 32768;
/** Descriptors in one message. */
export const FDS_MAX = 4;
/** SIGNAL: every process but init. */
export const ALL_JOBS = 0xffffffff;
/** Bit of the job ids that init gives to operators' jobs. */
export const OPERATOR_JOB = 0x80000000;

/** Message types. */
export const MESSAGE = {
  HELLO: 1,
  SPAWN: 2,
  SIGNAL: 3,
  FORGET: 4,
  WAIT_EMPTY: 5,
  END_INPUT: 6,
  RESIZE: 7,
  PREPARE: 8,
  ERROR: 100,
  WELCOME: 101,
  SPAWNED: 102,
  OK: 103,
  EXIT: 201,
  JOB: 203,
  RING: 204,
  READY: 205,
} as const;

/** Who connects. */
export const ROLE = { DAEMON: 1, OPERATOR: 2 } as const;

/** What an init can do besides, as WELCOME says. */
export const ABILITY = { CAN_PREPARE: 1, CAN_LEND: 2 } as const;

/** Flags of SPAWN, repeated by JOB. */
export const SPAWN_FLAG = {
  TTY: 1,
  DISCARD: 2,
  TREE: 4,
  STDIN_PIPE: 8,
  STDIN_FD: 16,
  PROGRAM_FD: 32,
  INPUT_OPEN: 64,
  LIVE: 128,
  ROOMY: 256,
} as const;

const HEADER_BYTES = 8;
/** The longest directory, and the number. */
const NEXT_WITHIN_BYTES = 4 + 4_096 + 4;
const NOTHING = new Uint8Array();
/** What stands before a text, the most that a UTF-16 unit takes in UTF-8, and all that is neither text nor input. */
const COUNT_BYTES = 4;
const CHARACTER_BYTES = 3;
const FIXED_BYTES = 1_024 + NEXT_WITHIN_BYTES;

/**
 * Builds one message in a buffer that is used again and again. The answer of {@link MessageWriter.finish} is
 * valid until the next `begin`; whoever keeps it copies it.
 */
export class MessageWriter {
  readonly #buffer = Buffer.allocUnsafe(MESSAGE_MAX);
  #at = 0;

  /** Bytes that the message may still get. */
  get room(): number {
    return MESSAGE_MAX - this.#at;
  }

  begin(type: number, sequence: number): this {
    this.#at = 0;
    return this.u16(PROTOCOL_VERSION).u16(type).u32(sequence);
  }

  u16(value: number): this {
    this.#at = this.#buffer.writeUInt16LE(value, this.#reserve(2));
    return this;
  }

  u32(value: number): this {
    this.#at = this.#buffer.writeUInt32LE(value, this.#reserve(4));
    return this;
  }

  i32(value: number): this {
    this.#at = this.#buffer.writeInt32LE(value, this.#reserve(4));
    return this;
  }

  u64(value: bigint): this {
    this.#at = this.#buffer.writeBigUInt64LE(value, this.#reserve(8));
    return this;
  }

  bytes(value: Uint8Array): this {
    this.u32(value.length);
    this.#buffer.set(value, this.#reserve(value.length));
    this.#at += value.length;
    return this;
  }

  string(value: string): this {
    return this.bytes(encodeBytes(value));
  }

  /** As they are, without their number. */
  raw(value: Uint8Array): this {
    this.#buffer.set(value, this.#reserve(value.length));
    this.#at += value.length;
    return this;
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  #reserve(length: number): number {
    if (this.#at + length > MESSAGE_MAX) {
      throw new WardenError('INVALID_SPEC', `arguments and environment exceed ${MESSAGE_MAX} bytes`, {
        fields: { operation: 'encode', limit: MESSAGE_MAX },
      });
    }
    return this.#at;
  }
}

/** Reads one received message from its start. A message that is too short is `NATIVE_FAILED` with errno EPROTO. */
export class MessageReader {
  readonly #buffer: Buffer;
  #at = 0;
  readonly type: number;
  readonly sequence: number;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
    if (buffer.length < HEADER_BYTES) throw protocolError('message shorter than its header');
    const version = this.u16();
    if (version !== PROTOCOL_VERSION)
      throw protocolError(`init speaks protocol version ${version}, not ${PROTOCOL_VERSION}`);
    this.type = this.u16();
    this.sequence = this.u32();
  }

  /** Whether there is more to be read. */
  get hasMore(): boolean {
    return this.#at < this.#buffer.length;
  }

  u16(): number {
    return this.#buffer.readUInt16LE(this.#take(2));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#take(4));
  }

  i32(): number {
    return this.#buffer.readInt32LE(this.#take(4));
  }

  u64(): bigint {
    return this.#buffer.readBigUInt64LE(this.#take(8));
  }

  /** A copy: the receive buffer is used again. */
  bytes(): Buffer {
    const length = this.u32();
    const start = this.#take(length);
    return Buffer.from(this.#buffer.subarray(start, start + length));
  }

  string(): string {
    return decodeBytes(this.bytes());
  }

  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#buffer.length) throw protocolError('message shorter than its fields');
    this.#at = start + length;
    return start;
  }
}

/** Writes a SPAWN. `inlineStdin` false: the message is accompanied by the descriptor of the standard input. */
export function writeSpawn(
  writer: MessageWriter,
  sequence: number,
  spec: JobSpec,
  inlineStdin: boolean,
): Buffer {
  writer.begin(MESSAGE.SPAWN, sequence);
  return writeJob(writer, spec, inlineStdin).finish();
}

/** PREPARE: `spec` but for its number and its input. */
export function writePrepare(
  writer: MessageWriter,
  sequence: number,
  spec: JobSpec,
  milliseconds: number,
): Buffer {
  writer.begin(MESSAGE.PREPARE, sequence).u32(milliseconds);
  return writeJob(writer, { ...spec, id: 0, stdin: NOTHING }, true).finish();
}

/** Whether the standard input has its place in the message, beside the arguments and variables. */
export function isInputInline({ stdin, argv, environment }: JobSpec): boolean {
  if (stdin.length === 0) return true;
  if (stdin.length > STDIN_INLINE_MAX) return false;
  const texts = [...argv, ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)];
  const room = MESSAGE_MAX - FIXED_BYTES - stdin.length - COUNT_BYTES * texts.length;
  // most jobs have few and short ones, and need not be encoded twice
  const characters = texts.reduce((sum, { length }) => sum + length, 0);
  if (characters * CHARACTER_BYTES <= room) return true;
  return texts.reduce((sum, text) => sum + encodeBytes(text).length, 0) <= room;
}

function writeJob(writer: MessageWriter, spec: JobSpec, inlineStdin: boolean): MessageWriter {
  const flags =
    (spec.discardOutput ? SPAWN_FLAG.DISCARD : 0) |
    (spec.trackTree ? SPAWN_FLAG.TREE : 0) |
    (spec.isLive === true ? SPAWN_FLAG.LIVE : 0) |
    (spec.hasRoom === true ? SPAWN_FLAG.ROOMY : 0) |
    (spec.openInput === true ? SPAWN_FLAG.STDIN_PIPE : 0) |
    (spec.terminal === undefined ? 0 : SPAWN_FLAG.TTY) |
    (inlineStdin ? 0 : SPAWN_FLAG.STDIN_FD);
  writer
    .u32(spec.id)
    .u32(flags)
    .u16(spec.terminal?.rows ?? 0)
    .u16(spec.terminal?.columns ?? 0)
    .string(spec.user)
    .u32(spec.argv.length);
  for (const argument of spec.argv) writer.string(argument);
  const environment = Object.entries(spec.environment);
  writer.u32(environment.length);
  for (const [name, value] of environment) writer.string(`${name}=${value}`);
  writer.raw(limitsOf(spec.rlimits));
  writer.bytes(inlineStdin ? spec.stdin : NOTHING);
  // where there is no room for it, nothing is expected
  const nextWithinMs = writer.room < NEXT_WITHIN_BYTES ? undefined : spec.nextWithinMs;
  if (spec.directory !== undefined || nextWithinMs !== undefined) writer.string(spec.directory ?? '');
  if (nextWithinMs !== undefined) writer.u32(nextWithinMs);
  return writer;
}

/** Most jobs have the same list: to write its 64-bit numbers takes longer than everything else of the message. */
const writtenLimits = new WeakMap<JobSpec['rlimits'], Uint8Array>();

function limitsOf(rlimits: JobSpec['rlimits']): Uint8Array {
  let written = writtenLimits.get(rlimits);
  if (written === undefined) {
    const view = new DataView(new ArrayBuffer(4 + 20 * rlimits.length));
    view.setUint32(0, rlimits.length, true);
    rlimits.forEach(({ resource, soft, hard }, index) => {
      const at = 4 + 20 * index;
      view.setUint32(at, resource, true);
      view.setBigUint64(at + 4, soft, true);
      view.setBigUint64(at + 12, hard, true);
    });
    written = new Uint8Array(view.buffer);
    if (Object.isFrozen(rlimits)) writtenLimits.set(rlimits, written);
  }
  return written;
}

export function protocolError(text: string): WardenError {
  return new WardenError('NATIVE_FAILED', text, { fields: { operation: 'decode', errno: 'EPROTO' } });
}
