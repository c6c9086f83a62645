/** The socket in the file system: never two daemons on one path, nothing deleted that is not ours, never connectable before its mode is right. */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { WardenError } from '@warden/interface';

/** `sun_path` without its terminating zero (unix(7)). */
const MAX_PATH_BYTES = 107;

/** The setting of the socket for clients, for messages. */
const CLIENT_SOCKET = 'unix_domain_path';

/**
 * Makes sure that a socket can be made at `path`, whoever listens there now. `key`: the setting that names the path. Errors: `ALREADY_EXISTS` for something else that
 * is there, `INVALID_SPEC` for a path that is too long or has no directory.
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

/** Makes sure that nobody listens at `path`. Errors: as {@link requireSocketPlace}, and `ALREADY_EXISTS` while somebody does. */
export async function requireFreePath(path: string, key: string = CLIENT_SOCKET): Promise<void> {
  requireSocketPlace(path, key);
  if (!fs.existsSync(path)) return;
  if (await answers(path))
    throw taken(
      path,
      `the socket ${path} is in use by a running daemon; stop it or configure another ${key}`,
    );
}

/** Listens at `path` with exactly `mode` and answers the inode; replaces a socket nobody listens on. Errors: `NATIVE_FAILED`. */
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
