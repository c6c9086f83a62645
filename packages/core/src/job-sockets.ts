/**
 * Sockets by which other programs read a job's output while it lives (spec behaviour.md 6.2,
 * linux-container.md 13.2): `stdout.sock` and `stderr.sock` tell a position, then the latest output, then
 * what comes; `status.sock` tells the wait status at the end.
 *
 * A reader that does not keep up slows the job down for a while; one that does not read at all is
 * disconnected, so that nobody else waits for it. It may come again: the position tells it what it has
 * missed.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { Logger, WaitStatus } from '@warden/interface';
import { closeDescriptor } from './close-descriptor.ts';
import { OutputHistory } from './output-history.ts';
import type { OnPressure, OutputTap } from './output-tap.ts';
import { type PerStream, STREAMS, type StreamName } from './stream-name.ts';

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = fs.constants;

/** Of the output of one stream that may wait in memory for one reader. */
const MAX_WAITING_BYTES = 1_048_576;
/** How long a reader may hold a job up. */
const PATIENCE_MS = 5_000;
/** How long the last output waits for readers after the job's end. */
const LINGER_MS = 60_000;
const MAX_READERS = 64;
const PROBE_MS = 1_000;
const CURSORS_FILE = 'cursors';
const CURSOR_AT: PerStream<number> = { stdout: 0, stderr: 4 };

/** Options of {@link JobSockets}. */
export interface JobSocketsOptions {
  /** Directory of the job. */
  readonly directory: string;
  readonly mode: number;
  readonly logger: Logger;
  readonly onPressure: OnPressure;
  /** Output of an earlier daemon's time that is known, and how many bytes of the stream came before it. */
  readonly known?: PerStream<{ readonly before: number; readonly content: Buffer }>;
  /** Output is kept nowhere: positions are written to disk all the time, not only at the end. */
  readonly isDiscarded: boolean;
}

/** The readers of one stream. */
interface Channel {
  readonly history: OutputHistory;
  readonly readers: Set<net.Socket>;
  /** Readers that hold the job up, with the end of the patience with them. */
  readonly slow: Map<net.Socket, NodeJS.Timeout>;
}

/** See the file's head. */
export class JobSockets implements OutputTap {
  readonly #options: JobSocketsOptions;
  readonly #channels: PerStream<Channel>;
  readonly #statusReaders = new Set<net.Socket>();
  readonly #servers: net.Server[] = [];
  readonly #files: string[] = [];
  #cursors: number | undefined;
  #isEnded = false;

  /** Listens when it returns. What fails is logged: a job does not depend on its readers. */
  constructor(options: JobSocketsOptions) {
    this.#options = options;
    this.#channels = { stdout: this.#channel('stdout'), stderr: this.#channel('stderr') };
    try {
      fs.mkdirSync(options.directory, { recursive: true, mode: 0o755 });
      this.#listen('stdout.sock', (socket) => this.#greet('stdout', socket));
      this.#listen('stderr.sock', (socket) => this.#greet('stderr', socket));
      this.#listen('status.sock', (socket) => this.#admit(socket, this.#statusReaders));
      const flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
      this.#cursors = fs.openSync(path.join(options.directory, CURSORS_FILE), flags, 0o644);
      this.#writeCursors();
    } catch (error) {
      this.#options.logger.warn('job-sockets-failed', { directory: options.directory, error });
    }
  }

  write(stream: StreamName, chunk: Buffer): void {
    const { history, readers } = this.#channels[stream];
    history.append(chunk);
    if (this.#options.isDiscarded) this.#writeCursors();
    for (const socket of readers) this.#send(stream, socket, chunk);
  }

  end(exited: Promise<WaitStatus>): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const file of this.#files.splice(0)) this.#remove(file);
    afterPolling(() => this.#finish(exited));
  }

  /** On a disk that has become read-only it stays, and nobody listens there any more. */
  #remove(file: string): void {
    try {
      fs.rmSync(file, { force: true });
    } catch (error) {
      this.#options.logger.warn('job-socket-not-removed', { file, error });
    }
  }

  #finish(exited: Promise<WaitStatus>): void {
    this.#closeServers();
    for (const { readers } of Object.values(this.#channels)) for (const socket of readers) finish(socket);
    exited.then(
      (status) => {
        for (const socket of this.#statusReaders) finish(socket, rawStatus(status));
      },
      () => {
        for (const socket of this.#statusReaders) finish(socket);
      },
    );
  }

  detach(): void {
    this.#files.length = 0;
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#writeCursors();
    this.#closeServers();
    const readers = Object.values(this.#channels).flatMap((channel) => [...channel.readers]);
    for (const socket of [...readers, ...this.#statusReaders]) socket.destroy();
  }

  #channel(stream: StreamName): Channel {
    const known = this.#options.known?.[stream];
    const history = new OutputHistory(known?.before ?? 0);
    if (known && known.content.length > 0) history.append(known.content);
    return { history, readers: new Set(), slow: new Map() };
  }

  #listen(name: string, onReader: (socket: net.Socket) => void): void {
    const file = path.join(this.#options.directory, name);
    fs.rmSync(file, { force: true }); // an earlier daemon's
    // a reader that closes its writing side still reads
    const server = net.createServer({ allowHalfOpen: true }, onReader);
    server.maxConnections = MAX_READERS;
    server.on('error', (error) => this.#options.logger.warn('job-socket-failed', { file, error }));
    const umask = process.umask(0o777 & ~this.#options.mode);
    try {
      server.listen(file); // bind(2) and listen(2) happen in the call
    } finally {
      process.umask(umask);
    }
    server.unref();
    this.#servers.push(server);
    this.#files.push(file);
  }

  #admit(socket: net.Socket, readers: Set<net.Socket>): void {
    readers.add(socket);
    socket.unref();
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => readers.delete(socket));
    socket.on('end', () => noticeItsGoing(socket));
    socket.resume(); // whatever it says; without reading, its end would not be noticed
  }

  #greet(stream: StreamName, socket: net.Socket): void {
    const { history, readers, slow } = this.#channels[stream];
    this.#admit(socket, readers);
    const calm = (): void => {
      clearTimeout(slow.get(socket));
      if (slow.delete(socket) && slow.size === 0) this.#options.onPressure(stream, false);
    };
    socket.on('close', calm);
    socket.on('drain', calm);
    const latest = history.latest();
    const position = Buffer.alloc(4);
    position.writeUInt32BE((history.position - latest.length) % 2 ** 32);
    socket.write(Buffer.concat([position, latest]));
  }

  #send(stream: StreamName, socket: net.Socket, chunk: Buffer): void {
    socket.write(chunk);
    const { slow } = this.#channels[stream];
    if (socket.writableLength <= MAX_WAITING_BYTES || slow.has(socket)) return;
    const giveUp = (): void => {
      this.#options.logger.warn('job-reader-too-slow', { directory: this.#options.directory, stream });
      socket.destroy();
    };
    slow.set(socket, setTimeout(giveUp, PATIENCE_MS).unref());
    this.#options.onPressure(stream, true);
  }

  #writeCursors(): void {
    if (this.#cursors === undefined) return;
    const bytes = Buffer.alloc(8);
    for (const stream of STREAMS)
      bytes.writeUInt32BE(this.#channels[stream].history.position % 2 ** 32, CURSOR_AT[stream]);
    try {
      fs.writeSync(this.#cursors, bytes, 0, bytes.length, 0);
    } catch {
      // without room on the disk the next daemon counts from an older position
    }
  }

  #closeServers(): void {
    for (const server of this.#servers.splice(0)) server.close(); // unlinks the file
    const cursors = this.#cursors;
    this.#cursors = undefined;
    if (cursors === undefined) return;
    const { directory, logger } = this.#options;
    closeDescriptor(cursors, (error) => logger.warn('job-cursors-not-closed', { directory, error }));
  }
}

/**
 * One that has closed its writing side may read on, or be gone, which nothing tells: a write of no bytes fails
 * with EPIPE then.
 */
function noticeItsGoing(socket: net.Socket): void {
  const probe = (): void => {
    if (socket.writableLength === 0 && !socket.writableEnded) socket.write('');
  };
  const timer = setInterval(probe, PROBE_MS).unref();
  socket.on('close', () => clearInterval(timer));
  probe();
}

/** When whoever had connected by now has been accepted: the event loop asks the kernel between two of its checks. */
function afterPolling(action: () => void): void {
  setImmediate(() => setImmediate(action));
}

/** The positions an earlier daemon has left in a job's directory. */
export function readCursors(directory: string): PerStream<number> {
  let descriptor: number | undefined;
  try {
    // a FIFO would be waited for
    descriptor = fs.openSync(path.join(directory, CURSORS_FILE), O_RDONLY | O_NONBLOCK);
    const bytes = Buffer.alloc(8);
    if (fs.readSync(descriptor, bytes, 0, 8, 0) === 8)
      return { stdout: bytes.readUInt32BE(0), stderr: bytes.readUInt32BE(4) };
  } catch {
    // none
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
  return { stdout: 0, stderr: 0 };
}

/** As waitpid(2) has it: exit code in bits 8 to 15, signal in bits 0 to 6. */
function rawStatus({ exitCode, signal }: WaitStatus): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(exitCode === undefined ? signal : exitCode << 8);
  return bytes;
}

/** Sends what is left and closes; whoever does not read it in time misses it. */
function finish(socket: net.Socket, last?: Buffer): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.on('close', () => clearTimeout(timer));
  socket.end(last ?? '', () => socket.destroy());
}
