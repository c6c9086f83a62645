/** What pulls have fetched, in files named after their digests. A pull that broke off leaves them: the next one for the same image goes on with them. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { removeTree } from '@warden/native';
import { fileFailure } from './failure.ts';

/** See the file's head. */
export class Downloads {
  readonly directory: string;
  readonly #staging: string;

  constructor(root: string) {
    this.directory = path.join(root, 'downloads');
    this.#staging = path.join(root, 'staging');
  }

  make(): void {
    fs.mkdirSync(this.directory, { recursive: true, mode: 0o700 });
  }

  /** Removes all, and answers what was given back. No pull may be running when it is called; one that begins meanwhile is not disturbed. */
  async clear(): Promise<number> {
    const bytes = this.#files().reduce((sum, { size }) => sum + size, 0);
    if (!fs.existsSync(this.directory)) return 0;
    const aside = path.join(this.#staging, randomBytes(8).toString('hex'));
    fs.renameSync(this.directory, aside);
    await removeTree(aside);
    return bytes;
  }

  /** Removes the oldest until the others have no more than this. No pull may be running. Errors: `NATIVE_FAILED`. */
  keepWithin(maxBytes: number): void {
    const files = [...this.#files()].sort((a, b) => a.mtimeMs - b.mtimeMs);
    let bytes = files.reduce((sum, { size }) => sum + size, 0);
    for (const { file, size } of files) {
      if (bytes <= maxBytes) return;
      try {
        fs.rmSync(file, { recursive: true, force: true });
      } catch (cause) {
        throw fileFailure('remove', file, cause);
      }
      bytes -= size;
    }
  }

  #files(): readonly { readonly file: string; readonly size: number; readonly mtimeMs: number }[] {
    if (!fs.existsSync(this.directory)) return [];
    return fs.readdirSync(this.directory).map((name) => {
      const file = path.join(this.directory, name);
      const { size, mtimeMs } = fs.lstatSync(file);
      return { file, size, mtimeMs };
    });
  }
}
