/** Lines and words as anybody types them: a request, or the error that names the word. */
import { isWardenError } from '@warden/interface';
import { encode, REQUESTS } from '@warden/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CommandError } from './command-error.ts';
import { parseInteger } from './integer.ts';
import { OPTIONS, parseOptions } from './options.ts';
import { parseFlags } from './parse-flags.ts';
import { parseRootfsWords } from './rootfs/words.ts';
import { splitLine } from './split-line.ts';

const numRuns = 300 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);

/** The result, or nothing when it was refused as documented. */
function unlessRefused<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof CommandError) && !isWardenError(error, 'INVALID_SPEC')) throw error;
    return undefined;
  }
}

/** A word as a shell would need it quoted. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

describe('lines of the prompt (property) [cli]', () => {
  it('quoted words come back, one by one', () => {
    const word = fc.string({
      maxLength: 12,
      unit: fc.constantFrom('a', ' ', "'", '"', '\\', '$', '`', '\n', '\t', 'ä', '#'),
    });
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), fc.constantFrom(' ', '\t', '  \n'), (words, blank) => {
        expect(splitLine(words.map(quoted).join(blank))).toEqual(words);
      }),
      { numRuns },
    );
  });

  it('of any characters are words, or an unmatched quote', () => {
    const line = fc.string({ maxLength: 30, unit: fc.constantFrom('a', ' ', "'", '"', '\\', '$', '\n') });
    fc.assert(
      fc.property(line, (one) => {
        const words = unlessRefused(() => splitLine(one));
        if (words !== undefined) expect(words.join('').length).toBeLessThanOrEqual(one.length);
      }),
      { numRuns, examples: [['\\'], ['"\\'], ["'"], ['a\\'], ['""']] },
    );
  });
});

const bigText = fc.bigInt(-(2n ** 70n), 2n ** 70n).map(String);

describe('numbers (property) [cli]', () => {
  it('are what they say, in the range of their type', () => {
    const type = fc.constantFrom('int32' as const, 'int64' as const, 'uint32' as const, 'uint64' as const);
    const text = fc.oneof(
      bigText,
      fc.string({
        maxLength: 10,
        unit: fc.constantFrom('0', '1', '7', '9', 'a', 'x', 'b', 'o', '_', '-', '+', ' ', '٣'),
      }),
    );
    fc.assert(
      fc.property(text, type, (one, kind) => {
        const value = unlessRefused(() => parseInteger(one, kind, '--number'));
        if (value === undefined) return;
        const bits = kind.endsWith('64') ? 64 : 32;
        expect(kind.startsWith('u') ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value)).toBe(value);
        if (/^-?[1-9]\d*$/.test(one)) expect(value).toBe(BigInt(one));
      }),
      {
        numRuns: numRuns * 2,
        examples: [
          ['0x_1', 'int32'],
          ['1__0', 'int32'],
          ['-0', 'uint32'],
          ['08', 'int32'],
          ['18446744073709551616', 'uint64'],
        ],
      },
    );
  });
});

/** Flags that reach into lists and messages, and names that every object has. */
const KNOWN_FLAGS = [
  ['--bind_mounts[0].src_path', 'a', '--bind_mounts[1].src_path', 'b'],
  ['--bind_mounts[4294967295].src_path', 'a'],
  ['--bind_mounts[99999999999999999999].src_path', 'a'],
  ['--__proto__', 'x'],
  ['--constructor.prototype', 'x'],
  ['--handle', ''],
  ['--handle.', 'x'],
  ['--.', 'x'],
];

describe('flags (property) [cli]', () => {
  it.each(Object.values(REQUESTS).map(({ name, request }) => [name, request] as const))(
    'of %s make a message that can be sent, or are refused',
    (_name, request) => {
      const names = request.fields.flatMap((field) => [
        field.name,
        ...(field.message?.fields.map((inner) => `${field.name}[0].${inner.name}`) ?? []),
      ]);
      const flag = fc
        .tuple(
          fc.constantFrom(...names, '__proto__', 'toString', 'no-privileged', 'x'),
          fc.constantFrom('', '=', '=x', '[0]', '[1]', '.x', '.'),
        )
        .map(([name, tail]) => `--${name}${tail}`);
      const word = fc.oneof(
        flag,
        bigText,
        fc.constantFrom('', '-', '--', 'x', 'true', 'RO', 'rw', 'TCP'),
        fc.string({ maxLength: 6 }),
      );
      fc.assert(
        fc.property(fc.array(word, { maxLength: 7 }), fc.boolean(), (words, isExtended) => {
          const message = unlessRefused(() =>
            parseFlags(
              request,
              words.filter((one) => !one.startsWith('@')),
              isExtended,
            ),
          );
          if (message === undefined) return;
          expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
          for (const key of Object.keys(message))
            expect(request.fields.map(({ name }) => name)).toContain(key);
          try {
            encode(request, message as never);
          } catch (error) {
            expect((error as Error).message).toMatch(/required field/);
          }
        }),
        { numRuns: Math.ceil(numRuns / 4), examples: KNOWN_FLAGS.map((words) => [words, false]) },
      );
    },
  );
});

describe('options (property) [cli]', () => {
  it('of `warden` are understood or refused', () => {
    const word = fc.oneof(
      fc.constantFrom(
        ...OPTIONS.map(({ name }) => `--${name}`),
        '--',
        '-',
        '--s',
        '--t',
        '--timeout=1',
        '--timeout=0',
        '--timeout=1e9',
        '--socket=',
        '--exit-on-error',
        'run',
      ),
      fc.string({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (words) => {
        const found = unlessRefused(() => parseOptions(words));
        if (found?.timeoutMs !== undefined)
          expect(found.timeoutMs > 0 && found.timeoutMs < 2 ** 31).toBe(true);
      }),
      { numRuns },
    );
  });

  it('of `warden rootfs` never carry an option into another program', () => {
    const word = fc.oneof(
      fc.constantFrom(
        'build',
        '--suite',
        '--mirror',
        '--include',
        '--force',
        '--config',
        'http://x/',
        '-o',
        'a,b',
        ',',
        '--suite=-x',
        '--include=--y',
      ),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (words) => {
        const found = unlessRefused(() => parseRootfsWords(['build', ...words]));
        if (found === undefined) return;
        for (const one of [found.suite, found.mirror, found.directory, ...found.include])
          expect(one?.startsWith('-') ?? false).toBe(false);
      }),
      { numRuns },
    );
  });
});
