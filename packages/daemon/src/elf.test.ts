import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { neededFiles } from './elf.ts';

/** A program of two segments besides its interpreter: the whole file, loaded at `LOADED`, and its dynamic section. */
const LOADED = 0x400000;
function program(interpreter: string, libraries: readonly string[]): Buffer {
  const file = Buffer.alloc(4096);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(3, 56);
  const segment = (number: number, type: number, offset: number, address: number, bytes: number): void => {
    const at = 64 + 56 * number;
    file.writeUInt32LE(type, at);
    file.writeBigUInt64LE(BigInt(offset), at + 8);
    file.writeBigUInt64LE(BigInt(address), at + 16);
    file.writeBigUInt64LE(BigInt(bytes), at + 32);
  };
  file.write(`${interpreter}\0`, 512, 'latin1');
  segment(0, 3, 512, 0, interpreter.length + 1);
  segment(1, 1, 0, LOADED, file.length);
  segment(2, 2, 1024, 0, 16 * (libraries.length + 2));
  let name = 1;
  libraries.forEach((library, index) => {
    file.writeBigUInt64LE(1n, 1024 + 16 * index);
    file.writeBigUInt64LE(BigInt(name), 1024 + 16 * index + 8);
    file.write(`${library}\0`, 2048 + name, 'latin1');
    name += library.length + 1;
  });
  file.writeBigUInt64LE(5n, 1024 + 16 * libraries.length);
  file.writeBigUInt64LE(BigInt(LOADED + 2048), 1024 + 16 * libraries.length + 8);
  return file;
}

describe('neededFiles', () => {
  it('finds the interpreter and the libraries', () => {
    expect(neededFiles(program('/lib64/ld.so', ['libtinfo.so.6', 'libc.so.6']))).toEqual({
      interpreter: '/lib64/ld.so',
      libraries: ['libtinfo.so.6', 'libc.so.6'],
    });
  });

  it('reads the program that runs this', () => {
    const { interpreter, libraries } = neededFiles(readFileSync(process.execPath));
    expect(interpreter).toMatch(/^\/lib.*\/ld-/);
    expect(libraries.some((name) => name.startsWith('libc.'))).toBe(true);
  });

  it('finds nothing in what is no such program', () => {
    const nothing = { interpreter: undefined, libraries: [] };
    expect(neededFiles(Buffer.from('#!/bin/sh\n'))).toEqual(nothing);
    expect(neededFiles(Buffer.alloc(64))).toEqual(nothing);
    const other = program('/lib/ld.so', ['libc.so.6']);
    other[4] = 1;
    expect(neededFiles(other)).toEqual(nothing);
  });
});
