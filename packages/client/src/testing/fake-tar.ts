/** Tar archives of the fake: ustar with pax names, as the real one writes and understands them. */
import { FILE_MODES } from '@warden/interface';
import type { FakeNode } from './fake-files.ts';
import { node, wrong } from './fake-files.ts';

const BLOCK = 512;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Names are relative; directories end with nothing. */
export function writeArchive(entries: readonly (readonly [name: string, FakeNode])[]): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const [name, one] of entries) {
    const path = one.type === 'directory' ? `${name}/` : name;
    if (encoder.encode(path).length > 100) {
      const record = paxRecord('path', path);
      blocks.push(header('PaxHeader', 'x', 0o644, record.length), padded(record));
    }
    const type = { file: '0', directory: '5', symlink: '2' }[one.type];
    blocks.push(header(path, type, one.mode, one.content.length, one.linkTarget), padded(one.content));
  }
  return join([...blocks, new Uint8Array(2 * BLOCK)]);
}

/** Errors: as the program inside has them. */
export function* readArchive(
  archive: Uint8Array,
  path: string,
): Generator<[string, FakeNode], void, undefined> {
  let longName: string | undefined;
  for (let at = 0; at < archive.length; ) {
    const block = archive.subarray(at, at + BLOCK);
    if (block.every((byte) => byte === 0) && block.length === BLOCK) return;
    const size = octal(block, 124, 12);
    if (block.length < BLOCK || !hasChecksum(block) || at + BLOCK + size > archive.length)
      throw wrong('write-tar', path, 'EINVAL');
    const content = archive.slice(at + BLOCK, at + BLOCK + size);
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    const type = String.fromCharCode(block[156]!);
    if (type === 'x') longName = paxPath(content) ?? longName;
    else if (type === 'L') longName = text(content, 0, content.length);
    else if (type !== 'g') {
      const name = cleanName(longName ?? nameOf(block), path);
      longName = undefined;
      if (name !== '') {
        const mode = octal(block, 100, 8) & FILE_MODES;
        yield [name, made(type, mode, content, text(block, 157, 100), name)];
      }
    }
  }
}

function made(type: string, mode: number, content: Uint8Array, target: string, name: string): FakeNode {
  if (type === '5') return node('directory', mode);
  if (type === '2') return node('symlink', 0o777, target);
  if (type === '0' || type === '\0') return { ...node('file', mode), content };
  throw wrong('write-tar', name, 'ENOTSUP');
}

function cleanName(name: string, path: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw wrong('write-tar', path, 'EINVAL', `the name ${name} leads out`);
  return parts.join('/');
}

function nameOf(block: Uint8Array): string {
  const prefix = text(block, 345, 155);
  const name = text(block, 0, 100);
  return prefix === '' ? name : `${prefix}/${name}`;
}

function header(name: string, type: string, mode: number, size: number, target = ''): Uint8Array {
  const block = new Uint8Array(BLOCK);
  block.set(encoder.encode(name).subarray(0, 100), 0);
  const fields: [number, string][] = [
    [100, mode.toString(8).padStart(7, '0')],
    [108, '0000000'],
    [116, '0000000'],
    [124, size.toString(8).padStart(11, '0')],
    [136, '00000000000'],
    [148, '        '],
    [156, type],
    [157, target.slice(0, 100)],
    [257, 'ustar\u000000'],
  ];
  for (const [at, value] of fields) block.set(encoder.encode(value), at);
  block.set(encoder.encode(`${sum(block).toString(8).padStart(6, '0')}\0 `), 148);
  return block;
}

function sum(block: Uint8Array): number {
  return block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
}

function hasChecksum(block: Uint8Array): boolean {
  return octal(block, 148, 8) === sum(block);
}

function octal(block: Uint8Array, at: number, length: number): number {
  return Number.parseInt(text(block, at, length).trim() || '0', 8);
}

function text(block: Uint8Array, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return decoder.decode(end < 0 ? field : field.subarray(0, end));
}

function paxRecord(key: string, value: string): Uint8Array {
  const rest = encoder.encode(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return join([encoder.encode(String(length)), rest]);
}

function paxPath(content: Uint8Array): string | undefined {
  return /(?:^|\n)\d+ path=([^\n]*)\n/.exec(decoder.decode(content))?.[1];
}

function padded(content: Uint8Array): Uint8Array {
  const block = new Uint8Array(Math.ceil(content.length / BLOCK) * BLOCK);
  block.set(content);
  return block;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
