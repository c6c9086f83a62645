/** Which images there are: one file, replaced as a whole, so that each change of it is there or not. */
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { type Failpoints, isWardenError } from '@warden/interface';
import { syncDirectory } from '@warden/native';
import { parseDigest } from './digest.ts';
import { fileFailure, invalid, isFull } from './failure.ts';
import { isMap } from './manifest.ts';
import { replaceFile } from './replace-file.ts';

/** An image as the file has it. */
export interface StoredImage {
  readonly id: string;
  readonly created?: string;
  /** The lowest first. */
  readonly layers: readonly string[];
  readonly run: Readonly<Record<string, unknown>>;
}

/** The whole of it. */
export interface ImageIndex {
  readonly images: Map<string, StoredImage>;
  /** Name to id. */
  readonly names: Map<string, string>;
}

const VERSION = 1;
/**
 * Of what an image says how it is run. Serialisation recurses: what is too deep for it would keep every later
 * index from being written.
 */
const MAX_DEPTH = 64;
const FILE = 'index.json';
const SPARE = 'index.spare';

/** Errors: `INVALID_SPEC`: the file could not hold the image. */
export function checkStorable({ id, run }: StoredImage): void {
  let level: readonly unknown[] = [run];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH)
      throw invalid(
        `the configuration of the image is nested more than ${MAX_DEPTH} levels deep: make it flatter`,
        { object: id },
      );
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
}

/** Errors: `INVALID_SPEC`: the file is damaged, or of a newer daemon. */
export function readIndex(root: string): ImageIndex {
  const file = path.join(root, FILE);
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { images: new Map(), names: new Map() };
    throw fileFailure('read', file, cause);
  }
  const damaged = (): Error =>
    invalid(
      `${file} is damaged: put an older copy in its place, or remove ${root} when no container uses images`,
      { object: file },
    );
  const [, sum, body] = /^([0-9a-f]{8})\n(.*)$/s.exec(text) ?? [];
  if (body === undefined || checksum(body) !== sum) throw damaged();
  const found: unknown = JSON.parse(body);
  if (isMap(found) && Number(found.version) > VERSION)
    throw invalid(
      `${file} has version ${found.version}, this daemon knows ${VERSION}: start the daemon that wrote it, which is newer; nothing was changed`,
      { object: file },
    );
  if (!isMap(found) || found.version !== VERSION || !Array.isArray(found.images) || !isMap(found.names))
    throw damaged();
  return {
    images: new Map(
      (found.images as StoredImage[]).map((image) => [parseDigest(image.id, file).text, image]),
    ),
    names: new Map(Object.entries(found.names as Record<string, string>)),
  };
}

/**
 * Makes this the index. Synchronous, so that two writes never overtake each other. Before it the spare (see
 * {@link writeShrunkIndex}) is made as large, so that what is added on a disk that is nearly full can be
 * removed on one that is full. Errors: `NATIVE_FAILED`; the old one is still there then, or, where it cannot
 * be told whether the name of the new one is on the disk, the new one.
 */
export function writeIndex(root: string, index: ImageIndex, failpoints: Failpoints): void {
  const text = serialised(index);
  keepSpare(root, text);
  replaceFile(path.join(root, FILE), text, () => failpoints.passSync('image-index.write'));
}

/**
 * As `writeIndex`, without room on the disk, for an index that has become smaller: written over the blocks of
 * the spare, which takes the index's place, as the old index takes the spare's. Answers false, and nothing
 * has changed, where there is no spare that holds it, or even that needs room. Errors: as `writeIndex`.
 */
export function writeShrunkIndex(root: string, index: ImageIndex, failpoints: Failpoints): boolean {
  const text = serialised(index);
  const file = path.join(root, FILE);
  const spare = path.join(root, SPARE);
  if (spareBytes(root) < Buffer.byteLength(text)) return false;
  try {
    const descriptor = fs.openSync(spare, 'r+');
    try {
      fs.writeFileSync(descriptor, text);
      fs.ftruncateSync(descriptor, Buffer.byteLength(text));
      fs.fdatasyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    failpoints.passSync('image-index.write');
    const before = secondName(file);
    fs.renameSync(spare, file);
    if (before !== undefined) fs.renameSync(before, spare);
    syncDirectory(root);
    return true;
  } catch (cause) {
    const failure = isWardenError(cause) ? cause : fileFailure('write', file, cause);
    if (isFull(failure)) return false; // a file system that writes everything in a new place
    throw failure;
  }
}

/**
 * Keeps the blocks of a file that is about to be replaced; undefined where the directory has no room for the
 * name: they are free then, for whoever is the first to take them.
 */
function secondName(file: string): string | undefined {
  const name = `${file}.old`;
  fs.rmSync(name, { force: true });
  try {
    fs.linkSync(file, name);
    return name;
  } catch {
    return undefined;
  }
}

/**
 * The content counts for nothing, but is none of zeros, which some file systems do not store. Errors:
 * `NATIVE_FAILED`.
 */
function keepSpare(root: string, text: string): void {
  if (spareBytes(root) < Buffer.byteLength(text)) replaceFile(path.join(root, SPARE), text);
}

function spareBytes(root: string): number {
  return fs.lstatSync(path.join(root, SPARE), { throwIfNoEntry: false })?.size ?? 0;
}

function serialised({ images, names }: ImageIndex): string {
  const body = JSON.stringify({
    version: VERSION,
    images: [...images.values()],
    names: Object.fromEntries(names),
  });
  return `${checksum(body)}\n${body}`;
}

function checksum(text: string): string {
  return zlib.crc32(text).toString(16).padStart(8, '0');
}
