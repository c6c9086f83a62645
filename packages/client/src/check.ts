/**
 * What callers pass, checked before anything is sent: programs without types come here too, and a time limit
 * or a rule that is left out for a slip of a finger is worse than an error. What is `undefined` is not there,
 * which is fine unless it is {@link needed}.
 */
import { didYouMean, WardenError } from '@warden/interface';

/**
 * What is wrong with a value, as the end of a sentence behind its name (` must be a string`), or behind the
 * name of what it lies in (`.mode is missing`).
 */
export type Check = (value: unknown) => string | undefined;

/** The longest time of a timer of Node, some 24 days: a longer one fires at once. */
export const LONGEST_MS = 2_147_483_647;

/** Milliseconds that a timer can wait. */
export const milliseconds: Check = (value) =>
  value === undefined || (typeof value === 'number' && value >= 0 && value <= LONGEST_MS)
    ? undefined
    : ` must be a number of milliseconds from 0 to ${LONGEST_MS} (or left out), not ${shown(value)}`;

/** What is called back. */
export const callback: Check = (value) =>
  value === undefined || typeof value === 'function' ? undefined : ` must be a function, not ${shown(value)}`;

/** What can be aborted. */
export const abortSignal: Check = (value) =>
  value === undefined || value instanceof AbortSignal || isLikeSignal(value)
    ? undefined
    : ` must be an AbortSignal, not ${shown(value)}`;

/** Of a number that has a least value, or none. */
export function atLeast(least: number): Check {
  return (value) =>
    value === undefined || (typeof value === 'number' && value >= least)
      ? undefined
      : ` must be a number of at least ${least}, not ${shown(value)}`;
}

/** One of a few words. */
export function oneOf(words: readonly string[]): Check {
  return (value) => {
    if (value === undefined || (typeof value === 'string' && words.includes(value))) return undefined;
    const isWord = typeof value === 'string';
    return ` must be one of ${words.join(', ')}, not ${shown(value)}${isWord ? didYouMean(value, words) : ''}`;
  };
}

/** It has to be there. */
export function needed(check: Check): Check {
  return (value) => (value === undefined ? ' is missing' : check(value));
}

/** Each of an array. */
export function eachOf(check: Check): Check {
  return (value) => {
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) return ` must be an array, not ${shown(value)}`;
    for (const [at, item] of value.entries()) {
      const complaint = check(item);
      if (complaint !== undefined) return `[${at}]${complaint}`;
    }
    return undefined;
  };
}

/** Names of the caller's own with a value each. */
export function dictionaryOf(check: Check): Check {
  return (value) => {
    if (value === undefined) return undefined;
    if (!isPlain(value)) return ` must be an object of names and values, not ${shown(value)}`;
    for (const [key, item] of Object.entries(value)) {
      const complaint = check(item);
      if (complaint !== undefined) return `.${key}${complaint}`;
    }
    return undefined;
  };
}

/** A string. */
export const text: Check = (value) =>
  value === undefined || typeof value === 'string' ? undefined : ` must be a string, not ${shown(value)}`;

/** Yes or no. */
export const flag: Check = (value) =>
  value === undefined || typeof value === 'boolean'
    ? undefined
    : ` must be true or false, not ${shown(value)}`;

/** A whole number of the protocol's. */
function within(least: number, most: number): Check {
  return (value) =>
    value === undefined ||
    (Number.isInteger(value) && (value as number) >= least && (value as number) <= most)
      ? undefined
      : ` must be a whole number from ${least} to ${most}, not ${shown(value)}`;
}
export const uint32: Check = within(0, 0xffff_ffff);
export const int32: Check = within(-0x8000_0000, 0x7fff_ffff);

/** A bigint: there are limits that a number of JavaScript cannot tell apart. */
export const uint64: Check = (value) =>
  value === undefined || (typeof value === 'bigint' && value >= 0n && value < 1n << 64n)
    ? undefined
    : ` must be a bigint from 0n to ${(1n << 64n) - 1n}n, not ${shown(value)}`;

/** Both of two about the same value. */
export function both(first: Check, second: Check): Check {
  return (value) => first(value) ?? second(value);
}

/** An object with these fields and no others, of which each is looked at, also when it is not there. */
export function shaped<T extends object>(fields: { readonly [Name in keyof Required<T>]: Check }): Check {
  const checks = Object.entries(fields) as readonly (readonly [string, Check])[];
  const known = Object.keys(fields);
  return (value) => {
    if (value === undefined) return undefined;
    if (!isPlain(value)) return ` must be an object, not ${shown(value)}`;
    for (const key of Object.keys(value)) {
      if (Object.hasOwn(fields, key) || value[key] === undefined) continue;
      const advice =
        didYouMean(key, known) || `; known ${known.length === 1 ? 'is' : 'are'} ${known.join(', ')}`;
      return `.${key} is not known${advice}`;
    }
    for (const [key, check] of checks) {
      const complaint = check(value[key]);
      if (complaint !== undefined) return `.${key}${complaint}`;
    }
    return undefined;
  };
}

/** Errors: `INVALID_SPEC` with what is wrong with the `name` of this operation. */
export function demand(operation: string, name: string, check: Check, value: unknown): void {
  const complaint = check(value);
  if (complaint === undefined) return;
  throw new WardenError('INVALID_SPEC', `${operation}: ${name}${complaint}`, {
    fields: { operation, object: name },
  });
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** Of another realm, or a library's own. */
function isLikeSignal(value: unknown): boolean {
  const { aborted, addEventListener } = Object(value) as Record<string, unknown>;
  return typeof aborted === 'boolean' && typeof addEventListener === 'function';
}

/** Short, and never the content of an object, which may hold secrets. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (value === null || ['number', 'boolean', 'undefined'].includes(typeof value)) return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`.replace('a o', 'an o');
}
