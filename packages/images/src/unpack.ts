/**
 * `warden-unpack` as a process: what an archive or a container has written is read by it alone, in a world
 * that holds nothing but the tree it makes. The daemon reads one line of its result.
 */
import net from 'node:net';
import { WardenError } from '@warden/interface';
import {
  closeDescriptor,
  ERRNO_NAMES,
  makePipe,
  makeSocketPair,
  openPidfd,
  reapLater,
  receiveOnlyMessage,
  signalPidfd,
  spawnProcess,
  waitForExit,
} from '@warden/native';
import { invalid, unsupported } from './failure.ts';

const SIGKILL = 9;
const RESULT_FD = 3;
const RESULT_BYTES = 8_192;
const EXIT_TIMEOUT_MS = 5_000;

/** What a tree takes. */
export interface UnpackedSize {
  readonly bytes: number;
  readonly entries: number;
  /** Devices and attributes that were left out. */
  readonly skipped: number;
  /** Nothing of the layers below it is to be seen. */
  readonly hidesBelow?: boolean;
}

/** A program that runs. */
export interface RunningUnpack {
  /** Its standard input; only where it reads one. */
  readonly input: net.Socket | undefined;
  /** Settles when it is gone. Errors: `INVALID_SPEC`, `UNSUPPORTED`, `POOL_EXHAUSTED`, `NATIVE_FAILED`. */
  readonly result: Promise<UnpackedSize>;
  /** Idempotent. */
  kill(): void;
}

/** Starts it. Errors: `NATIVE_FAILED`. */
export function startUnpack(program: string, words: readonly string[], takesInput: boolean): RunningUnpack {
  const [ours, theirs] = makeSocketPair('seqpacket');
  let readEnd: number | undefined;
  let writeEnd: number | undefined;
  let pid: number;
  try {
    if (takesInput) ({ read: readEnd, write: writeEnd } = makePipe());
    pid = spawnProcess({
      path: program,
      argv: ['warden-unpack', ...words],
      environment: {},
      cwd: '/',
      descriptors: [[theirs, RESULT_FD], ...(readEnd === undefined ? [] : [[readEnd, 0] as const])],
      newSession: true,
    });
  } catch (error) {
    closeDescriptor(ours);
    if (writeEnd !== undefined) closeDescriptor(writeEnd);
    throw error;
  } finally {
    closeDescriptor(theirs);
    if (readEnd !== undefined) closeDescriptor(readEnd);
  }
  return watch(pid, ours, writeEnd);
}

function watch(pid: number, channel: number, writeEnd: number | undefined): RunningUnpack {
  let pidfd: number;
  try {
    pidfd = openPidfd(pid);
  } catch (error) {
    process.kill(pid, 'SIGKILL'); // our child, not yet reaped: the number is its own
    closeDescriptor(channel);
    if (writeEnd !== undefined) closeDescriptor(writeEnd);
    reapLater(pid);
    throw error;
  }
  let isGone = false;
  const kill = (): void => {
    if (!isGone) signalPidfd(pidfd, SIGKILL);
  };
  // its end may come before that of what it reads: that is told by its result
  const input =
    writeEnd === undefined ? undefined : new net.Socket({ fd: writeEnd, readable: false, writable: true });
  input?.on('error', () => {});
  const run = async (): Promise<UnpackedSize> => {
    const line = await receiveOnlyMessage(channel, RESULT_BYTES);
    try {
      if (line === undefined) kill();
      while (!(await waitForExit(pidfd, EXIT_TIMEOUT_MS))) kill();
    } catch (error) {
      kill(); // nobody could wait for it
      throw error;
    } finally {
      isGone = true;
      closeDescriptor(pidfd);
      reapLater(pid);
      input?.destroy();
    }
    return parseResult(line?.toString());
  };
  const result = run();
  result.catch(() => {}); // whoever is interested awaits it
  return { input, result, kill };
}

function parseResult(line: string | undefined): UnpackedSize {
  if (line === undefined)
    throw new WardenError(
      'NATIVE_FAILED',
      'warden-unpack ended without a result: it was killed, or tried what it may not',
      {
        fields: { operation: 'unpack', errno: 'EPIPE' },
      },
    );
  const [verdict, ...fields] = line.split('\0');
  if (verdict === 'ok') {
    const [bytes, entries, skipped, hidesBelow] = fields.map(Number);
    return {
      bytes: bytes!,
      entries: entries!,
      skipped: skipped!,
      ...(hidesBelow === 1 && { hidesBelow: true }),
    };
  }
  const [number, operation = '', object = ''] = fields;
  const errno = ERRNO_NAMES[Number(number)] ?? `errno ${number}`;
  const message = `cannot ${operation} ${object}: ${errno}`.replace(/ +:/, ':');
  const details = { operation, object, errno };
  if (errno === 'EDQUOT' && operation === 'count')
    throw new WardenError(
      'POOL_EXHAUSTED',
      `the image does not fit into the store: ${object} (images.max_size, images.max_entries)`,
      { fields: { ...details, pool: 'images' } },
    );
  if (errno === 'EOPNOTSUPP') throw unsupported(message, details);
  if (['EINVAL', 'EBADMSG', 'ENAMETOOLONG', 'E2BIG', 'ENOENT', 'ELOOP', 'ENOTDIR'].includes(errno))
    throw invalid(message, details);
  throw new WardenError('NATIVE_FAILED', message, { fields: details });
}
