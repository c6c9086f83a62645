/**
 * Text of containers and daemons as a terminal may get it: it obeys what is written to it, so what could be
 * an order becomes visible instead.
 */
import { decodeBytes, encodeBytes } from '@warden/interface';

/**
 * Control characters, marks that turn the direction of writing or hide, line and paragraph separators,
 * private-use and unassigned characters, and bytes that were no UTF-8 (lone surrogates).
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/u;
const UNSAFE_ALL = new RegExp(UNSAFE, 'gu');

/** One line: also tabs and line ends are shown as escapes. */
export function shown(text: string): string {
  return text.replace(UNSAFE_ALL, escaped);
}

/** Several lines: line ends and tabs stay. */
export function shownLines(text: string): string {
  return text.replace(UNSAFE_ALL, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  );
}

function escaped(character: string): string {
  const code = character.codePointAt(0)!;
  if (code >= 0xdc80 && code <= 0xdcff) return hex('\\x', code - 0xdc00, 2);
  if (code <= 0xff) return hex('\\x', code, 2);
  return code <= 0xffff ? hex('\\u', code, 4) : `\\u{${code.toString(16)}}`;
}

function hex(prefix: string, code: number, digits: number): string {
  return prefix + code.toString(16).padStart(digits, '0');
}

/** Longest beginning of a character that its next chunk may complete. */
const LONGEST_BEGINNING = 3;

/**
 * As {@link shownLines}, for bytes that come in pieces: a character may be cut anywhere. A carriage return
 * before a line end belongs to it.
 */
export class ShownStream {
  #kept: Uint8Array = new Uint8Array();

  take(data: Uint8Array): Uint8Array {
    const all = this.#kept.length === 0 ? data : Buffer.concat([this.#kept, data]);
    const end = all.length - unfinished(all);
    this.#kept = all.slice(end);
    return toShown(all.subarray(0, end));
  }

  /** What is left at the end of the stream. */
  end(): Uint8Array {
    const rest = this.#kept;
    this.#kept = new Uint8Array();
    return toShown(rest);
  }
}

function toShown(bytes: Uint8Array): Uint8Array {
  return encodeBytes(shownLines(decodeBytes(bytes).replaceAll('\r\n', '\n')));
}

/** How many bytes at the end begin a character, or a line end, that is not complete. */
function unfinished(bytes: Uint8Array): number {
  if (bytes.at(-1) === 0x0d) return 1;
  for (let back = 1; back <= Math.min(LONGEST_BEGINNING, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return 0;
    if (byte >= 0xf5) return 0;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0;
  }
  return 0;
}
