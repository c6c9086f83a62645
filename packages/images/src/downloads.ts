/**
 * What pulls have fetched: a file for each layer and registry, so that no registry keeps those of another
 * waiting. A pull holds the file of a layer until that is unpacked, or it has ended; pulls of one layer fetch
 * it one after another, and so once. One that breaks off leaves its files, and the next one for the same
 * image goes on with them: they are what gives way when there is no room.
 */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { fileFailure } from './failure.ts';
import type { Descriptor } from './manifest.ts';
import { Turns } from './turns.ts';

/** A file that running pulls need. */
interface HeldFile {
  /** Bytes that it has when it is complete. */
  readonly size: number;
  readonly turns: Turns;
  holders: number;
}

/** The files of one running pull. Each of `leave` and `remove` ends it, once. */
export interface Hold {
  file(layer: Descriptor): string;
  /**
   * Does `action` while no other pull fetches the same file. Errors: those of the action; `ABORTED` when
   * `signal` is aborted before.
   */
  alone<T>(layer: Descriptor, action: () => Promise<T>, signal: AbortSignal | undefined): Promise<T>;
  /**
   * This pull needs the file of the layer no more: it goes, unless another pull needs it. Idempotent. Errors:
   * `NATIVE_FAILED`.
   */
  drop(layer: Descriptor): Promise<void>;
  /** The files stay for the next pull. */
  leave(): void;
  /** The files go, but for those that another pull needs. */
  remove(): Promise<void>;
}

/** See the file's head. */
export class Downloads {
  readonly directory: string;
  readonly #staging: string;
  /** By the names of the files. */
  readonly #held = new Map<string, HeldFile>();

  constructor(root: string) {
    this.directory = path.join(root, 'downloads');
    this.#staging = path.join(root, 'staging');
  }

  /**
   * Keeps the files of these layers from this registry for a pull, and makes room for them: the oldest of
   * what nobody holds goes. `maxBytes`: of all files. Errors: `POOL_EXHAUSTED` when they are more than that,
   * together with those of other pulls; `NATIVE_FAILED`.
   */
  hold(layers: readonly Descriptor[], registry: string, maxBytes: number): Hold {
    const files = new Map(layers.map((layer) => [nameOf(layer, registry), layer.size]));
    const used = this.#heldBytes();
    const added = [...files].reduce((sum, [name, size]) => sum + (this.#held.has(name) ? 0 : size), 0);
    if (used + added > maxBytes) throw tooLarge(added, used, maxBytes);
    for (const [name, size] of files) {
      const held = this.#held.get(name) ?? { size, turns: new Turns(), holders: 0 };
      held.holders++;
      this.#held.set(name, held);
    }
    const release = (names: readonly string[] = [...files.keys()]): string[] =>
      names.filter((name) => files.delete(name) && this.#release(name));
    const hold: Hold = {
      file: (layer) => path.join(this.directory, nameOf(layer, registry)),
      alone: (layer, action, signal) => this.#held.get(nameOf(layer, registry))!.turns.take(action, signal),
      drop: (layer) => this.#remove(release([nameOf(layer, registry)])),
      leave: () => void release(),
      remove: () => this.#remove(release()),
    };
    try {
      fs.mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      this.keepWithin(maxBytes);
    } catch (error) {
      hold.leave();
      throw error;
    }
    return hold;
  }

  /** Removes all that no pull holds, and answers what was given back. */
  async clear(): Promise<number> {
    const files = this.#unheld();
    const removal = this.#remove(files.map(({ name }) => name));
    try {
      if (this.#held.size === 0 && fs.existsSync(this.directory)) fs.rmdirSync(this.directory);
    } finally {
      // what stays is also why the directory does; a rejection that nobody awaits ends the daemon
      await removal;
    }
    return files.reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * Out of their places at once, so that a pull that begins meanwhile does not count on them. Those that are
   * not there are no error.
   */
  async #remove(names: readonly string[]): Promise<void> {
    const aside: string[] = [];
    for (const name of names) {
      const place = path.join(this.#staging, randomBytes(8).toString('hex'));
      try {
        fs.renameSync(path.join(this.directory, name), place);
        aside.push(place);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'ENOENT')
          throw fileFailure('remove', path.join(this.directory, name), cause);
      }
    }
    for (const place of aside) await fs.promises.rm(place, { recursive: true, force: true });
  }

  /**
   * Removes the oldest that no pull holds until there is no more than this; what is held counts with what it
   * will be. Errors: `NATIVE_FAILED`.
   */
  keepWithin(maxBytes: number): void {
    const files = [...this.#unheld()].sort((a, b) => a.mtimeMs - b.mtimeMs);
    let bytes = files.reduce((sum, { size }) => sum + size, this.#heldBytes());
    for (const { name, size } of files) {
      if (bytes <= maxBytes) return;
      const file = path.join(this.directory, name);
      try {
        fs.rmSync(file, { recursive: true, force: true });
      } catch (cause) {
        throw fileFailure('remove', file, cause);
      }
      bytes -= size;
    }
  }

  #heldBytes(): number {
    return [...this.#held.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Whether nobody else holds it. */
  #release(name: string): boolean {
    const held = this.#held.get(name)!;
    if (--held.holders > 0) return false;
    return this.#held.delete(name);
  }

  #unheld(): readonly { readonly name: string; readonly size: number; readonly mtimeMs: number }[] {
    if (!fs.existsSync(this.directory)) return [];
    return fs
      .readdirSync(this.directory)
      .filter((name) => !this.#held.has(name))
      .map((name) => {
        const { size, mtimeMs } = fs.lstatSync(path.join(this.directory, name));
        return { name, size, mtimeMs };
      });
  }
}

/**
 * For the same registry and size: what a manifest says of a layer is not to be what another one gets. By a
 * hash, since an address has characters that a file's name may not have.
 */
function nameOf({ digest, size }: Descriptor, registry: string): string {
  const origin = createHash('sha256').update(`${size} ${registry}`).digest('hex').slice(0, 16);
  return `${digest.algorithm}-${digest.hex}-${origin}`;
}

function tooLarge(bytes: number, used: number, limit: number): WardenError {
  const others = used === 0 ? '' : `, of which pulls that run take ${used}`;
  return new WardenError(
    'POOL_EXHAUSTED',
    `the image does not fit into the store: ${bytes} bytes compressed, there may be ${limit}${others} (images.max_size)`,
    { fields: { operation: 'pull image', pool: 'images', used: used + bytes, limit } },
  );
}
