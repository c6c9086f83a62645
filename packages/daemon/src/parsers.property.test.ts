/** Configurations and command lines of any content: effective, or `INVALID_SPEC` that says what is wrong. */
import { isWardenError } from '@warden/interface';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkConfiguration } from './config.ts';
import { SCHEMA } from './config-schema.ts';
import { parseYaml } from './config-yaml.ts';
import { parseOptions } from './options.ts';

const numRuns = 200 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);

/** The result, or nothing when it was refused as documented. */
function unlessRefused<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (!isWardenError(error, 'INVALID_SPEC')) throw error;
    expect(error.message).not.toMatch(/undefined|\[object|\n {4}at /);
    return undefined;
  }
}

/** Files that are odd: aliases that multiply or lead in circles, depth, keys of Object, numbers at every border. */
const KNOWN_FILES = [
  '',
  '--- ~\n',
  'a: &a [*a]\n',
  `a: &a [x,x,x]\n${'bcdefgh'
    .split('')
    .map((name, at) => `${name}: &${name} [${`*${'abcdefg'[at]},`.repeat(9)}]`)
    .join('\n')}\n`,
  '['.repeat(20_000),
  '__proto__: {server: 1}\nconstructor: 2\n',
  'server: {__proto__: {x: 1}}\n',
  '- 0777\n- 0o777\n- 9007199254740993\n- .inf\n- .nan\n- 1_000\n- 0x10\n- 60:30\n',
  '? [a, b]\n: c\n',
  'a: 1\na: 2\n',
  '!!set {a, b}\n',
  '!!binary aGVsbG8=\n',
  '2001-01-01\n',
  '<<: {a: 1}\nb: 2\n',
  '%YAML 9.9\n---\na\n',
  'a: b: c\n',
  '\ufeffa: 1\n',
  'a\u0000b: 1\n',
];

const isInside = (key: string): boolean => key.startsWith('server.quota.');

describe('configuration files (property) [config 1]', () => {
  it('are values, or refused, in bounded time', () => {
    const part = fc.constantFrom(
      'server',
      ':',
      ' ',
      '\n',
      '- ',
      '[',
      ']',
      '{',
      '}',
      ',',
      '&a',
      '*a',
      '<<',
      '!!',
      '0777',
      '~',
      'yes',
      '"',
      "'",
      '|',
      '>',
      '#',
      '?',
      '%',
      '\t',
      '\u0000',
      '...',
      '---',
    );
    const text = fc.oneof(
      fc.array(part, { maxLength: 25 }).map((parts) => parts.join('')),
      fc.string({ maxLength: 30 }),
    );
    fc.assert(
      fc.property(text, (file) => {
        const started = performance.now();
        const found = unlessRefused(() => parseYaml(file));
        if (found !== undefined)
          JSON.stringify(found.value, (_key, value) => (typeof value === 'bigint' ? String(value) : value));
        expect(performance.now() - started).toBeLessThan(20_000);
      }),
      { numRuns, examples: KNOWN_FILES.map((file) => [file]) },
    );
  });

  it('what is under a key of the schema is taken or named, whatever it is', () => {
    const keys = Object.entries(SCHEMA).flatMap(([section, rules]) =>
      Object.keys(rules).map((key) => [section, key] as const),
    );
    const value = fc.oneof(
      fc.constantFrom<unknown>(
        null,
        '',
        'x',
        0,
        -1,
        1.5,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        2n ** 64n,
        true,
        [],
        {},
        [null],
        new Date(0),
        '10.0.0.0/8',
        '/x',
        65_536,
      ),
      fc.string({ maxLength: 10 }),
      fc.integer(),
      fc.array(fc.string({ maxLength: 5 }), { maxLength: 3 }),
      fc.dictionary(fc.string({ maxLength: 5 }), fc.integer(), { maxKeys: 2 }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...keys), value), { minLength: 1, maxLength: 3 }),
        (entries) => {
          const given: Record<string, Record<string, unknown>> = {};
          for (const [[section, key], one] of entries) given[section] = { ...given[section], [key]: one };
          const found = unlessRefused(() => checkConfiguration(given));
          // what is inside a map of a section may be unknown, the key itself is not
          if (found !== undefined) expect(found.unknown.filter((key) => !isInside(key))).toEqual([]);
        },
      ),
      { numRuns: numRuns * 3 },
    );
  });

  it('anything else than a map of sections is refused or listed as unknown', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), (given) => {
        unlessRefused(() => checkConfiguration(given));
      }),
      { numRuns },
    );
  });
});

describe('the command line of wardend (property)', () => {
  it('is understood or refused', () => {
    const word = fc.oneof(
      fc.constantFrom(
        '--config',
        '-c',
        '--config=',
        '--check-config',
        '--check-config=x',
        '--help',
        '-h',
        '--',
        '-',
        '--list-failpoints',
        '-ch',
        '--no-help',
      ),
      fc.string({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (words) => {
        const found = unlessRefused(() => parseOptions(words));
        if (found?.config !== undefined) expect(typeof found.config).toBe('string');
      }),
      { numRuns },
    );
  });
});
