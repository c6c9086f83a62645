/**
 * The unpacked layers. One is made in the staging directory and gets its place by a rename when it is
 * complete and on the disk: what lies in staging is half made, or on its way out, and is removed at the next
 * start.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Failpoints } from '@warden/interface';
import { removeTree, syncDirectory } from '@warden/native';
import { parseDigest } from './digest.ts';
import { fileFailure, invalid } from './failure.ts';
import { replaceFile } from './replace-file.ts';
import type { UnpackedSize } from './unpack.ts';

/** What is known of a layer. */
export interface LayerNote extends UnpackedSize {
  /** Of its archive without compression; of a captured one, a number of its own in the same form. */
  readonly diffId: string;
}

const NOTE = 'layer.json';
const TREE = 'fs';
/** What the kernel says where no note is. */
const NO_NOTE = ['ENOENT', 'ENOTDIR', 'EISDIR'];
/**
 * Of the digest: enough to tell layers apart, and short, because the kernel takes one page of paths. The note
 * has all of it.
 */
const KEY_LENGTH = 32;

/** See the file's head. */
export class Layers {
  readonly #directory: string;
  readonly #staging: string;
  readonly #failpoints: Failpoints;
  readonly #notes = new Map<string, LayerNote>();

  constructor(root: string, failpoints: Failpoints, kind: 'layers' | 'flat' = 'layers') {
    this.#directory = path.join(root, kind);
    this.#staging = path.join(root, 'staging');
    this.#failpoints = failpoints;
    for (const directory of [this.#directory, this.#staging])
      fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const key of fs.readdirSync(this.#directory)) this.#load(key);
  }

  /**
   * One without a note is not complete, whatever it is: it is not there. Errors: `NATIVE_FAILED`, where only
   * the note cannot be read now: what is not there is removed.
   */
  #load(key: string): void {
    const file = path.join(this.#directory, key, NOTE);
    let text: string;
    try {
      text = fs.readFileSync(file, 'utf8');
    } catch (cause) {
      if (NO_NOTE.includes(String((cause as NodeJS.ErrnoException).code))) return; // removed by `clear`
      throw fileFailure('read', file, cause);
    }
    try {
      const note = JSON.parse(text) as LayerNote;
      parseDigest(note.diffId, key);
      if (keyOf(note.diffId) === key) this.#notes.set(note.diffId, note);
    } catch {
      // removed by `clear`
    }
  }

  get bytes(): number {
    return [...this.#notes.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get(diffId: string): LayerNote | undefined {
    return this.#notes.get(diffId);
  }

  all(): readonly LayerNote[] {
    return [...this.#notes.values()];
  }

  tree(diffId: string): string {
    return path.join(this.#directory, keyOf(diffId), TREE);
  }

  /** A new, empty tree in staging, and how to keep it. */
  async make(diffId: string, fill: (tree: string) => Promise<UnpackedSize>): Promise<LayerNote> {
    const place = path.join(this.#staging, randomBytes(8).toString('hex'));
    try {
      fs.mkdirSync(place, { mode: 0o700 });
      fs.mkdirSync(path.join(place, TREE), { mode: 0o755 });
      await this.#failpoints.pass('image-import.staging');
      const note: LayerNote = { diffId, ...(await fill(path.join(place, TREE))) };
      await this.#failpoints.pass('image-import.unpack');
      replaceFile(path.join(place, NOTE), JSON.stringify(note));
      await this.#failpoints.pass('image-import.note');
      const target = path.join(this.#directory, keyOf(diffId));
      if (fs.existsSync(target)) this.#refuseOther(diffId, target);
      fs.renameSync(place, target);
      this.#notes.set(diffId, note); // it has its place, also when that cannot be put on the disk
      syncDirectory(this.#directory);
      await this.#failpoints.pass('image-import.layer');
      return note;
    } catch (error) {
      await removeTree(place).catch(() => {});
      await this.remove(diffId).catch(() => {}); // it may have had its place already
      throw error;
    }
  }

  /** Something without a note is in the way of nobody; a layer with another digest that begins alike would be. */
  #refuseOther(diffId: string, target: string): void {
    if (fs.existsSync(path.join(target, NOTE)))
      throw invalid(`another layer has a digest that begins as ${diffId} does`, { object: diffId });
    fs.renameSync(target, path.join(this.#staging, randomBytes(8).toString('hex')));
  }

  /** Out of its place at once; what it takes on the disk is given back before it resolves. */
  async remove(diffId: string): Promise<number> {
    const note = this.#notes.get(diffId);
    if (note === undefined) return 0;
    const place = path.join(this.#staging, randomBytes(8).toString('hex'));
    fs.renameSync(path.join(this.#directory, keyOf(diffId)), place);
    this.#notes.delete(diffId);
    try {
      await this.#failpoints.pass('image-remove.staging');
    } finally {
      await removeTree(place);
    }
    return note.bytes;
  }

  /** At the start, when nothing is being made: what is half made or was on its way out. */
  async clear(): Promise<void> {
    for (const name of fs.readdirSync(this.#staging)) await removeTree(path.join(this.#staging, name));
    const known = new Set([...this.#notes.keys()].map(keyOf));
    for (const key of fs.readdirSync(this.#directory))
      if (!known.has(key)) await removeTree(path.join(this.#directory, key));
  }
}

function keyOf(diffId: string): string {
  return diffId.slice(diffId.indexOf(':') + 1).slice(0, KEY_LENGTH);
}
