/**
 * What init, the launcher and the copy helper say, whatever it is: read, or the documented error; what is
 * written for them reads back.
 */
import { isWardenError, type JobSpec } from '@warden/interface';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCopyResult } from './copy-result.ts';
import { JobTable, waitStatus } from './job-table.ts';
import { parseLaunchReport } from './launch-report.ts';
import { escapeField, mountLine } from './mount-plan.ts';
import { MESSAGE, MessageReader, MessageWriter, writeSpawn } from './protocol.ts';

const numRuns = 300 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);

const FIELDS = ['u16', 'u32', 'i32', 'u64', 'string'] as const;

/** Whether it failed with EPROTO; any other failure fails the test. */
function isNonsense(action: () => void): boolean {
  try {
    action();
    return false;
  } catch (error) {
    if (!isWardenError(error, 'NATIVE_FAILED') || error.fields.errno !== 'EPROTO') throw error;
    return true;
  }
}

const u32 = fc.oneof(fc.nat({ max: 4 }), fc.integer({ min: 0, max: 0xffff_ffff }));
/** A message of the protocol's version with any body. */
const anyMessage = fc
  .tuple(fc.constantFrom(...Object.values(MESSAGE)), fc.constantFrom(0, 1), fc.uint8Array({ maxLength: 80 }))
  .map(([type, sequence, body]) =>
    Buffer.concat([Buffer.from(new MessageWriter().begin(type, sequence).finish()), body]),
  );
/** Events whose numbers are small, so that they are about the same jobs. */
const event = fc.oneof(
  fc
    .tuple(u32, u32, u32, u32, u32)
    .map(([id, ended, status, flags, position]) =>
      Buffer.from(
        new MessageWriter()
          .begin(MESSAGE.JOB, 0)
          .u32(id)
          .u32(ended)
          .u32(status)
          .u32(flags)
          .u64(BigInt(position))
          .u64(0n)
          .u32(0)
          .u32(0)
          .u64(0n)
          .u64(0n)
          .finish(),
      ),
    ),
  fc
    .tuple(u32, u32, u32, fc.uint8Array({ maxLength: 10 }))
    .map(([id, stream, position, bytes]) =>
      Buffer.from(
        new MessageWriter()
          .begin(MESSAGE.RING, 0)
          .u32(id)
          .u32(stream)
          .u64(BigInt(position))
          .bytes(bytes)
          .finish(),
      ),
    ),
  fc
    .tuple(u32, u32)
    .map(([id, status]) =>
      Buffer.from(new MessageWriter().begin(MESSAGE.EXIT, 0).u32(id).u32(status).finish()),
    ),
  anyMessage,
);

describe('messages of init (property)', () => {
  it('of any bytes are fields, or EPROTO', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          anyMessage,
          fc.uint8Array({ maxLength: 40 }).map((one) => Buffer.from(one)),
        ),
        fc.array(fc.nat({ max: 4 })),
        (bytes, fields) => {
          isNonsense(() => {
            const reader = new MessageReader(bytes);
            for (const field of fields) reader[FIELDS[field]!]();
          });
        },
      ),
      {
        numRuns,
        examples: [
          [Buffer.from('0100c800000000ffffffffff', 'hex').subarray(0, 7), []],
          [Buffer.from('0100c800000000ffffffff61', 'hex'), [4]],
        ],
      },
    );
  });

  it('in any order make jobs that were handed over, or end the connection', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (events) => {
        const table = new JobTable();
        const known = new Set<number>();
        const broke = isNonsense(() => {
          for (const bytes of events) {
            const reader = new MessageReader(bytes);
            if (reader.type === MESSAGE.JOB) {
              table.handOver(reader, []);
              known.add(bytes.readUInt32LE(8));
            } else if (reader.type === MESSAGE.RING) table.ring(reader);
            else if (reader.type === MESSAGE.EXIT) table.exited(reader);
          }
        });
        if (!broke) expect(new Set(table.recovered().map(({ id }) => id))).toEqual(known);
      }),
      { numRuns },
    );
  });

  it('a wait status is an exit code or a signal', () => {
    fc.assert(
      fc.property(fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }), (status) => {
        const found = waitStatus(status);
        const { exitCode, signal } = { exitCode: undefined, signal: undefined, ...found };
        expect((exitCode === undefined) !== (signal === undefined)).toBe(true);
        expect(exitCode ?? 0).toBeLessThanOrEqual(255);
        expect(signal ?? 1).toBeGreaterThan(0);
        expect(signal ?? 1).toBeLessThan(128);
      }),
      { numRuns },
    );
  });

  it('a job is written as it is read', () => {
    const word = fc.string({ maxLength: 20 });
    const spec = fc.record({
      id: fc.integer({ min: 1, max: 0x7fff_ffff }),
      user: word,
      argv: fc.array(word, { maxLength: 5 }),
      environment: fc.dictionary(fc.stringMatching(/^[A-Z]{1,5}$/), word, { maxKeys: 4 }),
      rlimits: fc.array(
        fc.record({
          resource: fc.nat({ max: 15 }),
          soft: fc.bigInt(0n, 2n ** 64n - 1n),
          hard: fc.bigInt(0n, 2n ** 64n - 1n),
        }),
        { maxLength: 3 },
      ),
      stdin: fc.uint8Array({ maxLength: 30 }),
      discardOutput: fc.boolean(),
      trackTree: fc.boolean(),
    });
    fc.assert(
      fc.property(spec, fc.boolean(), (one, inline) => {
        const reader = new MessageReader(
          Buffer.from(writeSpawn(new MessageWriter(), 1, one as JobSpec, inline)),
        );
        expect(reader.u32()).toBe(one.id);
        expect(reader.u32()).toBe((one.discardOutput ? 2 : 0) | (one.trackTree ? 4 : 0) | (inline ? 0 : 16));
        expect([reader.u16(), reader.u16(), reader.string()]).toEqual([0, 0, one.user]);
        expect(Array.from({ length: reader.u32() }, () => reader.string())).toEqual(one.argv);
        expect(Array.from({ length: reader.u32() }, () => reader.string())).toEqual(
          Object.entries(one.environment).map(([name, value]) => `${name}=${value}`),
        );
        expect(
          Array.from({ length: reader.u32() }, () => ({
            resource: reader.u32(),
            soft: reader.u64(),
            hard: reader.u64(),
          })),
        ).toEqual(one.rlimits);
        expect(new Uint8Array(reader.bytes())).toEqual(inline ? one.stdin : new Uint8Array());
      }),
      { numRuns },
    );
  });
});

/** As native/wshd/report.c writes it: `object` with blanks, control characters and backslashes as octal. */
function nativeReport(
  stage: string,
  number: number,
  exitStatus: number,
  object: string,
  text: string,
): string {
  const escaped = [...object].map((char) =>
    char > ' ' && char !== '\\' ? char : `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
  return `error ${stage} ${number} ${exitStatus} ${escaped.join('') || '-'} ${text}`;
}

describe('what the launcher says (property)', () => {
  it('is one of its reports, or EPROTO', () => {
    const part = fc.oneof(
      fc.constantFrom(
        'ready',
        'cloned ',
        'log ',
        'error ',
        'warn ',
        'a ',
        '0',
        '1',
        ' ',
        '\n',
        '\\040',
        '\\777',
      ),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')),
        (packet) => {
          let report: ReturnType<typeof parseLaunchReport> | undefined;
          if (isNonsense(() => (report = parseLaunchReport(packet)))) return;
          expect(['cloned', 'log', 'error', 'ready']).toContain(report!.kind);
        },
      ),
      { numRuns, examples: [['ready\n'], ['cloned 0'], ['cloned 12x'], ['error a 1 0  '], ['log warn a ']] },
    );
  });

  it('a failure comes with its object, whatever characters that has', () => {
    const object = fc.string({
      minLength: 1,
      maxLength: 20,
      unit: fc.constantFrom(
        'a',
        '/',
        ' ',
        '\\',
        '\t',
        '\n',
        '\r',
        '\u0001',
        '\u00a0',
        '\u2028',
        '\u3000',
        '\ufeff',
        'ä',
        '0',
      ),
    });
    fc.assert(
      fc.property(object, fc.nat({ max: 133 }), (one, number) => {
        const report = parseLaunchReport(nativeReport('mount', number, 0, one, 'why'));
        expect(report).toMatchObject({
          kind: 'error',
          error: { message: 'why', fields: { object: one, stage: 'mount' } },
        });
      }),
      // blanks of Unicode are no blanks of the report's: such an object was taken for nonsense
      {
        numRuns,
        examples: [
          ['a\u00a0b', 2],
          ['\u2028', 2],
          ['\ufeff/x', 2],
        ],
      },
    );
  });
});

describe('what the copy helper says (property)', () => {
  it('is a result, whatever the bytes', () => {
    const field = fc.constantFrom(
      'ok',
      'error',
      '2',
      '71',
      '99999',
      'host',
      'container',
      '',
      'open source',
      '/x',
      '\udcff',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 40 }),
          fc
            .array(field, { maxLength: 8 })
            .map((fields) => new Uint8Array(Buffer.from(fields.map((one) => `${one}\0`).join('')))),
        ),
        (bytes) => {
          const result = parseCopyResult(bytes);
          if (!result.ok)
            for (const text of [result.errno, result.side, result.step, result.path])
              expect(typeof text).toBe('string');
        },
      ),
      { numRuns },
    );
  });
});

/** As native/wshd/plan.c takes a line apart. */
function nativeFields(line: string): string[] {
  return line
    .split(/[ \t]+/)
    .filter((field) => field !== '')
    .map((field) =>
      field.replace(/\\([0-3][0-7]{2})/g, (all, digits: string) =>
        digits === '000' ? all : String.fromCharCode(Number.parseInt(digits, 8)),
      ),
    );
}

describe('the plan (property)', () => {
  const field = fc.string({
    minLength: 1,
    maxLength: 12,
    unit: fc.constantFrom('a', '/', ' ', '\t', '\n', '\r', '\\', '#', '0', '4', '\u00a0', 'ä', '\v'),
  });

  it('a field is one word on one line, and comes back', () => {
    fc.assert(
      fc.property(field, (one) => {
        expect(escapeField(one)).not.toMatch(/[ \t\n]|^#/);
        expect(nativeFields(escapeField(one))).toEqual([one]);
      }),
      { numRuns, examples: [['\\000'], ['\\040'], ['#'], ['a b'], ['\\']] },
    );
  });

  it('a mount is one line with its four words', () => {
    fc.assert(
      fc.property(
        field,
        field,
        field,
        fc.array(
          field.filter((one) => !one.includes(',')),
          { maxLength: 3 },
        ),
        (source, target, type, options) => {
          const line = mountLine({ source, target, type, options });
          expect(line.indexOf('\n')).toBe(line.length - 1);
          expect(nativeFields(line.slice(0, -1))).toEqual([
            source,
            target,
            type,
            options.length === 0 ? 'defaults' : options.join(','),
            '0',
            '0',
          ]);
        },
      ),
      { numRuns },
    );
  });
});
