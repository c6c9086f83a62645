/** Opening the socket, bounded in time. */
import net from 'node:net';
import { onAbort, WardenError } from '@warden/interface';

/** Where and how long to dial. */
export interface DialOptions {
  /** Path of the daemon's unix socket. */
  readonly path: string;
  /** Gives the attempt up with `ABORTED`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until `TIMEOUT`; default 5000. */
  readonly connectTimeoutMs?: number | undefined;
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5000;
/** A socket that does not wait is told EAGAIN by a full queue of a unix socket (connect(2)), where others wait. */
const AGAIN_MS = 10;

/**
 * Every read of every connection lands here, and is taken in before the next one: memory of its own for each
 * would cost as much as the reading. As large as several pieces of output with what lies around them.
 */
const landing = new Uint8Array(262_144);

/**
 * A connected socket whose bytes go to `receive`, in memory that is valid during the call. Nothing is read
 * before `socket.resume()`.
 */
export interface Line {
  readonly socket: net.Socket;
  receive: (bytes: Uint8Array) => void;
}

/**
 * Connects to the daemon's socket. Where others stand in line before it, more than the kernel lets wait, it
 * tries again until its time is over.
 *
 * Errors: `UNAVAILABLE` (nobody listens; `fields.errno`), `TIMEOUT`, `ABORTED` (cause is the signal's
 * reason).
 */
export function dial(options: DialOptions): Promise<Line> {
  const { path, signal } = options;
  const timeoutMs = options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(aborted(path, signal));
      return;
    }
    let giveUp = (): void => {};
    let again: NodeJS.Timeout | undefined;
    let lastLook: NodeJS.Immediate | undefined;
    let leave = (): void => {};
    const settle = (): void => {
      clearTimeout(timer);
      clearTimeout(again);
      clearImmediate(lastLook);
      leave();
      giveUp();
    };
    const fail = (error: WardenError): void => {
      settle();
      reject(error);
    };
    const timer = setTimeout(() => {
      // it may be connected since long, and this program have been busy
      lastLook = setImmediate(() => fail(timedOut(path, timeoutMs)));
    }, timeoutMs);
    leave = onAbort(signal, () => fail(aborted(path, signal!)));
    const attempt = (): void => {
      giveUp = open(path, {
        connected: (line) => {
          giveUp = () => {};
          settle();
          resolve(line);
        },
        refused: (cause) => {
          if (cause.code === 'EAGAIN') again = setTimeout(attempt, AGAIN_MS);
          else fail(unreachable(path, cause));
        },
      });
    };
    attempt();
  });
}

/** One attempt: calls one of the two, once, unless the function that it answers is called before. */
function open(
  path: string,
  then: {
    readonly connected: (line: Line) => void;
    readonly refused: (cause: NodeJS.ErrnoException) => void;
  },
): () => void {
  const socket = net.connect({
    path,
    onread: {
      buffer: landing,
      callback: (length, bytes) => {
        line.receive(bytes.subarray(0, length));
        return true;
      },
    },
  });
  const line: Line = { socket, receive: () => {} };
  const leave = (): void => {
    socket.removeListener('connect', onConnect);
    socket.removeListener('error', onError);
  };
  const giveUp = (): void => {
    leave();
    // A destroyed socket may still report the failure that destroyed it; nobody is interested any more.
    socket.on('error', () => undefined);
    socket.destroy();
  };
  const onConnect = (): void => {
    leave();
    socket.pause(); // as soon as it is connected it reads, whoever listens
    then.connected(line);
  };
  const onError = (cause: NodeJS.ErrnoException): void => {
    giveUp();
    then.refused(cause);
  };
  socket.once('connect', onConnect);
  socket.once('error', onError);
  return giveUp;
}

function aborted(path: string, signal: AbortSignal): WardenError {
  return new WardenError('ABORTED', `connecting to ${path} was given up`, {
    cause: signal.reason,
    fields: { operation: 'connect', object: path },
  });
}

function timedOut(path: string, timeoutMs: number): WardenError {
  return new WardenError('TIMEOUT', `no connection to ${path} within ${timeoutMs} ms`, {
    fields: { operation: 'connect', object: path, timeoutMs },
  });
}

function unreachable(path: string, cause: NodeJS.ErrnoException): WardenError {
  return new WardenError('UNAVAILABLE', `cannot connect to ${path}: ${cause.code ?? cause.message}`, {
    cause,
    fields: { operation: 'connect', object: path, errno: cause.code ?? 'unknown' },
  });
}
