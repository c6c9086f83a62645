/** The latest output of a stream, for readers that come late (spec linux-container.md 13.2). */

/** What the original keeps. */
export const HISTORY_BYTES = 65_535;
const BLOCK_BYTES = 4_096;

interface Block {
  readonly bytes: Buffer;
  used: number;
}

/** Small writes share blocks; whole blocks are dropped, so that at most one more than asked for is in memory. */
export class OutputHistory {
  readonly #blocks: Block[] = [];
  #length = 0;
  #position: number;

  /** `position`: bytes of the stream that came before. */
  constructor(position: number) {
    this.#position = position;
  }

  /** Bytes of the stream so far. */
  get position(): number {
    return this.#position;
  }

  append(data: Buffer): void {
    this.#position += data.length;
    this.#length += data.length;
    const last = this.#blocks.at(-1);
    const room = last === undefined ? 0 : Math.min(last.bytes.length - last.used, data.length);
    if (last !== undefined && room > 0) {
      data.copy(last.bytes, last.used, 0, room);
      last.used += room;
    }
    if (room < data.length) this.#blocks.push(newBlock(data.subarray(room)));
    while (this.#length - this.#blocks[0]!.used >= HISTORY_BYTES) this.#length -= this.#blocks.shift()!.used;
  }

  /** The latest bytes, at most {@link HISTORY_BYTES}; they end at `position`. */
  latest(): Buffer {
    return Buffer.concat(this.#blocks.map(({ bytes, used }) => bytes.subarray(0, used))).subarray(
      -HISTORY_BYTES,
    );
  }
}

function newBlock(data: Buffer): Block {
  if (data.length >= BLOCK_BYTES) return { bytes: data, used: data.length };
  const bytes = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  data.copy(bytes);
  return { bytes, used: data.length };
}
