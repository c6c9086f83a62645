/** Which images there are: one file, replaced as a whole, so that each change of it is there or not. */
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import type { Failpoints } from '@warden/interface';
import { syncDirectory } from '@warden/native';
import { parseDigest } from './digest.ts';
import { fileFailure, invalid } from './failure.ts';
import { isMap } from './manifest.ts';

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
/** Of what an image says how it is run. Serialisation recurses: what is too deep for it would keep every later index from being written. */
const MAX_DEPTH = 64;
const FILE = 'index.json';

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
      `${file} is damaged or of another version: put an older copy in its place, or remove ${root} when no container uses images`,
      { object: file },
    );
  const [, sum, body] = /^([0-9a-f]{8})\n(.*)$/s.exec(text) ?? [];
  if (body === undefined || checksum(body) !== sum) throw damaged();
  const found: unknown = JSON.parse(body);
  if (!isMap(found) || found.version !== VERSION || !Array.isArray(found.images) || !isMap(found.names))
    throw damaged();
  return {
    images: new Map(
      (found.images as StoredImage[]).map((image) => [parseDigest(image.id, file).text, image]),
    ),
    names: new Map(Object.entries(found.names as Record<string, string>)),
  };
}

/** Synchronous, so that two writes never overtake each other. Errors: `NATIVE_FAILED`; the old one is still there then. */
export function writeIndex(root: string, index: ImageIndex, failpoints: Failpoints): void {
  const file = path.join(root, FILE);
  const body = JSON.stringify({
    version: VERSION,
    images: [...index.images.values()],
    names: Object.fromEntries(index.names),
  });
  replaceFile(file, `${checksum(body)}\n${body}`, () => failpoints.passSync('image-index.write'));
}

function checksum(text: string): string {
  return zlib.crc32(text).toString(16).padStart(8, '0');
}

/** Writes beside, to the disk, and renames. Errors: `NATIVE_FAILED`. */
export function replaceFile(file: string, text: string, before: () => void = () => {}): void {
  const beside = `${file}.new`;
  try {
    const descriptor = fs.openSync(beside, 'w', 0o600);
    try {
      fs.writeFileSync(descriptor, text);
      fs.fdatasyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    before();
    fs.renameSync(beside, file);
    syncDirectory(path.dirname(file));
  } catch (cause) {
    fs.rmSync(beside, { force: true });
    if (cause instanceof Error && 'fields' in cause) throw cause;
    throw fileFailure('write', file, cause);
  }
}
