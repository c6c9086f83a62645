/** YAML 1.1 as the original's files are written: octal `0777`, `~`, yes and no, merge keys (spec config.md 1). */
import { WardenError } from '@warden/interface';
import { parseDocument } from 'yaml';

/** Aliases multiply: a short text could stand for gigabytes. */
const MAX_ALIASES = 100;

/** A file's value, and what was odd about it. */
export interface ParsedYaml {
  readonly value: unknown;
  readonly warnings: readonly string[];
}

/**
 * Parses one document. Integers beyond 2^53 stay `bigint`. A key given twice is an error with its line: of
 * two values one would silently win. Errors: `INVALID_SPEC`.
 */
export function parseYaml(text: string): ParsedYaml {
  try {
    const document = parseDocument(text, {
      version: '1.1',
      uniqueKeys: true,
      intAsBigInt: true,
      logLevel: 'silent',
    });
    const [error] = document.errors;
    if (error !== undefined) throw error;
    const value = plain(document.toJS({ maxAliasCount: MAX_ALIASES }), []);
    return { value, warnings: document.warnings.map(({ message }) => firstLine(message)) };
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', `not valid YAML 1.1: ${(cause as Error).message.trim()}`, {
      cause,
    });
  }
}

function firstLine(text: string): string {
  return text.split('\n')[0]!;
}

/** Safe integers as numbers. `path`: what is being looked into; an anchor can lead back to it. */
function plain(value: unknown, path: readonly unknown[]): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  if (path.includes(value)) throw new Error('an alias refers to what contains it');
  const below = [...path, value];
  if (Array.isArray(value)) return value.map((item) => plain(item, below));
  if (!isPlainMap(value)) return value; // a date, a set, binary data: no key takes them
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item, below)]));
}

/** Whether a value is a map of the file, and not a date or set. */
export function isPlainMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
