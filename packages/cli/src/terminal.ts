/** The standard streams a run of the program works with. */
import type { Readable, Writable } from 'node:stream';
import { encodeBytes } from '@warden/interface';

/** Standard streams and environment; the tests give their own. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Event of standard output: nobody takes it any more, or nothing can be written there. Its argument is the
 * exit status that follows. Whoever has something to end before listens; while nobody does, the program exits
 * at once.
 */
export const OUTPUT_GONE: unique symbol = Symbol('output gone');

/** Streams whose last byte was no line end. */
const midLine = new WeakSet<Writable>();

/**
 * Writes text or bytes unchanged and waits while the reader is slow. What cannot be written, as when the
 * reader went away (`| head`), is reported by the stream's own error event, see `main.ts`.
 */
export function write(stream: Writable, data: string | Uint8Array): Promise<void> {
  const bytes = typeof data === 'string' ? encodeBytes(data) : data;
  if (bytes.length === 0 || stream.destroyed) return Promise.resolve();
  if (bytes.at(-1) === 0x0a) midLine.delete(stream);
  else midLine.add(stream);
  return new Promise((resolve) => {
    stream.write(bytes, () => resolve());
  });
}

/**
 * Text with its control characters but tab and line end as escapes. Errors quote names that a container
 * chose, and a terminal obeys what is written to it: titles, colours, keys it pretends to type.
 */
export function visible(text: string): string {
  return text.replace(/[^\P{Cc}\t\n]/gu, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(2, '0');
    return `\\x${code}`;
  });
}

/** Ends a line that a job left open: a line editor clears the line it draws its prompt on. */
export async function endLine(terminal: Terminal): Promise<void> {
  const isOpen = [terminal.stdout, terminal.stderr].some((stream) => midLine.delete(stream));
  if (isOpen) await write(terminal.stdout, '\n');
}
