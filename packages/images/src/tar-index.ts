/**
 * Where the files of a tar archive lie. Their content is not looked at, and nothing is made of their names
 * but keys.
 */
import type fs from 'node:fs';
import path from 'node:path';
import { invalid, unsupported } from './failure.ts';

const BLOCK = 512;
/** An archive of an image has a few for each layer. */
const MAX_ENTRIES = 10_000;
const MAX_EXTENSION_BYTES = 1 << 20;

/** A file, or a link to one. */
export interface IndexedEntry {
  readonly offset: number;
  readonly size: number;
  readonly link?: string;
  readonly isHard?: boolean;
}

interface Extension {
  path?: string;
  linkpath?: string;
  size?: number;
}

/** Errors: `INVALID_SPEC`, `UNSUPPORTED`. */
export async function indexTar(
  handle: fs.promises.FileHandle,
  total: number,
): Promise<ReadonlyMap<string, IndexedEntry>> {
  const entries = new Map<string, IndexedEntry>();
  let extension: Extension = {};
  let count = 0;
  for (let at = 0; at + BLOCK <= total; ) {
    const header = await read(handle, at, BLOCK);
    if (header.every((byte) => byte === 0)) break;
    checkSum(header, at);
    if (++count > MAX_ENTRIES)
      throw invalid(`the archive has more than ${MAX_ENTRIES} entries: it is none of an image`);
    const type = String.fromCharCode(header[156]!);
    const stated =
      extension.size !== undefined && !'xgLK'.includes(type)
        ? extension.size
        : numberOf(header.subarray(124, 136));
    const offset = at + BLOCK;
    if (offset + stated > total) throw invalid('the archive ends in the middle of a file');
    at = offset + Math.ceil(stated / BLOCK) * BLOCK;
    if ('xgLK'.includes(type)) {
      extension = extend(extension, type, await read(handle, offset, bounded(stated)));
      continue;
    }
    keep(entries, header, { type, extension, offset, size: stated });
    extension = {};
  }
  return entries;
}

function keep(
  entries: Map<string, IndexedEntry>,
  header: Buffer,
  { type, extension, offset, size }: { type: string; extension: Extension; offset: number; size: number },
): void {
  const name = path.posix.normalize(extension.path ?? nameOf(header));
  if (name.startsWith('../') || name.startsWith('/'))
    throw invalid('the archive has a path that leads out of it', { object: name.slice(0, 200) });
  if (type === 'S') throw unsupported('the archive has sparse files');
  if (type === '0' || type === '\0' || type === '7') entries.set(name, { offset, size });
  if (type === '1' || type === '2')
    entries.set(name, {
      offset,
      size: 0,
      link: extension.linkpath ?? text(header.subarray(157, 257)),
      isHard: type === '1',
    });
}

function bounded(size: number): number {
  if (size > MAX_EXTENSION_BYTES) throw invalid('an extended header of the archive is too large');
  return size;
}

async function read(handle: fs.promises.FileHandle, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(buffer, done, length - done, at + done);
    if (bytesRead === 0) throw invalid('the archive became shorter while it was read');
    done += bytesRead;
  }
  return buffer;
}

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}

function nameOf(header: Buffer): string {
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? text(header.subarray(345, 500)) : '';
  return prefix === '' ? text(header.subarray(0, 100)) : `${prefix}/${text(header.subarray(0, 100))}`;
}

/** Errors: `INVALID_SPEC` also for numbers beyond what JavaScript counts exactly. */
function numberOf(field: Buffer): number {
  let value = Number.NaN;
  if (field[0]! & 0x80)
    value = [...field.subarray(1)].reduce((sum, byte) => sum * 256 + byte, field[0]! & 0x7f);
  else if (/^[ ]*[0-7]*[ \0]*$/.test(field.toString('latin1')))
    value = Number.parseInt(`0${field.toString('latin1').replaceAll(/[^0-7]/g, '')}`, 8);
  if (!Number.isSafeInteger(value))
    throw invalid('this is no tar archive, or a damaged one (a number in it is none)');
  return value;
}

function checkSum(header: Buffer, at: number): void {
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
  if (sum !== numberOf(header.subarray(148, 156)))
    throw invalid(`this is no tar archive, or a damaged one (at byte ${at})`);
}

function extend(extension: Extension, type: string, content: Buffer): Extension {
  if (type === 'g') return extension;
  if (type === 'L') return { ...extension, path: text(content) };
  if (type === 'K') return { ...extension, linkpath: text(content) };
  const result: Extension = { ...extension };
  for (let at = 0; at < content.length; ) {
    const blank = content.indexOf(32, at);
    const digits = content.toString('latin1', at, blank);
    // nothing else that JavaScript takes for a number: from a fraction the next record would begin nowhere
    const length = /^\d{1,7}$/.test(digits) ? Number(digits) : Number.NaN;
    if (!(length > digits.length && at + length <= content.length))
      throw invalid('an extended header of the archive is damaged');
    const [key = '', value = ''] = splitOnce(content.toString('utf8', blank + 1, at + length - 1));
    if (key === 'path') result.path = value;
    if (key === 'linkpath') result.linkpath = value;
    if (key === 'size') {
      if (!/^\d{1,15}$/.test(value)) throw invalid('a number in an extended header of the archive is none');
      result.size = Number(value);
    }
    if (key.startsWith('GNU.sparse.')) throw unsupported('the archive has sparse files');
    at += length;
  }
  return result;
}

function splitOnce(record: string): readonly [string, string] {
  const at = record.indexOf('=');
  return at < 0 ? [record, ''] : [record.slice(0, at), record.slice(at + 1)];
}
