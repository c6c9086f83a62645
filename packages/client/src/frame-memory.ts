/**
 * Memory for the frames of a stream whose consumer is done with an answer when it asks for the next: a few
 * pieces that are used in turn. Fresh memory for each piece of output would cost more than the piece itself,
 * in the kernel, which clears it, and in the garbage collector.
 */

/** Most of the frames of output have just fewer bytes. */
const FRAME_BYTES = 65 * 1_024;
/** Smaller ones get memory of their own size: many of them may wait at a time. */
const SMALL_BYTES = 16 * 1_024;
/** Kept for later. */
const MAX_FREE = 16;

/** See the file's head. */
export class FrameMemory {
  readonly #free: ArrayBuffer[] = [];

  /** Memory for a frame; `undefined`: it is not worth it, or too large. */
  take(length: number): Uint8Array | undefined {
    if (length < SMALL_BYTES || length > FRAME_BYTES) return undefined;
    const bytes = this.#free.pop() ?? Buffer.allocUnsafeSlow(FRAME_BYTES).buffer;
    return new Uint8Array(bytes);
  }

  /** Nobody looks at this frame any more. One that lies elsewhere is none of this memory's. */
  giveBack({ buffer }: Uint8Array): void {
    if (buffer.byteLength === FRAME_BYTES && this.#free.length < MAX_FREE)
      this.#free.push(buffer as ArrayBuffer);
  }
}
