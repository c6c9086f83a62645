/** What a program of the ELF format needs besides itself, as the kernel and the dynamic linker read it. */

/** See {@link neededFiles}. */
export interface NeededFiles {
  /** Absolute path of the dynamic linker; `undefined`: the program needs none. */
  readonly interpreter: string | undefined;
  /** Names of libraries, or paths. */
  readonly libraries: readonly string[];
}

const MAGIC = 0x464c457f;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const ENTRY_BYTES = 16;
const LOAD = 1;
const DYNAMIC = 2;
const INTERPRETER = 3;
const NEEDED = 1n;
const STRING_TABLE = 5n;
const MOST_LIBRARIES = 64;

const NOTHING: NeededFiles = { interpreter: undefined, libraries: [] };

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly bytes: number;
}

/**
 * Never throws: of what is no program of 64 bits for a little-endian machine, or broken, it answers what it
 * understands, or nothing.
 */
export function neededFiles(file: Buffer): NeededFiles {
  if (
    file.length < HEADER_BYTES ||
    file.readUInt32LE(0) !== MAGIC ||
    file[4] !== CLASS_64 ||
    file[5] !== LITTLE_ENDIAN
  )
    return NOTHING;
  const segments = segmentsOf(file);
  const interpreter = segments.find(({ type }) => type === INTERPRETER);
  return {
    interpreter: interpreter === undefined ? undefined : textAt(file, interpreter.offset) || undefined,
    libraries: librariesOf(file, segments),
  };
}

function segmentsOf(file: Buffer): readonly Segment[] {
  const first = numberAt(file, 32);
  const size = file.readUInt16LE(54);
  const count = file.readUInt16LE(56);
  const segments: Segment[] = [];
  if (size < SEGMENT_BYTES) return segments;
  for (let at = first; segments.length < count && at + size <= file.length; at += size) {
    segments.push({
      type: file.readUInt32LE(at),
      offset: numberAt(file, at + 8),
      address: numberAt(file, at + 16),
      bytes: numberAt(file, at + 32),
    });
  }
  return segments;
}

function librariesOf(file: Buffer, segments: readonly Segment[]): readonly string[] {
  const dynamic = segments.find(({ type }) => type === DYNAMIC);
  if (dynamic === undefined) return [];
  const names: number[] = [];
  let table: number | undefined;
  const end = Math.min(dynamic.offset + dynamic.bytes, file.length);
  for (let at = dynamic.offset; at + ENTRY_BYTES <= end; at += ENTRY_BYTES) {
    const tag = file.readBigUInt64LE(at);
    if (tag === NEEDED && names.length < MOST_LIBRARIES) names.push(numberAt(file, at + 8));
    else if (tag === STRING_TABLE) table = placeOf(numberAt(file, at + 8), segments);
  }
  if (table === undefined) return [];
  const start = table;
  return names.map((name) => textAt(file, start + name)).filter((name) => name !== '');
}

/** Where in the file lies what is loaded to an address. */
function placeOf(address: number, segments: readonly Segment[]): number | undefined {
  const segment = segments.find(
    ({ type, address: from, bytes }) => type === LOAD && address >= from && address < from + bytes,
  );
  return segment === undefined ? undefined : address - segment.address + segment.offset;
}

/** Beyond what is exact it points outside of any file. */
function numberAt(file: Buffer, at: number): number {
  return Number(file.readBigUInt64LE(at));
}

/** Up to its NUL byte; empty when it has none. */
function textAt(file: Buffer, at: number): string {
  const end = at < file.length ? file.indexOf(0, at) : -1;
  return end < 0 ? '' : file.toString('latin1', at, end);
}
