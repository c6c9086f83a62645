/**
 * Which container has which image: a note for each, written before the container is made and taken away when
 * nothing of it is left.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type ContainerId, type Failpoints, isContainerId } from '@warden/interface';
import { fileFailure } from './failure.ts';
import { isMap } from './manifest.ts';

/** See the file's head. */
export class Uses {
  readonly #directory: string;
  readonly #failpoints: Failpoints;
  readonly #images = new Map<ContainerId, string>();

  constructor(root: string, failpoints: Failpoints) {
    this.#directory = path.join(root, 'uses');
    this.#failpoints = failpoints;
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    for (const name of fs.readdirSync(this.#directory))
      if (isContainerId(name)) this.#images.set(name, this.#read(name));
  }

  /** One that cannot be read stands for any image: nothing is taken from under a container. */
  #read(id: ContainerId): string {
    try {
      const note: unknown = JSON.parse(fs.readFileSync(path.join(this.#directory, id), 'utf8'));
      return isMap(note) && typeof note.image === 'string' ? note.image : '*';
    } catch {
      return '*';
    }
  }

  /** Errors: `NATIVE_FAILED`. */
  add(id: ContainerId, image: string): void {
    const file = path.join(this.#directory, id);
    try {
      fs.writeFileSync(`${file}.new`, JSON.stringify({ image }), { mode: 0o600 });
      fs.renameSync(`${file}.new`, file);
    } catch (cause) {
      fs.rmSync(`${file}.new`, { force: true });
      throw fileFailure('write', file, cause);
    }
    this.#images.set(id, image);
    this.#failpoints.passSync('image-use.note');
  }

  /** Errors: `NATIVE_FAILED`; the image counts as not used all the same. */
  remove(id: ContainerId): void {
    // whether or not the note can be removed: the next start finds that nobody has it
    if (!this.#images.delete(id)) return;
    const file = path.join(this.#directory, id);
    try {
      fs.rmSync(file, { force: true });
    } catch (cause) {
      throw fileFailure('remove', file, cause);
    }
    this.#failpoints.passSync('image-release.note');
  }

  of(image: string): readonly ContainerId[] {
    return [...this.#images].filter(([, one]) => one === image || one === '*').map(([id]) => id);
  }

  keep(containers: ReadonlySet<ContainerId>): void {
    for (const name of fs.readdirSync(this.#directory)) {
      if (containers.has(name)) continue;
      fs.rmSync(path.join(this.#directory, name), { force: true });
      this.#images.delete(name);
    }
  }
}
