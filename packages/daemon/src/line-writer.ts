/**
 * Finished lines on their way out of the process. Who reads a pipe, a socket or a terminal may stop; a daemon
 * that waited for that would keep all its clients waiting.
 */
import fs from 'node:fs';
import { isatty } from 'node:tty';
import { closeDescriptor, type PollWatch, sendPart, watchDescriptor, writeDescriptor } from '@warden/native';

/** Of lines that wait for a reader: some thousand of them. */
const MAX_WAITING_BYTES = 1 << 20;
/** How long an end waits for a reader. */
const END_MS = 1_000;
const END_STEP_MS = 10;

/** Where lines go. Neither method throws. */
export interface LineWriter {
  /** Takes a line without its end. */
  write(line: string): void;
  /** Waits up to a second for whoever has not read all. Nothing is written any more then. */
  close(): void;
}

/**
 * Takes what it can of these bytes without waiting; answers how many that are, -1: none. Throws when nobody
 * can ever read them.
 */
type Send = (bytes: Uint8Array) => number;

/**
 * A writer to this descriptor, which stays the caller's. Each line is with the kernel when `write` returns:
 * whole, and there after a crash. Of a pipe, socket or terminal that is full that is not true: then 1 MiB of
 * lines waits in memory, what is more is lost, and `lost` makes the line that says so, in its place. What a
 * full disk or a closed pipe does not take is left out; of a line of which the disk took a part, the next one
 * is set apart.
 */
export function lineWriter(descriptor: number, lost: (count: number) => string): LineWriter {
  const way = wayWithoutWaiting(descriptor);
  return way === undefined ? fileWriter(descriptor) : new StreamWriter(way, lost);
}

const LINE_END = 0x0a;

/** For a file: nobody reads it who could stop. */
function fileWriter(descriptor: number): LineWriter {
  let isTorn = false;
  return {
    write: (line) => {
      const bytes = Buffer.from(isTorn ? `\n${line}\n` : `${line}\n`);
      let written = 0;
      try {
        // a disk that has filled takes a part, and tells why only when it is asked again
        while (written < bytes.length) written += fs.writeSync(descriptor, bytes, written);
      } catch {
        // A full disk must not take the containers' daemon along.
      }
      if (written > 0) isTorn = bytes[written - 1] !== LINE_END;
    },
    close: () => {},
  };
}

interface Way {
  readonly descriptor: number;
  readonly send: Send;
  readonly close: () => void;
}

/**
 * Whether a call waits is a property of the open file, which a shell or whoever else has it shares: it is not
 * changed. A socket has a flag for one call, a pipe and a terminal can be opened once more.
 */
function wayWithoutWaiting(descriptor: number): Way | undefined {
  try {
    const facts = fs.fstatSync(descriptor);
    if (facts.isSocket())
      return { descriptor, send: (bytes) => sendPart(descriptor, bytes), close: () => {} };
    if (!facts.isFIFO() && !isatty(descriptor)) return undefined;
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = fs.constants;
    const own = fs.openSync(`/proc/self/fd/${descriptor}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    return {
      descriptor: own,
      send: (bytes) => writeDescriptor(own, bytes),
      close: () => closeDescriptor(own),
    };
  } catch {
    return undefined; // it is closed, or another user's: then it is written to as it is
  }
}

class StreamWriter implements LineWriter {
  readonly #way: Way;
  readonly #lostLine: (count: number) => string;
  /** In order; of the first one a part may be gone. */
  #waiting: Buffer[] = [];
  #bytes = 0;
  #lost = 0;
  #watch: PollWatch | undefined;
  #isClosed = false;

  constructor(way: Way, lostLine: (count: number) => string) {
    this.#way = way;
    this.#lostLine = lostLine;
  }

  write(line: string): void {
    if (this.#isClosed) return;
    const bytes = Buffer.from(`${line}\n`);
    if (this.#bytes + bytes.length > MAX_WAITING_BYTES && this.#waiting.length > 0) {
      this.#lost++;
      return;
    }
    this.#tellLost();
    this.#append(bytes);
    // behind others it would only be tried in vain
    if (this.#watch === undefined) this.#sendWaiting();
  }

  close(): void {
    const until = performance.now() + END_MS;
    while (!this.#sendWaiting() && performance.now() < until)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, END_STEP_MS);
    this.#isClosed = true;
    this.#rest();
    this.#way.close();
  }

  #append(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
  }

  /** Where the gap is. */
  #tellLost(): void {
    if (this.#lost === 0) return;
    const count = this.#lost;
    this.#lost = 0;
    this.#append(Buffer.from(`${this.#lostLine(count)}\n`));
  }

  /** Answers whether nothing waits any more. */
  #sendWaiting(): boolean {
    try {
      for (;;) {
        const [first] = this.#waiting;
        if (first === undefined) {
          if (this.#lost === 0) break;
          this.#tellLost();
          continue;
        }
        const taken = Math.max(0, this.#way.send(first));
        this.#bytes -= taken;
        if (taken < first.length) {
          this.#waiting[0] = first.subarray(taken);
          if (taken > 0) continue;
          this.#await();
          return false;
        }
        this.#waiting.shift();
      }
    } catch {
      // nobody reads any more: a closed pipe must not take the containers' daemon along
      this.#waiting = [];
      this.#bytes = 0;
      this.#lost = 0;
    }
    this.#rest();
    return true;
  }

  #await(): void {
    this.#watch ??= watchDescriptor(this.#way.descriptor, { writable: true }, () => this.#sendWaiting());
  }

  #rest(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }
}
