/**
 * Copies a directory as it is, without a program: owner, mode, times, links. Devices, pipes and sockets stay
 * behind; extended attributes, which Node cannot read, do too. Names are bytes, not text.
 */
import fs from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { decodeBytes } from '@warden/interface';
import { copySparseFileOnThread } from '@warden/native';

/** The daemon serves others between two such slices. */
const SLICE_MS = 8;
/** From here on, copying one file may take longer than a slice. */
const LARGE_FILE_BYTES = 4 << 20;

/** In which `stat` counts. */
const BLOCK_BYTES = 512;

const SLASH = Buffer.from('/');
const COPY_MODE = fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE;

/**
 * Copies `source` to `target`, which must not exist. Symbolic links below are copied, never followed; hard
 * links within the tree stay linked. Nobody may write to either meanwhile. Errors: those of `node:fs`;
 * `NATIVE_FAILED`; what was copied so far remains.
 */
export async function copyTree(source: string, target: string): Promise<void> {
  await new Copy().directory(Buffer.from(source), Buffer.from(target));
}

class Copy {
  /** Where the first name of a file with several names went, by device and inode. */
  readonly #linked = new Map<string, Buffer>();
  #sliceEnd = performance.now() + SLICE_MS;

  async directory(source: Buffer, target: Buffer): Promise<void> {
    fs.mkdirSync(target);
    for (const name of fs.readdirSync(source, { encoding: 'buffer' }))
      await this.#entry(Buffer.concat([source, SLASH, name]), Buffer.concat([target, SLASH, name]));
    copyFacts(fs.lstatSync(source), target); // last: what is made inside changes its times
  }

  async #entry(source: Buffer, target: Buffer): Promise<void> {
    const facts = fs.lstatSync(source);
    if (facts.isDirectory()) {
      await this.directory(source, target);
    } else if (facts.isFile()) {
      await this.#file(source, target, facts);
    } else if (facts.isSymbolicLink()) {
      fs.symlinkSync(fs.readlinkSync(source, { encoding: 'buffer' }), target);
      fs.lchownSync(target, facts.uid, facts.gid);
      fs.lutimesSync(target, facts.atimeMs / 1_000, facts.mtimeMs / 1_000);
    }
    await this.#yieldAfterSlice();
  }

  async #file(source: Buffer, target: Buffer, facts: fs.Stats): Promise<void> {
    const identity = `${facts.dev}:${facts.ino}`;
    const first = facts.nlink > 1 ? this.#linked.get(identity) : undefined;
    if (first !== undefined) return fs.linkSync(first, target);
    if (facts.nlink > 1) this.#linked.set(identity, target);
    // Node writes holes out where the file system shares no extents: some files in /var are little else
    if (facts.blocks * BLOCK_BYTES < facts.size)
      await copySparseFileOnThread(decodeBytes(source), decodeBytes(target));
    else if (facts.size < LARGE_FILE_BYTES) fs.copyFileSync(source, target, COPY_MODE);
    else await fs.promises.copyFile(source, target, COPY_MODE);
    copyFacts(facts, target);
  }

  async #yieldAfterSlice(): Promise<void> {
    if (performance.now() < this.#sliceEnd) return;
    await nextTurn();
    this.#sliceEnd = performance.now() + SLICE_MS;
  }
}

function copyFacts(facts: fs.Stats, target: Buffer): void {
  fs.chownSync(target, facts.uid, facts.gid);
  fs.chmodSync(target, facts.mode & 0o7777); // after chown, which clears set-id bits
  fs.utimesSync(target, facts.atimeMs / 1_000, facts.mtimeMs / 1_000);
}
