/** A tree of this host as a tar archive (ustar, with pax records for what does not fit), read while it is sent. */
import fs from 'node:fs';
import path from 'node:path';
import { decodeBytes, encodeBytes, WardenError } from '@warden/interface';

const BLOCK = 512;
const NAME_BYTES = 100;
/** What eleven octal digits hold. */
const MAX_OCTAL = 8 ** 11 - 1;
const READ_BYTES = 262_144;

/** Something below a root, found but not read. */
export interface TreeEntry {
  /** Relative, with `/`; empty: the root itself. */
  readonly name: string;
  readonly path: string;
  readonly stat: fs.Stats;
}

/**
 * Walks along a tree, directories before what they hold; links are not followed. What vanishes meanwhile is
 * left out.
 */
export function* walkTree(root: string, name = ''): Generator<TreeEntry, void, undefined> {
  const stat = fs.lstatSync(bytesOf(root), { throwIfNoEntry: false });
  if (stat === undefined) return;
  yield { name, path: root, stat };
  if (!stat.isDirectory()) return;
  // names as the bytes they are
  for (const bytes of fs.readdirSync(bytesOf(root), { encoding: 'buffer' }).sort(Buffer.compare)) {
    const entry = decodeBytes(bytes);
    yield* walkTree(`${root}/${entry}`, name === '' ? entry : `${name}/${entry}`);
  }
}

/** A path whose characters may stand for bytes that are no UTF-8. */
export function bytesOf(file: string): Buffer {
  return Buffer.from(encodeBytes(file));
}

/** What is told while an archive is written. */
export interface TarWatch {
  onBytes(count: number): void;
  /** A pipe, socket or device: it is left out. */
  onSkipped(name: string): void;
}

/** The archive; names begin with `prefix`. Errors: `NATIVE_FAILED`, `BAD_STATE` (a file shrank while it was read). */
export async function* writeTar(
  root: string,
  prefix: string,
  watch: TarWatch,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const { name, path: file, stat } of walkTree(root)) {
    const full = [prefix, name].filter((part) => part !== '').join('/');
    if (stat.isDirectory()) {
      if (full !== '') yield header(`${full}/`, stat, '5');
    } else if (stat.isSymbolicLink()) {
      yield header(full, stat, '2', decodeBytes(fs.readlinkSync(bytesOf(file), { encoding: 'buffer' })));
    } else if (stat.isFile()) {
      yield* fileEntry(full, file, watch);
    } else {
      watch.onSkipped(full);
    }
  }
  yield new Uint8Array(2 * BLOCK);
}

async function* fileEntry(
  name: string,
  file: string,
  watch: TarWatch,
): AsyncGenerator<Uint8Array, void, undefined> {
  // what is looked at and what is read are the same file, and no link that took its place
  const handle = await fs.promises.open(bytesOf(file), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    const stat = await handle.stat();
    yield header(name, stat, '0');
    for (let left = stat.size; left > 0; ) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(Math.min(left, READ_BYTES)));
      if (bytesRead === 0) throw shrunk(file);
      left -= bytesRead;
      watch.onBytes(bytesRead);
      yield buffer.subarray(0, bytesRead);
    }
    if (stat.size % BLOCK > 0) yield new Uint8Array(BLOCK - (stat.size % BLOCK));
  } finally {
    await handle.close();
  }
}

function shrunk(file: string): WardenError {
  return new WardenError('BAD_STATE', `${file} became shorter while it was copied; copy it again`, {
    fields: { operation: 'copy', object: file },
  });
}

function header(name: string, stat: fs.Stats, type: '0' | '2' | '5', target = ''): Uint8Array {
  const size = type === '0' ? stat.size : 0;
  const seconds = Math.max(0, Math.floor(stat.mtimeMs / 1000));
  const records = Buffer.concat([
    ...(bytesOf(name).length > NAME_BYTES ? [paxRecord('path', name)] : []),
    ...(bytesOf(target).length > NAME_BYTES ? [paxRecord('linkpath', target)] : []),
    ...(size > MAX_OCTAL ? [paxRecord('size', String(size))] : []),
  ]);
  const own = block({
    name,
    mode: stat.mode & 0o7777,
    size: Math.min(size, MAX_OCTAL),
    seconds,
    type,
    target,
  });
  if (records.length === 0) return own;
  const extended = block({ name: 'pax', mode: 0o644, size: records.length, seconds, type: 'x', target: '' });
  return Buffer.concat([extended, records, new Uint8Array(-records.length & (BLOCK - 1)), own]);
}

function block(entry: {
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  readonly seconds: number;
  readonly type: string;
  readonly target: string;
}): Buffer {
  const head = Buffer.alloc(BLOCK);
  bytesOf(entry.name).copy(head, 0, 0, NAME_BYTES);
  for (const [at, width, value] of [
    [100, 8, entry.mode],
    [108, 8, 0],
    [116, 8, 0],
    [124, 12, entry.size],
    [136, 12, entry.seconds],
  ] as const)
    head.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
  head.write(`        ${entry.type}`, 148, 'latin1');
  bytesOf(entry.target).copy(head, 157, 0, NAME_BYTES);
  head.write('ustar\x0000', 257, 'latin1');
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return head;
}

/** `LENGTH NAME=VALUE`, where the length counts itself. */
function paxRecord(name: string, value: string): Buffer {
  const rest = bytesOf(` ${name}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** Bytes in all regular files of a tree. */
export function treeSize(root: string): number {
  let size = 0;
  for (const { stat } of walkTree(root)) if (stat.isFile()) size += stat.size;
  return size;
}

/** Last component of a path; `undefined` for `.`, `..` and `/`, which have none. */
export function baseName(file: string): string | undefined {
  const name = path.posix.basename(file);
  return name === '.' || name === '..' || name === '' ? undefined : name;
}
