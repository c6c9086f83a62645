/** A layer's blob on its way to the program that unpacks it: checked, uncompressed, counted, checked again. */
import { PassThrough, type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { WardenError } from '@warden/interface';
import { DigestCheck } from './digest.ts';
import { invalid, unsupported } from './failure.ts';
import type { LayerBlob } from './local-image.ts';
import type { RunningUnpack } from './unpack.ts';

/** An archive is larger than what it holds: headers, padding, its end. */
const OVERHEAD = 64 << 20;
const CHUNK = 64 << 10;
const CONVERT = 'convert it, for example by skopeo copy --dest-compress-format gzip';

/** What to watch. */
export interface FeedOptions {
  /** Most bytes of content; an archive that says more, or unpacks to more, is cut off there. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  readonly onBytes: (done: number) => void;
}

/**
 * Sends the whole layer. Errors: `INVALID_SPEC`, `UNSUPPORTED`, `POOL_EXHAUSTED`, `ABORTED`; those of the
 * program come by its result.
 */
export async function feedLayer(blob: LayerBlob, unpack: RunningUnpack, options: FeedOptions): Promise<void> {
  const { stream, close } = await blob.open();
  const content = new DigestCheck(blob.diffId);
  let decompress: Transform | undefined;
  try {
    const first = await firstBytes(stream);
    decompress = decompressor(first);
    await pipeline(
      chunks(first, stream),
      checkBlob(blob, options.onBytes),
      decompress,
      checkContent(content, options.maxBytes + OVERHEAD),
      unpack.input!,
      { signal: options.signal },
    );
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (options.signal.aborted)
      throw new WardenError('ABORTED', 'the import was given up', {
        cause,
        fields: { operation: 'import image' },
      });
    // the program has ended, and its result says why
    if (
      code === 'EPIPE' ||
      code === 'ECONNRESET' ||
      code === 'ERR_STREAM_PREMATURE_CLOSE' ||
      code === 'ERR_STREAM_DESTROYED'
    )
      return;
    if (code?.startsWith('ZSTD_')) requireAllFrames(decompress, blob);
    if (code?.startsWith('Z_') || code?.startsWith('ZSTD_'))
      throw invalid(`a layer is damaged: ${(cause as Error).message}`, { object: blob.diffId.text });
    throw cause;
  } finally {
    await ended(stream);
    await close();
  }
  requireAllFrames(decompress, blob);
  content.finish('the content of a layer');
}

/** No read is in progress any more. */
function ended(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) return resolve();
    stream.once('close', () => resolve());
    stream.destroy();
  });
}

/** Enough to tell how it is compressed. */
async function firstBytes(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of stream.iterator({ destroyOnReturn: false })) {
    parts.push(part as Buffer);
    length += (part as Buffer).length;
    if (length >= 4) break;
  }
  return Buffer.concat(parts);
}

async function* chunks(first: Buffer, rest: Readable): AsyncGenerator<Buffer> {
  yield first;
  for await (const part of rest) yield part as Buffer;
}

function checkBlob(blob: LayerBlob, onBytes: (done: number) => void): Transform {
  const check = blob.digest === undefined ? undefined : new DigestCheck(blob.digest);
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      check?.update(chunk);
      if (bytes > blob.size)
        return done(
          invalid(`a layer is longer than it should be: more than ${blob.size} bytes`, {
            object: blob.diffId.text,
          }),
        );
      onBytes(bytes);
      done(null, chunk);
    },
    flush(done) {
      try {
        if (bytes !== blob.size)
          throw invalid(`a layer has ${bytes} bytes, its descriptor says ${blob.size}`, {
            object: blob.diffId.text,
          });
        check?.finish('a layer');
        done();
      } catch (error) {
        done(error as Error);
      }
    },
  });
}

/**
 * Node.js 22 is at its end behind the first of several frames, as of zstd:chunked, and takes what follows in
 * the same piece for nothing. Errors: `UNSUPPORTED`.
 */
function requireAllFrames(decompress: Transform | undefined, { size }: LayerBlob): void {
  const { ZstdDecompress } = zlib as unknown as { ZstdDecompress?: new () => zlib.Gunzip };
  if (ZstdDecompress === undefined || !(decompress instanceof ZstdDecompress)) return;
  if (!decompress.readableEnded || decompress.bytesWritten >= size) return;
  throw unsupported(
    `a layer is compressed with zstd in several frames, for which the daemon needs Node.js 24 or newer (this is ${process.version}): ${CONVERT}`,
  );
}

/** By what it begins with; what others say of its kind is not needed. */
function decompressor(first: Buffer): Transform {
  if (first.length >= 2 && first.readUInt16BE(0) === 0x1f8b) return zlib.createGunzip({ chunkSize: CHUNK });
  if (first.length >= 4 && isZstd(first.readUInt32LE(0))) {
    const create = (zlib as unknown as { createZstdDecompress?: (options: object) => Transform })
      .createZstdDecompress;
    if (create === undefined)
      throw unsupported(
        `a layer is compressed with zstd, for which the daemon needs Node.js 22.15 or newer (this is ${process.version}): ${CONVERT}`,
      );
    return create({ chunkSize: CHUNK });
  }
  return new PassThrough();
}

/** Also a frame that is to be skipped, which some writers put first (RFC 8878, 3.1.2). */
function isZstd(magic: number): boolean {
  return magic === 0xfd2fb528 || magic >>> 4 === 0x184d2a5;
}

function checkContent(check: DigestCheck, maxBytes: number): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      check.update(chunk);
      if (check.bytes <= maxBytes) return done(null, chunk);
      done(
        new WardenError(
          'POOL_EXHAUSTED',
          'the image does not fit into the store: a layer unpacks to more than there is room for (images.max_size)',
          {
            fields: { operation: 'unpack', pool: 'images', limit: maxBytes },
          },
        ),
      );
    },
  });
}
