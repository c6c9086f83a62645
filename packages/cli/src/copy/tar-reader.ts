/** Entries of a tar archive that comes in pieces, out of a container: nothing in it is to be trusted. */
import { decodeBytes, FILE_MODES, WardenError } from '@warden/interface';

const BLOCK = 512;
/** Bytes of pax records: names have at most 4096, and a few numbers. */
const MAX_RECORDS = 65_536;

/** An entry. The content has to be read to its end before the next entry is asked for. */
export interface TarEntry {
  /** As it stands there. */
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink';
  readonly mode: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly modified: number;
  /** Of a symlink. */
  readonly target: string;
  readonly content: AsyncIterable<Uint8Array>;
}

/** See the file's head. Errors: `INVALID_SPEC` (damaged, or of a kind that the daemon never sends). */
export async function* readTar(
  archive: AsyncIterable<Uint8Array>,
): AsyncGenerator<TarEntry, void, undefined> {
  const source = new Source(archive);
  try {
    let records: ReadonlyMap<string, string> = new Map();
    for (;;) {
      const head = await source.exactly(BLOCK);
      if (head.every((byte) => byte === 0)) return;
      if (sumOf(head) !== octal(head, 148, 8)) throw damaged('a header');
      const type = String.fromCharCode(head[156]!);
      const size = Number(records.get('size') ?? octal(head, 124, 12));
      if (!Number.isSafeInteger(size) || size < 0) throw damaged('a size');
      if (type === 'x') {
        if (size > MAX_RECORDS) throw damaged('extended records');
        records = parseRecords(await source.exactly(size));
        await source.exactly(-size & (BLOCK - 1));
        continue;
      }
      const entry = entryOf(head, type, records);
      if (entry.type !== 'file' && size > 0) throw damaged('an entry');
      let left = size;
      const content = source.some(size, (count) => {
        left -= count;
      });
      yield { ...entry, size, content };
      if (left > 0) for await (const _ of content);
      await source.exactly(-size & (BLOCK - 1));
      records = new Map();
    }
  } finally {
    await source.leave();
  }
}

function entryOf(
  head: Uint8Array,
  type: string,
  records: ReadonlyMap<string, string>,
): Omit<TarEntry, 'size' | 'content'> {
  const types: Readonly<Record<string, TarEntry['type']>> = {
    '0': 'file',
    '\0': 'file',
    '5': 'directory',
    '2': 'symlink',
  };
  const known = types[type];
  if (known === undefined) throw damaged(`an entry of kind ${JSON.stringify(type)}`);
  const prefix = text(head, 345, 155);
  const name = prefix === '' ? text(head, 0, 100) : `${prefix}/${text(head, 0, 100)}`;
  return {
    name: records.get('path') ?? name,
    type: known,
    mode: octal(head, 100, 8) & FILE_MODES,
    modified: Number(records.get('mtime') ?? octal(head, 136, 12)),
    target: records.get('linkpath') ?? text(head, 157, 100),
  };
}

function parseRecords(bytes: Uint8Array): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(0x20, at);
    const length = Number(text(bytes, at, Math.max(0, blank - at)));
    const end = at + length;
    const equals = bytes.indexOf(0x3d, blank);
    if (
      !Number.isInteger(length) ||
      blank < at ||
      equals < 0 ||
      equals >= end ||
      end > bytes.length ||
      bytes[end - 1] !== 0x0a
    )
      throw damaged('an extended record');
    records.set(
      decodeBytes(bytes.subarray(blank + 1, equals)),
      decodeBytes(bytes.subarray(equals + 1, end - 1)),
    );
    at = end;
  }
  return records;
}

function text(bytes: Uint8Array, at: number, width: number): string {
  const field = bytes.subarray(at, at + width);
  const end = field.indexOf(0);
  return decodeBytes(end < 0 ? field : field.subarray(0, end));
}

/** Octal digits with blanks around them, or a binary number. */
function octal(bytes: Uint8Array, at: number, width: number): number {
  if ((bytes[at]! & 0x80) !== 0) {
    let value = bytes[at]! & 0x7f;
    for (const byte of bytes.subarray(at + 1, at + width)) value = value * 256 + byte;
    return value;
  }
  const digits = text(bytes, at, width).trim();
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits || '0', 8) : Number.NaN;
}

/** Of all bytes of a header, its own place as blanks. */
function sumOf(head: Uint8Array): number {
  return head.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0);
}

function damaged(what: string): WardenError {
  return new WardenError('INVALID_SPEC', `the archive is damaged: ${what} cannot be understood`, {
    fields: { operation: 'read-tar' },
  });
}

/** Bytes in the portions that are asked for. */
class Source {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array();

  constructor(archive: AsyncIterable<Uint8Array>) {
    this.#pieces = archive[Symbol.asyncIterator]();
  }

  async exactly(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for await (const part of this.some(length, () => undefined)) parts.push(part);
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  /** That many bytes, in pieces as they come. */
  async *some(length: number, onTaken: (count: number) => void): AsyncGenerator<Uint8Array, void, undefined> {
    for (let left = length; left > 0; ) {
      if (this.#piece.length === 0) {
        const step = await this.#pieces.next();
        if (step.done) throw damaged('its end');
        this.#piece = step.value;
        continue;
      }
      const part = this.#piece.subarray(0, left);
      this.#piece = this.#piece.subarray(part.length);
      left -= part.length;
      onTaken(part.length);
      yield part;
    }
  }

  async leave(): Promise<void> {
    await this.#pieces.return?.(undefined);
  }
}
