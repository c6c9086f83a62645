/**
 * The protocol's `string` fields as JavaScript strings without loss: they hold raw bytes (spec protocol.md 4), which are mostly
 * UTF-8. Each byte that is not part of valid UTF-8 becomes the lone surrogate U+DC00 + byte, as in PEP 383.
 */
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Never fails; `toBytes(fromBytes(b))` equals `b`. */
export function fromBytes(bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes);
  } catch {
    return decodeMixed(bytes);
  }
}

function decodeMixed(bytes: Uint8Array): string {
  const parts: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    parts.push(
      length === 0
        ? String.fromCharCode(0xdc00 + bytes[at]!)
        : DECODER.decode(bytes.subarray(at, at + length)),
    );
    at += length || 1;
  }
  return parts.join('');
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
  if (!/[\ud800-\udfff]/.test(text) || isWellFormed(text)) return ENCODER.encode(text);
  const parts: Uint8Array[] = [];
  let size = 0;
  const add = (part: Uint8Array): void => {
    parts.push(part);
    size += part.length;
  };
  for (const piece of text.split(/([\udc80-\udcff](?<![\ud800-\udbff][\udc80-\udcff]))/)) {
    const code = piece.charCodeAt(0);
    if (piece.length === 1 && code >= 0xdc80 && code <= 0xdcff) add(Uint8Array.of(code - 0xdc00));
    else if (isWellFormed(piece)) add(ENCODER.encode(piece));
    else throw new RangeError('a lone surrogate that stands for no byte');
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function isWellFormed(text: string): boolean {
  return text.isWellFormed();
}
