/** Checks single values against their rules, and says in words what was expected and found. */

import { type KeyRule, UNLIMITED_VALUE } from './config-schema.ts';
import { isPlainMap } from './config-yaml.ts';
import { isModule } from './driver-module.ts';

/** Where findings go. `name` is `section.key`, for a list with the index. */
export interface Findings {
  readonly problems: string[];
  readonly unknown: string[];
  readonly warnings: string[];
}

type LeafRule = Exclude<KeyRule, { type: 'section' }>;

/** The checked value; `undefined` after a problem was noted. */
export function checkValue(name: string, rule: LeafRule, value: unknown, findings: Findings): unknown {
  switch (rule.type) {
    case 'strings':
      if (!Array.isArray(value)) return refuse(name, rule, value, findings);
      return checkList(name, { type: 'string', about: '' }, { value, findings });
    case 'numbers':
      if (!Array.isArray(value)) return refuse(name, rule, value, findings);
      return checkList(
        name,
        { type: 'integer', about: '', min: rule.min, max: rule.max },
        { value, findings },
      );
    case 'integers':
      if (!isPlainMap(value)) return refuse(name, rule, value, findings);
      return checkIntegers(name, rule.keys, value, findings);
    default:
      return accepts(rule, value) ? value : refuse(name, rule, value, findings);
  }
}

function refuse(name: string, rule: KeyRule, value: unknown, { problems }: Findings): undefined {
  problems.push(`${name}: expected ${expected(rule)}, found ${describe(value)}${hint(rule, value)}`);
  return undefined;
}

function checkList(
  name: string,
  rule: LeafRule,
  { value, findings }: { readonly value: readonly unknown[]; readonly findings: Findings },
): readonly unknown[] {
  return value.map((item, index) => checkValue(`${name}[${index}]`, rule, item, findings));
}

/** Unknown keys were never refused here; they had no effect either (spec config.md 2, container_rlimits). */
function checkIntegers(
  name: string,
  keys: readonly string[],
  map: Record<string, unknown>,
  findings: Findings,
): Record<string, number | bigint> {
  const result: Record<string, number | bigint> = {};
  for (const [key, value] of Object.entries(map)) {
    if (!keys.includes(key)) {
      findings.warnings.push(`${name}.${key} has no effect; there are ${keys.join(' ')}`);
    } else if (isLimit(value)) {
      result[key] = value;
    } else {
      findings.problems.push(
        `${name}.${key}: expected an integer from 0 to ${UNLIMITED_VALUE}, or -1 for no limit, found ${describe(value)}`,
      );
    }
  }
  return result;
}

function isLimit(value: unknown): value is number | bigint {
  if (typeof value === 'bigint') return value >= 0n && value <= UNLIMITED_VALUE;
  return Number.isSafeInteger(value) && (value as number) >= -1;
}

function accepts(
  rule: Exclude<LeafRule, { type: 'strings' | 'numbers' | 'integers' }>,
  value: unknown,
): boolean {
  switch (rule.type) {
    case 'integer':
      return Number.isSafeInteger(value) && (value as number) >= rule.min && (value as number) <= rule.max;
    case 'string':
      return (
        typeof value === 'string' &&
        value !== '' &&
        !value.includes('\0') &&
        (rule.oneOf === undefined ||
          rule.oneOf.includes(value) ||
          (rule.orModule === true && isModule(value)))
      );
    case 'boolean':
      return typeof value === 'boolean';
  }
}

/** What a rule wants, for messages. */
export function expected(rule: KeyRule): string {
  const orNull = rule.nullable ? ' or null' : '';
  switch (rule.type) {
    case 'integer':
      if (rule.max === 0o777) return `a mode from 0 to 0777${orNull}`;
      if (rule.max === Number.MAX_SAFE_INTEGER) return `an integer${orNull}`;
      return `an integer from ${rule.min} to ${rule.max}${orNull}`;
    case 'string':
      if (rule.orModule)
        return `one of ${rule.oneOf?.join(', ')}, a path (/…, ./…) or the name of a package${orNull}`;
      return `${rule.oneOf ? `one of ${rule.oneOf.join(', ')}` : 'a string that is not empty'}${orNull}`;
    case 'boolean':
      return `true or false${orNull}`;
    case 'strings':
      return `a list of strings${orNull}`;
    case 'numbers':
      return `a list of integers from ${rule.min} to ${rule.max}${orNull}`;
    case 'integers':
      return `a map of integers with keys among ${rule.keys.join(' ')}${orNull}`;
    case 'section':
      return `a map${orNull}`;
  }
}

/** A value as the file has it, for messages. */
export function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return `the date ${value.toISOString()}`;
  if (isPlainMap(value)) return 'a map';
  if (typeof value === 'object' && value !== null) return 'a value of another YAML type';
  const text = typeof value === 'bigint' ? value.toString() : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** What people who write YAML 1.1 fall for. */
function hint(rule: KeyRule, value: unknown): string {
  const isScalar = ['number', 'bigint', 'boolean'].includes(typeof value) || value instanceof Date;
  if (rule.type === 'string' && isScalar)
    return ' (if text is meant, put it in quotes: YAML 1.1 takes 12:30 for a number, 2001-01-01 for a date and yes for true)';
  if (rule.type === 'integer' && rule.max === 0o777 && typeof value === 'number')
    return ` (octal 0${value.toString(8)}; a mode has a leading zero)`;
  if (rule.type === 'integer' && typeof value === 'string' && /^[-+0-9]/.test(value))
    return ' (a number has no quotes)';
  return '';
}
