/** Sizes and times as people write and read them. */
import { CommandError } from '../command-error.ts';

const SIZE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `1536` → `1.5 KiB`. */
export function sizeText(bytes: bigint | number): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1023.95 && unit < SIZE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${SIZE_UNITS[unit]}`;
}

const FACTORS: Readonly<Record<string, number>> = { '': 0, b: 0, k: 1, m: 2, g: 3, t: 4 };

/** `64m`, `1.5GiB`, `1000`: bytes, in powers of 1024. Error: `CommandError` naming `what`. */
export function parseSize(text: string, what: string): bigint {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text);
  const bytes = match === null ? Number.NaN : Number(match[1]) * 1024 ** FACTORS[match[2]!.toLowerCase()]!;
  if (!Number.isFinite(bytes) || bytes > Number.MAX_SAFE_INTEGER)
    throw new CommandError(`${what}: '${text}' is no size; write 64m, 1.5g or a number of bytes`);
  return BigInt(Math.round(bytes));
}

const SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, '': 1, m: 60, h: 3600, d: 86_400 };
/** Node's timers hold 31 bits of milliseconds. */
const LONGEST_MS = 2_147_483_647;

/** `30`, `500ms`, `5m`, `2h`: milliseconds, more than 0. Error: `CommandError` naming `what`. */
export function parseDuration(text: string, what: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|)$/.exec(text);
  const ms = match === null ? Number.NaN : Math.ceil(Number(match[1]) * SECONDS[match[2]!]! * 1000);
  if (!(ms > 0 && ms <= LONGEST_MS))
    throw new CommandError(`${what}: '${text}' is no time; write seconds, 500ms, 5m or 2h (at most 24 days)`);
  return ms;
}

/** A whole number in a range. Error: `CommandError` naming `what`. */
export function parseWhole(text: string, what: string, [least, most]: readonly [number, number]): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most))
    throw new CommandError(`${what}: '${text}' is no whole number from ${least} to ${most}`);
  return value;
}

/** `NAME=VALUE`, several. Error: `CommandError` naming `what`. */
export function parsePairs(texts: readonly string[], what: string): Readonly<Record<string, string>> {
  const pairs = Object.create(null) as Record<string, string>;
  for (const text of texts) {
    const at = text.indexOf('=');
    if (at < 1) throw new CommandError(`${what}: '${text}' is not of the form NAME=VALUE`);
    pairs[text.slice(0, at)] = text.slice(at + 1);
  }
  return pairs;
}

/** `3 s`, `2 min`, `5 h`, `4 d`: for columns. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
