/**
 * Koffi turns a wrong argument into a crash of the process or into another number, so every argument is
 * checked before C sees it. A wrong one is a bug of the caller: `TypeError`.
 */
import { encodeBytes } from '@warden/interface';

const MAX_INT32 = 0x7fff_ffff;
const MAX_UINT32 = 0xffff_ffff;
/** PATH_MAX without the closing NUL. */
const MAX_PATH_BYTES = 4095;

function checkInteger(value: unknown, name: string, minimum: number, maximum: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < minimum || value > maximum) {
    throw new TypeError(`${name} must be an integer from ${minimum} to ${maximum}, not ${String(value)}`);
  }
  return value;
}

/** A descriptor number. Whether it is open, the kernel tells. */
export function checkDescriptor(value: unknown, name = 'fd'): number {
  return checkInteger(value, name, 0, MAX_INT32);
}

/** A process id. 0 and negative numbers would mean groups of processes. */
export function checkPid(value: unknown): number {
  return checkInteger(value, 'pid', 1, MAX_INT32);
}

export function checkSignal(value: unknown): number {
  return checkInteger(value, 'signal', 0, 64);
}

export function checkUint32(value: unknown, name: string): number {
  return checkInteger(value, name, 0, MAX_UINT32);
}

/** A buffer of at most `limit` bytes. */
export function checkBytes(value: unknown, name: string, limit: number = MAX_INT32): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`);
  if (value.byteLength > limit) throw new TypeError(`${name} is longer than ${limit} bytes`);
  return value;
}

/** A string as bytes with the closing NUL that C wants. */
export function checkString(value: unknown, name: string): Buffer {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string`);
  if (value.includes('\0')) throw new TypeError(`${name} must not contain NUL`);
  return Buffer.concat([encodeBytes(value), Buffer.of(0)]);
}

/** A path that is not empty and not longer than the kernel takes. */
export function checkPath(value: unknown, name = 'path'): Buffer {
  const bytes = checkString(value, name);
  if (bytes.length === 1) throw new TypeError(`${name} must not be empty`);
  if (bytes.length - 1 > MAX_PATH_BYTES)
    throw new TypeError(`${name} is longer than ${MAX_PATH_BYTES} bytes`);
  return bytes;
}

export function checkUint64(value: unknown, name: string): bigint {
  if (typeof value !== 'bigint' || value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new TypeError(`${name} must be a bigint from 0 to 2^64 - 1, not ${String(value)}`);
  }
  return value;
}

/** Looks `value` up in a table of allowed words. */
export function checkChoice<T>(value: unknown, name: string, choices: Readonly<Record<string, T>>): T {
  if (typeof value !== 'string' || !Object.hasOwn(choices, value)) {
    throw new TypeError(`${name} must be one of ${Object.keys(choices).join(', ')}, not ${String(value)}`);
  }
  return choices[value] as T;
}
