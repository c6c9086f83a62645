/**
 * An image on this host's disk as a set of named files: a directory, or a tar archive, of which only the
 * headers are read to find them.
 */
import fs from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { fileFailure, invalid, unsupported } from './failure.ts';
import { MAX_DOCUMENT_BYTES } from './manifest.ts';
import { type IndexedEntry, indexTar } from './tar-index.ts';

const CHUNK = 128 << 10;

/** A part of an open file. */
export interface OpenPart {
  readonly size: number;
  stream(): Readable;
  close(): Promise<void>;
}

/** Files by their names, which are relative paths that lead downwards. */
export interface FileSet {
  has(name: string): boolean;
  /** The caller closes it. Errors: `INVALID_SPEC`, also when a link is on the way or the name leads out. */
  open(name: string): Promise<OpenPart>;
  close(): Promise<void>;
}

/** Reads a small file. Errors: `INVALID_SPEC`. */
export async function readDocument(files: FileSet, name: string): Promise<Buffer> {
  const part = await files.open(name);
  try {
    if (part.size > MAX_DOCUMENT_BYTES)
      throw invalid(`${name} is too large for what it is: ${part.size} bytes`, { object: name });
    const chunks: Buffer[] = [];
    for await (const chunk of part.stream()) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  } finally {
    await part.close();
  }
}

/** Opens what a path names. Errors: `INVALID_SPEC`. */
export async function openFileSet(place: string): Promise<FileSet> {
  if (!path.isAbsolute(place) || place.includes('\0'))
    throw invalid(`the path of an image must be absolute: ${place}`, { object: place });
  let facts: fs.Stats;
  try {
    facts = await fs.promises.stat(place);
  } catch (cause) {
    throw fileFailure('open', place, cause);
  }
  return facts.isDirectory() ? await DirectoryFiles.open(place) : await ArchiveFiles.open(place);
}

/**
 * The components of a name that somebody else has written. Errors: `INVALID_SPEC` when it leads, or may lead,
 * out of the image.
 */
function componentsOf(name: string): readonly string[] {
  const components = name.split('/').filter((one) => one !== '' && one !== '.');
  if (name.startsWith('/') || name.includes('\0') || components.includes('..') || components.length === 0)
    throw invalid(`the image has its parts at a place outside itself: ${name.slice(0, 200)}`, {
      object: name.slice(0, 200),
    });
  return components;
}

/** Neither waits for the other end of a pipe, nor reads what is no file. `shown`: how errors name it. */
async function openRegular(
  file: string,
  { flags = 0, shown = file }: { readonly flags?: number; readonly shown?: string } = {},
): Promise<{ readonly handle: fs.promises.FileHandle; readonly size: number }> {
  let handle: fs.promises.FileHandle;
  try {
    handle = await fs.promises.open(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | flags);
  } catch (cause) {
    throw linkFailure(cause, shown) ?? fileFailure('open', shown, cause);
  }
  const facts = await handle.stat();
  if (facts.isFile()) return { handle, size: facts.size };
  await handle.close();
  throw invalid(`${shown} is no regular file`, { object: shown });
}

/**
 * What the kernel says of a link where none is followed; of a directory it says the same as of a file in a
 * directory's place.
 */
function linkFailure(cause: unknown, shown: string): Error | undefined {
  const { code } = cause as NodeJS.ErrnoException;
  if (code !== 'ELOOP' && code !== 'ENOTDIR') return undefined;
  return invalid(`${shown} is a link, or no directory: an image has its parts in directories of its own`, {
    operation: 'open',
    object: shown,
    errno: code,
  });
}

/**
 * A part of a file. Node's own streams of a file close it when they are destroyed; this one does not, and no
 * read of it goes on once it has emitted `close`.
 */
export function readPart(handle: fs.promises.FileHandle, start: number, length: number): Readable {
  return Readable.from(parts(handle, start, length), { objectMode: false, highWaterMark: CHUNK });
}

async function* parts(handle: fs.promises.FileHandle, start: number, length: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < length; ) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, length - done));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start + done);
    if (bytesRead === 0) return;
    done += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/**
 * Each name is looked up in an open directory, one component after the other, so that no link is followed and
 * none can be put in the way.
 */
class DirectoryFiles implements FileSet {
  readonly #place: string;
  readonly #root: fs.promises.FileHandle;

  private constructor(place: string, root: fs.promises.FileHandle) {
    this.#place = place;
    this.#root = root;
  }

  static async open(place: string): Promise<DirectoryFiles> {
    return new DirectoryFiles(place, await openDirectory(place, { shown: place }));
  }

  has(name: string): boolean {
    return fs.lstatSync(inside(this.#root, name), { throwIfNoEntry: false })?.isFile() === true;
  }

  async open(name: string): Promise<OpenPart> {
    const components = componentsOf(name);
    const { O_NOFOLLOW } = fs.constants;
    let directory = this.#root;
    try {
      for (const [at, component] of components.slice(0, -1).entries()) {
        const shown = path.join(this.#place, ...components.slice(0, at + 1));
        const next = await openDirectory(inside(directory, component), { flags: O_NOFOLLOW, shown });
        if (directory !== this.#root) await directory.close();
        directory = next;
      }
      const { handle, size } = await openRegular(inside(directory, components.at(-1)!), {
        flags: O_NOFOLLOW,
        shown: path.join(this.#place, ...components),
      });
      return {
        size,
        stream: () => readPart(handle, 0, size),
        close: () => handle.close(),
      };
    } finally {
      if (directory !== this.#root) await directory.close();
    }
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}

/** A name in an open directory, as Node takes it. */
function inside({ fd }: fs.promises.FileHandle, name: string): string {
  return `/proc/self/fd/${fd}/${name}`;
}

async function openDirectory(
  file: string,
  { flags = 0, shown }: { readonly flags?: number; readonly shown: string },
): Promise<fs.promises.FileHandle> {
  try {
    return await fs.promises.open(file, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | flags);
  } catch (cause) {
    throw linkFailure(cause, shown) ?? fileFailure('open', shown, cause);
  }
}

class ArchiveFiles implements FileSet {
  readonly #handle: fs.promises.FileHandle;
  readonly #entries: ReadonlyMap<string, IndexedEntry>;

  private constructor(handle: fs.promises.FileHandle, entries: ReadonlyMap<string, IndexedEntry>) {
    this.#handle = handle;
    this.#entries = entries;
  }

  static async open(file: string): Promise<ArchiveFiles> {
    const { handle, size } = await openRegular(file);
    try {
      // also of the kernel's files, which say nothing of their size and of which some cannot be read
      if (size < 4) throw invalid(`${file} is no archive: it has ${size} bytes`, { object: file });
      const magic = Buffer.alloc(4);
      await handle.read(magic, 0, 4, 0);
      if (magic.readUInt16BE(0) === 0x1f8b || magic.readUInt32LE(0) === 0xfd2fb528)
        throw unsupported(
          `${file} is compressed as a whole: uncompress it first (its layers may be compressed)`,
          { object: file },
        );
      return new ArchiveFiles(handle, await indexTar(handle, size));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  async open(name: string): Promise<OpenPart> {
    const entry = this.#find(componentsOf(name).join('/'));
    if (entry === undefined) throw invalid(`the archive has no ${name}`, { object: name });
    const { offset, size } = entry;
    return {
      size,
      stream: () => readPart(this.#handle, offset, size),
      close: async () => {},
    };
  }

  /** Old archives of docker have a layer that two images share once, and links to it. */
  #find(name: string): IndexedEntry | undefined {
    let at = name;
    for (let links = 0; links < 8; links++) {
      const entry = this.#entries.get(path.posix.normalize(at));
      if (entry === undefined || entry.link === undefined) return entry;
      at = entry.isHard ? entry.link : path.posix.join(path.posix.dirname(at), entry.link);
    }
    return undefined;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
