/**
 * The protocol's `string` fields as JavaScript strings without loss: they hold raw bytes (spec protocol.md
 * 4), which are mostly UTF-8. Each byte that is not part of valid UTF-8 becomes the lone surrogate U+DC00 +
 * byte, as in PEP 383.
 */
const ENCODER = new TextEncoder();
/** Arguments of one call. */
const UNITS_AT_ONCE = 4_096;
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Never fails; `toBytes(fromBytes(b))` equals `b`. */
export function fromBytes(bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes);
  } catch {
    return decodeMixed(bytes);
  }
}

/** By code units, which is as fast for text in pieces of one byte as for long ones. */
function decodeMixed(bytes: Uint8Array): string {
  const units = new Uint16Array(bytes.length);
  let at = 0;
  let count = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length < 2) {
      const byte = bytes[at++]!;
      units[count++] = length === 0 ? 0xdc00 + byte : byte;
      continue;
    }
    const code = codePoint(bytes, at, length);
    at += length;
    if (code < 0x10000) {
      units[count++] = code;
    } else {
      units[count++] = 0xd7c0 + (code >> 10);
      units[count++] = 0xdc00 + (code & 0x3ff);
    }
  }
  let text = '';
  for (let from = 0; from < count; from += UNITS_AT_ONCE)
    text += textOf(units.subarray(from, Math.min(count, from + UNITS_AT_ONCE)));
  return text;
}

/** A spread would go through an iterator. */
function textOf(units: Uint16Array): string {
  return String.fromCharCode.apply(undefined, units as unknown as number[]);
}

function codePoint(bytes: Uint8Array, at: number, length: number): number {
  let code = bytes[at]! & (0x7f >> length);
  for (let next = 1; next < length; next++) code = (code << 6) | (bytes[at + next]! & 0x3f);
  return code;
}

/** Length of the well-formed UTF-8 sequence at `at` (Unicode table 3-7), 0 when there is none. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const second = bytes[at + 1] ?? 0;
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  for (let next = 2; next < length; next++) {
    if (((bytes[at + next] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return length;
}

/** Inverse of {@link fromBytes}. Throws a `RangeError` on a lone surrogate that stands for no byte. */
export function toBytes(text: string): Uint8Array {
  if (isWellFormed(text)) return ENCODER.encode(text);
  const bytes = new Uint8Array(text.length * 3);
  let count = 0;
  // What lies between two lone surrogates is encoded at one go.
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0xd800 || unit > 0xdfff) continue;
    if (unit < 0xdc00 && isLowSurrogate(text.charCodeAt(at + 1))) {
      at++;
      continue;
    }
    if (unit < 0xdc80 || unit > 0xdcff) throw new RangeError('a lone surrogate that stands for no byte');
    if (from < at) count += ENCODER.encodeInto(text.slice(from, at), bytes.subarray(count)).written;
    bytes[count++] = unit - 0xdc00;
    from = at + 1;
  }
  count += ENCODER.encodeInto(text.slice(from), bytes.subarray(count)).written;
  return bytes.slice(0, count);
}

/** `NaN` behind the end is none. */
function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

function isWellFormed(text: string): boolean {
  return text.isWellFormed();
}
