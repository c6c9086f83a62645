/**
 * Work on files inside: `warden-copy files`, which runs in the container as one of its users, and frames on
 * one socket to it (native/copy/files.h). What it says is checked here; nothing is opened.
 */
import net from 'node:net';
import {
  type DirectoryEntry,
  decodeBytes,
  type FileAnswer,
  type FileChange,
  type FileChannel,
  type FileTask,
  type FileType,
  WardenError,
} from '@warden/interface';
import { closeDescriptor, ERRNO_NAMES, makeSocketPair, spawnProcess } from '@warden/native';
import type { CopyProgram } from './copy-program.ts';
import { adviceIfDenied, isDenied } from './denied-inside.ts';
import { HelperProcess } from './helper-process.ts';
import { InsideHelper } from './inside-helper.ts';

const PROGRAM_NAME = 'warden-copy';
const HEADER_BYTES = 8;
/** Largest payload of a frame. */
export const FRAME_MAX = 65_536;
/** Kinds of frames, as in native/copy/files.h. */
export const FRAME = { DATA: 1, ENTRY: 2, CHANGE: 3, END: 4, ERROR: 5 } as const;
const ENTRY_BYTES = 40;
const WATCHING = 0;
const CHANGES: readonly FileChange['kind'][] = [
  'created',
  'modified',
  'written',
  'attributes',
  'removed',
  'overflow',
];
const TYPES: ReadonlyMap<number, FileType> = new Map([
  [0o010000, 'fifo'],
  [0o020000, 'character-device'],
  [0o040000, 'directory'],
  [0o060000, 'block-device'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
  [0o140000, 'socket'],
] as const);
/** Of the caller's own making: correct it and repeat. */
const SPEC_ERRORS: ReadonlySet<string> = new Set([
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'ELOOP',
  'EINVAL',
  'EEXIST',
  'ENOTEMPTY',
  'ENAMETOOLONG',
  'ENOTSUP',
  'EOPNOTSUPP',
]);

/** What ends when the channel does. */
interface Helper {
  complaint(): string;
  end(): Promise<void>;
}

/** In the container whose init listens at `socketPath`. Errors: `NATIVE_FAILED`, `UNAVAILABLE`, `TIMEOUT`. */
export function openFiles(task: FileTask, program: CopyProgram, socketPath: string): Promise<FileChannel> {
  const argv = argumentsOf(task);
  return open(task, (socket) =>
    InsideHelper.start({ socketPath, argv, user: task.user, socket, openProgram: () => program.open() }),
  );
}

/** Below the directory `root`, which acts as `/`, as the daemon's user. Errors: `NATIVE_FAILED`. */
export function openPlainFiles(task: FileTask, program: CopyProgram, root: string): Promise<FileChannel> {
  const argv = [...argumentsOf(task), root];
  return open(task, async (socket) => {
    try {
      const pid = spawnProcess({
        path: program.path,
        argv,
        environment: {},
        cwd: '/',
        descriptors: [[socket, 0]],
      });
      const helper = new HelperProcess(pid);
      return { complaint: () => '', end: () => helper.end() };
    } finally {
      closeDescriptor(socket);
    }
  });
}

function argumentsOf({ operation, path, offset, length, mode }: FileTask): string[] {
  const first = operation === 'write' ? mode : offset;
  return [PROGRAM_NAME, 'files', operation, path, first?.toString() ?? '-', length?.toString() ?? '-'];
}

/** `start` owns its socket. */
async function open(task: FileTask, start: (socket: number) => Promise<Helper>): Promise<FileChannel> {
  const [ours, theirs] = makeSocketPair('stream');
  let helper: Helper;
  try {
    helper = await start(theirs);
  } catch (error) {
    closeDescriptor(ours);
    throw error;
  }
  const socket = new net.Socket({ fd: ours, readable: true, writable: true, allowHalfOpen: true });
  return new HelperChannel(task, socket, helper);
}

class HelperChannel implements FileChannel {
  readonly #task: FileTask;
  readonly #socket: net.Socket;
  readonly #helper: Helper;
  #closing: Promise<void> | undefined;

  constructor(task: FileTask, socket: net.Socket, helper: Helper) {
    this.#task = task;
    this.#socket = socket;
    this.#helper = helper;
    // what matters of a broken socket is that it has ended, which answers() tells
    socket.on('error', () => {});
  }

  async *answers(): AsyncGenerator<FileAnswer, void, undefined> {
    const reader = new FrameReader();
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        for (const { type, payload } of reader.push(chunk)) {
          if (type === FRAME.END) return;
          if (type === FRAME.ERROR) throw failure(this.#task, payload);
          yield answer(type, payload);
        }
      }
    } catch (error) {
      if (error instanceof WardenError) throw error;
      throw this.#wordless(error);
    }
    throw this.#wordless(undefined);
  }

  send(bytes: Uint8Array): Promise<void> {
    return this.#write(Buffer.concat([header(FRAME.DATA, bytes.length), bytes]));
  }

  finish(): Promise<void> {
    return this.#write(header(FRAME.END, 0));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#socket.destroy();
    await this.#helper.end();
  }

  #write(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed || !this.#socket.writable) resolve();
      else this.#socket.write(bytes, () => resolve());
    });
  }

  #wordless(cause: unknown): WardenError {
    const { operation, path } = this.#task;
    return new WardenError('UNAVAILABLE', `${operation} ${path}: the program inside ended without a word`, {
      cause,
      fields: { operation, object: path },
    });
  }
}

/** Cuts bytes into frames. Errors: `NATIVE_FAILED` with errno EPROTO. */
export class FrameReader {
  #held: Buffer = Buffer.alloc(0);

  /** The frames that are complete now. Their payloads are views into the chunk. */
  *push(chunk: Buffer): Generator<{ readonly type: number; readonly payload: Buffer }, void, undefined> {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    while (this.#held.length >= HEADER_BYTES) {
      const type = this.#held.readUInt32LE(0);
      const length = this.#held.readUInt32LE(4);
      if (length > FRAME_MAX) throw nonsense(`a frame of ${length} bytes`);
      if (this.#held.length < HEADER_BYTES + length) return;
      const payload = this.#held.subarray(HEADER_BYTES, HEADER_BYTES + length);
      this.#held = this.#held.subarray(HEADER_BYTES + length);
      yield { type, payload };
    }
  }
}

function header(type: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(length, 4);
  return bytes;
}

/** What a frame says. Errors: `NATIVE_FAILED` with errno EPROTO. */
export function answer(type: number, payload: Buffer): FileAnswer {
  if (type === FRAME.DATA) return { kind: 'data', data: payload };
  if (type === FRAME.ENTRY) return { kind: 'entry', entry: parseEntry(payload) };
  if (type === FRAME.CHANGE) return { kind: 'change', change: parseChange(payload) };
  throw nonsense(`a frame of type ${type}`);
}

function parseEntry(payload: Buffer): DirectoryEntry {
  if (payload.length < ENTRY_BYTES) throw nonsense('a short entry');
  const mode = payload.readUInt32LE(0);
  const type = TYPES.get(mode & 0o170000);
  const nameEnd = ENTRY_BYTES + payload.readUInt16LE(32);
  const targetEnd = nameEnd + payload.readUInt16LE(34);
  if (type === undefined || payload.length !== targetEnd)
    throw nonsense(
      `an entry that makes no sense: mode ${mode.toString(8)}, ${payload.length} bytes instead of ${targetEnd}`,
    );
  return {
    name: component(payload.subarray(ENTRY_BYTES, nameEnd)),
    type,
    mode: mode & 0o7777,
    uid: payload.readUInt32LE(4),
    gid: payload.readUInt32LE(8),
    size: payload.readBigUInt64LE(16),
    modifiedNs: payload.readBigInt64LE(24),
    ...(type === 'symlink' && { linkTarget: decodeBytes(payload.subarray(nameEnd, targetEnd)) }),
  };
}

function parseChange(payload: Buffer): FileChange {
  const kind = payload[0] === WATCHING ? 'watching' : CHANGES[(payload[0] ?? 0) - 1];
  if (kind === undefined) throw nonsense('a change of no kind');
  const name = component(payload.subarray(1));
  return { kind, ...(name !== '' && { name }) };
}

/** A name is one component of a path, or empty. */
function component(bytes: Buffer): string {
  if (bytes.includes(0) || bytes.includes(0x2f)) throw nonsense('a name that is none');
  return decodeBytes(bytes);
}

function failure({ operation, path, user }: FileTask, payload: Buffer): WardenError {
  const end = payload.indexOf(0, 4);
  if (end < 0) return nonsense('a failure that makes no sense');
  const number = payload.readInt32LE(0);
  const errno = ERRNO_NAMES[number] ?? String(number);
  const step = decodeBytes(payload.subarray(4, end));
  const object = decodeBytes(payload.subarray(end + 1));
  const code = isDenied(errno) ? 'FORBIDDEN' : SPEC_ERRORS.has(errno) ? 'INVALID_SPEC' : 'NATIVE_FAILED';
  const where = step === operation && object === path ? '' : `${step} ${object}: `;
  return new WardenError(code, `${operation} ${path}: ${where}${errno}`, {
    fields: { operation, step, object, errno, ...adviceIfDenied(errno, user) },
  });
}

function nonsense(text: string): WardenError {
  return new WardenError('NATIVE_FAILED', `the program inside sent ${text}`, {
    fields: { operation: 'files', errno: 'EPROTO' },
  });
}
