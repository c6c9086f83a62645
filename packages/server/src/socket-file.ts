/**
 * The socket in the file system: never two daemons on one path, nothing deleted that is not ours, never
 * connectable before its mode is right.
 */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { type Logger, WardenError } from '@warden/interface';

/** `sun_path` without its terminating zero (unix(7)). */
const MAX_PATH_BYTES = 107;

/** The setting of the socket for clients, for messages. */
const CLIENT_SOCKET = 'unix_domain_path';

/** How often it is looked whether the socket is there. */
const LOOK_MS = 1_000;

/**
 * Makes sure that a socket can be made at `path`, whoever listens there now. `key`: the setting that names
 * the path. Errors: `ALREADY_EXISTS` for something else that is there, `INVALID_SPEC` for a path that is too
 * long or has no directory.
 */
export function requireSocketPlace(path: string, key: string = CLIENT_SOCKET): void {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new WardenError(
      'INVALID_SPEC',
      `the socket path is longer than ${MAX_PATH_BYTES} bytes: ${path}; configure another ${key}`,
      { fields: { operation: 'listen', object: path } },
    );
  }
  const directory = dirname(path);
  if (!fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new WardenError(
      'NATIVE_FAILED',
      `cannot listen on ${path}: its directory is missing (ENOENT); make ${directory} or configure another ${key}`,
      { fields: { operation: 'listen', object: path, errno: 'ENOENT' } },
    );
  }
  const facts = fs.lstatSync(path, { throwIfNoEntry: false });
  if (facts && !facts.isSocket())
    throw taken(path, `${path} exists and is no socket; remove it or configure another ${key}`);
}

/**
 * Makes sure that nobody listens at `path`. Errors: as {@link requireSocketPlace}, and `ALREADY_EXISTS` while
 * somebody does.
 */
export async function requireFreePath(path: string, key: string = CLIENT_SOCKET): Promise<void> {
  requireSocketPlace(path, key);
  if (!fs.existsSync(path)) return;
  if (await answers(path))
    throw taken(
      path,
      `the socket ${path} is in use by a running daemon; stop it or configure another ${key}`,
    );
}

/**
 * Listens at `path` with exactly `mode` and answers the inode; replaces a socket nobody listens on. Errors:
 * `NATIVE_FAILED`.
 */
export async function listenAt(server: net.Server, path: string, mode: number): Promise<number> {
  // a name nobody else uses: nothing of the directory is touched; short, because it must fit into an address too
  const temporary = join(dirname(path), `.w${randomBytes(3).toString('hex')}`);
  const umask = process.umask(0o177);
  try {
    // bind(2) happens in the call, so the umask keeps everybody else out until chmod
    server.listen(temporary);
  } finally {
    process.umask(umask);
  }
  try {
    await once(server, 'listening');
    fs.chmodSync(temporary, mode);
    fs.renameSync(temporary, path);
    return fs.lstatSync(path).ino;
  } catch (cause) {
    // closes nothing if it does not listen; else it removes the temporary name as well
    server.close();
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new WardenError('NATIVE_FAILED', `cannot listen on ${path}: ${message}`, {
      cause,
      fields: { operation: 'listen', object: path, errno: code },
    });
  }
}

/** A socket that a server listens on. Both methods are idempotent, never throw, and leave the server alone. */
export interface KeptSocket {
  /** Gives it up as it is: it is not put back any more. */
  leave(): void;
  /** The same, and removes it if it is still this server's. */
  remove(): void;
}

/**
 * Listens as `listenAt` does, and once more where somebody removes the socket, as whoever tidies up a
 * directory: nobody could reach the server any more, and it would only be found by a restart. Connections
 * stay. What somebody else has put in its place is left alone, until that is gone. Errors: those of
 * `listenAt`, the first time; later ones are told the logger, and it is tried again.
 */
export async function keepListeningAt(
  server: net.Server,
  path: string,
  { mode, logger }: { readonly mode: number; readonly logger: Logger },
): Promise<KeptSocket> {
  let inode = await listenAt(server, path, mode);
  /** What was last told; each is told once. */
  let told: 'taken' | 'failed' | undefined;
  let isOver = false;
  let isBusy = false;
  const removeOwn = (): void => {
    try {
      removeSocket(path, inode);
    } catch (error) {
      // whoever starts next replaces it; the server has more to end than this
      logger.warn('socket-not-removed', { path, error });
    }
  };
  const listenAgain = async (): Promise<void> => {
    // who had connected before it was removed has been accepted: this is behind the poll for it
    await new Promise((resolve) => setImmediate(resolve));
    if (isOver) return;
    if (server.listening) server.close(); // accepts nobody any more; connections are not touched
    try {
      inode = await listenAt(server, path, mode);
      told = undefined;
      logger.warn('socket-put-back', {
        path,
        means: 'somebody had removed the socket; clients that were connected still are',
      });
    } catch (error) {
      if (told !== 'failed')
        logger.error('socket-not-put-back', {
          path,
          error,
          advice: 'nobody can connect; it is tried again every second',
        });
      told = 'failed';
    }
    if (!isOver) return;
    server.close(); // its end has come while it began to listen
    removeOwn();
  };
  const look = (): void => {
    if (isBusy) return;
    let found: number | undefined;
    try {
      found = fs.lstatSync(path, { throwIfNoEntry: false })?.ino;
    } catch (error) {
      logger.debug?.('socket-not-looked-up', { path, error });
      return;
    }
    if (found === inode) {
      told = undefined;
    } else if (found === undefined) {
      isBusy = true;
      void listenAgain().finally(() => {
        isBusy = false;
      });
    } else if (told !== 'taken') {
      told = 'taken';
      logger.error('socket-taken', {
        path,
        means: 'something else has taken the place of the socket: nobody can connect',
        advice: 'remove it, and the socket is put back within a second',
      });
    }
  };
  const timer = setInterval(look, LOOK_MS).unref();
  const leave = (): void => {
    isOver = true;
    clearInterval(timer);
  };
  return {
    leave,
    remove: () => {
      if (isOver) return;
      leave();
      removeOwn();
    },
  };
}

/** Listens on a socket that is bound and listening already. Errors: `NATIVE_FAILED` for a descriptor that is none. */
export async function listenOn(server: net.Server, descriptor: number): Promise<void> {
  try {
    server.listen({ fd: descriptor });
    await once(server, 'listening');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new WardenError(
      'NATIVE_FAILED',
      `the inherited descriptor ${descriptor} is no unix socket to listen on: ${message}`,
      { cause, fields: { operation: 'listen', object: `fd ${descriptor}`, errno: code } },
    );
  }
}

/** Removes the socket if it is still the one of `inode`. */
export function removeSocket(path: string, inode: number): void {
  if (fs.lstatSync(path, { throwIfNoEntry: false })?.ino === inode) fs.rmSync(path, { force: true });
}

async function answers(path: string): Promise<boolean> {
  const socket = net.connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return false;
    throw taken(path, `the socket ${path} cannot be tried: ${(error as Error).message}`);
  } finally {
    socket.destroy();
  }
}

function taken(path: string, message: string): WardenError {
  return new WardenError('ALREADY_EXISTS', message, { fields: { operation: 'listen', object: path } });
}
