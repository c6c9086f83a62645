/**
 * Removes what a container wrote, which may be meant to resist: names that are no UTF-8, nesting beyond the longest path, directories without
 * permissions (which matters to a daemon without root's rights), links to anywhere, immutable files. Nobody else may write below the tree meanwhile: paths are used, not descriptors.
 */
import fs from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { native } from './load-library.ts';

/** Together with one more name (255) below PATH_MAX (4096). */
const LONGEST_DIRECTORY = 3_800;
/** The daemon serves others between two such slices. */
const SLICE_MS = 8;

const SLASH = Buffer.from('/');
const NUL = Buffer.from([0]);

/**
 * Removes `root` and everything below it, serving the event loop meanwhile; nothing there is success. Errors: those of `node:fs`, with `code` and
 * `path`.
 */
export async function removeTree(root: string): Promise<void> {
  await new Removal(root).run();
}

class Removal {
  readonly #root: Buffer;
  #hoisted = 0;
  #sliceEnd = 0;

  constructor(root: string) {
    this.#root = Buffer.from(root);
  }

  async run(): Promise<void> {
    if (!isDirectory(this.#root)) return fs.rmSync(this.#root, { force: true });
    // A stack instead of recursion: a container can nest deeper than JavaScript can call.
    const stack = [this.#root];
    this.#sliceEnd = performance.now() + SLICE_MS;
    for (let directory = stack.at(-1); directory !== undefined; directory = stack.at(-1)) {
      const subdirectories = await this.#unlinkFiles(directory);
      if (subdirectories.length === 0) {
        withoutFlags([directory, parentOf(directory)], () =>
          opening(parentOf(directory), () => fs.rmdirSync(directory)),
        );
        stack.pop();
      }
      for (const one of subdirectories) {
        // What is hoisted is found again when the root is read the next time.
        if (one.length > LONGEST_DIRECTORY) this.#hoist(one);
        else stack.push(one);
      }
    }
  }

  /** Answers the directories that remain. */
  async #unlinkFiles(directory: Buffer): Promise<Buffer[]> {
    const subdirectories: Buffer[] = [];
    const names = opening(directory, () =>
      fs.readdirSync(directory, { encoding: 'buffer', withFileTypes: true }),
    );
    for (const found of names) {
      const entry = Buffer.concat([directory, SLASH, found.name]);
      if (found.isDirectory()) {
        subdirectories.push(entry);
        continue;
      }
      // where the listing does not say: unlink(2) tells directories apart without a stat, and it never follows a link
      try {
        opening(directory, () => fs.unlinkSync(entry));
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === 'EISDIR' || (errno === 'EPERM' && isDirectory(entry))) subdirectories.push(entry);
        else if (errno === 'EPERM') withoutFlags([directory, entry], () => fs.unlinkSync(entry));
        else throw error;
      }
      await this.#yieldAfterSlice();
    }
    return subdirectories;
  }

  /** Moves a directory whose entries would have names too long for a system call to the top of the tree. */
  #hoist(directory: Buffer): void {
    for (;;) {
      const target = Buffer.concat([this.#root, SLASH, Buffer.from(`.hoisted-${this.#hoisted++}`)]);
      try {
        withoutFlags([directory, parentOf(directory), this.#root], () =>
          opening(directory, () => opening(parentOf(directory), () => fs.renameSync(directory, target))),
        );
        return;
      } catch (error) {
        if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
      }
    }
  }

  async #yieldAfterSlice(): Promise<void> {
    if (performance.now() < this.#sliceEnd) return;
    await nextTurn();
    this.#sliceEnd = performance.now() + SLICE_MS;
  }
}

function isDirectory(file: Buffer): boolean {
  return fs.lstatSync(file, { throwIfNoEntry: false })?.isDirectory() === true;
}

function errnoOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** Root inside may make files immutable or append-only, which stops even root outside: the flags are cleared and `action` is done again. */
function withoutFlags(files: readonly Buffer[], action: () => void): void {
  try {
    action();
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') throw error;
    for (const file of files) native().warden_clear_immutable(Buffer.concat([file, NUL]));
    action();
  }
}

/** An owner may have taken the permissions of a directory from itself: they are given back and `action` is done again. */
function opening<T>(directory: Buffer, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    fs.chmodSync(directory, 0o700);
    return action();
  }
}

function parentOf(file: Buffer): Buffer {
  return file.subarray(0, file.lastIndexOf(SLASH));
}
