/**
 * Byte strings as JavaScript strings, without loss.
 *
 * Handles, paths and tags on the wire and in the kernel are arbitrary bytes. They are kept as ordinary
 * strings: valid UTF-8 decodes as usual, each byte that is not part of valid UTF-8 becomes the lone surrogate
 * U+DC00 + byte (the scheme of PEP 383). The mapping is bijective, and survives `JSON.stringify`.
 * `@warden/protocol` uses the same mapping for `string` fields.
 */
import { isUtf8 } from 'node:buffer';

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Decodes bytes to a string; never fails. `encodeBytes(decodeBytes(b))` equals `b` for every `b`. */
export function decodeBytes(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return STRICT.decode(bytes);
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length === 0) {
      text += String.fromCharCode(0xdc00 + bytes[at]!);
      at += 1;
    } else {
      text += STRICT.decode(bytes.subarray(at, at + length));
      at += length;
    }
  }
  return text;
}

/** Length of the valid UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  const length =
    first < 0x80
      ? 1
      : first >= 0xc2 && first < 0xe0
        ? 2
        : first >= 0xe0 && first < 0xf0
          ? 3
          : first >= 0xf0 && first < 0xf5
            ? 4
            : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  return isUtf8(bytes.subarray(at, at + length)) ? length : 0;
}

/** Encodes a string made by {@link decodeBytes} (or any well-formed string) to its bytes. */
export function encodeBytes(text: string): Uint8Array {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  let run = '';
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (code >= 0xdc80 && code <= 0xdcff) {
      parts.push(Buffer.from(run, 'utf8'), Buffer.of(code - 0xdc00));
      run = '';
    } else {
      run += char;
    }
  }
  parts.push(Buffer.from(run, 'utf8'));
  return Buffer.concat(parts);
}
