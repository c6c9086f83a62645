/**
 * A container's tree put on this host. It comes from hostile hands, so everything is made new in a directory
 * that this program has just made and nobody else may enter, below directories that it has made itself: a
 * link in the archive is never on the way, and nothing that was there is touched.
 */
import fs from 'node:fs';
import path from 'node:path';
import { isatty } from 'node:tty';
import { FILE_MODES, WardenError } from '@warden/interface';
import { readTar, type TarEntry } from './tar-reader.ts';
import { bytesOf } from './tar-writer.ts';

/** Deeper than any tree that can be read again. */
const MAX_DEPTH = 200;
const NEW_FILE = fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_NOFOLLOW;
const OPENED_FILE =
  fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_TRUNC | fs.constants.O_NOCTTY;

/** How a tree arrives. */
export interface Arrival {
  /** Of the tree's own directory, where the archive has only what lies in it. */
  readonly mode: number;
  onBytes(count: number): void;
}

/**
 * Puts the tree at `target`, which must not exist, as a whole or not at all. Errors: `ALREADY_EXISTS`,
 * `INVALID_SPEC`, `NATIVE_FAILED`.
 */
export async function extractTree(
  archive: AsyncIterable<Uint8Array>,
  target: string,
  { mode, onBytes }: Arrival,
): Promise<void> {
  refuseExisting(target);
  const staging = fs.mkdtempSync(path.join(path.dirname(path.resolve(target)), '.warden-cp-'));
  const root = `${staging}/tree`;
  const tree = new Tree(root);
  try {
    fs.mkdirSync(root);
    for await (const entry of readTar(archive)) await tree.put(entry, onBytes);
    tree.finish();
    refuseExisting(target);
    fs.renameSync(root, target);
    // only now: a directory that its owner may not write into cannot be moved
    tree.finishRoot(target, mode);
  } finally {
    removeStaging(staging, tree);
  }
}

/** Never throws: what is to be told is why the tree did not arrive. */
function removeStaging(staging: string, tree: Tree): void {
  try {
    tree.open();
    fs.rmSync(staging, { recursive: true, force: true });
  } catch {
    // it stays, under a name that tells whose it is
  }
}

function refuseExisting(target: string): void {
  if (fs.lstatSync(target, { throwIfNoEntry: false }) === undefined) return;
  throw new WardenError('ALREADY_EXISTS', `${target} already exists; remove it, or name another target`, {
    fields: { operation: 'cp', object: target },
  });
}

class Tree {
  readonly #root: string;
  /** Made by this program; nothing else is ever on the way. */
  readonly #directories = new Set(['']);
  /** Modes that could forbid to go on, and times, which the content changes. */
  readonly #late: { readonly path: string; readonly mode: number; readonly modified: number }[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  async put(entry: TarEntry, onBytes: (count: number) => void): Promise<void> {
    const parts = entry.name.split('/').filter((part) => part !== '' && part !== '.');
    if (
      parts.includes('..') ||
      entry.name.startsWith('/') ||
      entry.name.includes('\0') ||
      parts.length > MAX_DEPTH
    )
      throw hostile(entry.name);
    const name = parts.join('/');
    const file = name === '' ? this.#root : `${this.#root}/${name}`;
    if (name === '') {
      if (entry.type !== 'directory') throw hostile(entry.name);
    } else {
      this.#makeParents(parts.slice(0, -1), entry.name);
    }
    if (entry.type === 'directory') {
      if (name !== '' && !this.#directories.has(name)) fs.mkdirSync(bytesOf(file), 0o700);
      this.#directories.add(name);
      this.#late.push({ path: file, mode: entry.mode, modified: entry.modified });
    } else if (entry.type === 'symlink') {
      if (entry.target.includes('\0')) throw hostile(entry.name);
      fs.symlinkSync(bytesOf(entry.target), bytesOf(file));
      setTime(file, entry.modified);
    } else {
      await writeNew(file, entry, onBytes);
    }
  }

  /** Directories hold what came later; the last made are finished first. */
  finish(): void {
    for (const { path: file, mode, modified } of this.#late.toReversed()) {
      if (file === this.#root) continue;
      setTime(file, modified);
      fs.chmodSync(bytesOf(file), mode);
    }
  }

  /** Before it is removed: its owner may have no way into directories that are finished. */
  open(): void {
    if (!fs.existsSync(this.#root)) return;
    for (const name of this.#directories) fs.chmodSync(bytesOf(`${this.#root}/${name}`), 0o700);
  }

  /** The tree itself, where it is now. */
  finishRoot(target: string, otherwise: number): void {
    const own = this.#late.find(({ path: file }) => file === this.#root);
    if (own !== undefined) setTime(target, own.modified);
    fs.chmodSync(target, (own?.mode ?? otherwise) & FILE_MODES);
  }

  /** An archive may leave out directories on the way. */
  #makeParents(parts: readonly string[], name: string): void {
    for (let length = 1; length <= parts.length; length += 1) {
      const parent = parts.slice(0, length).join('/');
      if (this.#directories.has(parent)) continue;
      const file = bytesOf(`${this.#root}/${parent}`);
      // something that is no directory of ours would be followed
      if (fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined) throw hostile(name);
      fs.mkdirSync(file, 0o755);
      this.#directories.add(parent);
    }
  }
}

async function writeNew(file: string, entry: TarEntry, onBytes: (count: number) => void): Promise<void> {
  const handle = await fs.promises.open(bytesOf(file), NEW_FILE, 0o600);
  try {
    for await (const piece of entry.content) {
      await handle.writeFile(piece);
      onBytes(piece.length);
    }
    await handle.chmod(entry.mode);
  } finally {
    await handle.close();
  }
  setTime(file, entry.modified);
}

function setTime(file: string, seconds: number): void {
  if (Number.isFinite(seconds) && Math.abs(seconds) < 2 ** 40)
    fs.lutimesSync(bytesOf(file), seconds, seconds);
}

function hostile(name: string): WardenError {
  return new WardenError(
    'INVALID_SPEC',
    `the archive of the container leads elsewhere: ${JSON.stringify(name)}`,
    {
      fields: { operation: 'cp', object: name },
    },
  );
}

/**
 * Puts one file at `target`: the old content or the new, never a part. A link is replaced, not followed. Only
 * what is no file that could be replaced is written into: a device or a named pipe, also behind a link, and
 * whatever lies in /dev or /proc, where others rely on the names (`/dev/stdout` is a link). Errors:
 * `INVALID_SPEC` for a terminal.
 */
export async function replaceFile(
  target: string,
  mode: number,
  content: AsyncIterable<Uint8Array>,
): Promise<void> {
  const directory = fs.realpathSync(path.dirname(path.resolve(target)));
  const found = fs.statSync(target, { throwIfNoEntry: false });
  if ((found !== undefined && !found.isFile()) || /^\/(dev|proc)(\/|$)/.test(directory))
    return writeInto(target, mode, content);
  const draft = path.join(directory, `.warden-cp-${process.pid}-${Date.now()}`);
  const handle = await fs.promises.open(draft, NEW_FILE, 0o600);
  try {
    for await (const piece of content) await handle.writeFile(piece);
    await handle.chmod(mode & FILE_MODES);
    fs.renameSync(draft, target);
  } catch (error) {
    fs.rmSync(draft, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

async function writeInto(target: string, mode: number, content: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await fs.promises.open(target, OPENED_FILE, mode & FILE_MODES);
  try {
    if (isatty(handle.fd))
      throw new WardenError('INVALID_SPEC', `${target} is a terminal`, {
        fields: {
          operation: 'cp',
          object: target,
          advice: 'a file could give it orders: write - to have it shown on standard output, without them',
        },
      });
    for await (const piece of content) await handle.writeFile(piece);
  } finally {
    await handle.close();
  }
}
