/** What a program inside says of files, whatever it is: it lives among processes that nobody here trusts. */
import { isWardenError } from '@warden/interface';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { answer, FRAME, FRAME_MAX, FrameReader } from './files.ts';

const numRuns = 300 * Number(process.env.WARDEN_FUZZ_FACTOR ?? 1);
const NONSENSE = expect.objectContaining({
  code: 'NATIVE_FAILED',
  fields: expect.objectContaining({ operation: 'files', errno: 'EPROTO' }),
});

function frame(type: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(type, 0);
  header.writeUInt32LE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

interface Entry {
  readonly mode?: number;
  readonly name?: string;
  readonly target?: string;
  /** What is said of their lengths. */
  readonly lengths?: readonly [name: number, target: number];
}

function entry({ mode = 0o100644, name = 'file', target = '', lengths }: Entry): Buffer {
  const [named, aimed] = [Buffer.from(name), Buffer.from(target)];
  const head = Buffer.alloc(40);
  head.writeUInt32LE(mode, 0);
  head.writeUInt32LE(10_001, 4);
  head.writeUInt32LE(10_002, 8);
  head.writeBigUInt64LE(7n, 16);
  head.writeBigInt64LE(-5n, 24);
  head.writeUInt16LE(lengths?.[0] ?? named.length, 32);
  head.writeUInt16LE(lengths?.[1] ?? aimed.length, 34);
  return Buffer.concat([head, named, aimed]);
}

describe('frames', () => {
  test('come through whatever the pieces', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: 9 }), fc.uint8Array({ maxLength: 200 })), { maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map(([type, payload]) => frame(type, payload)));
          const places = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b);
          const reader = new FrameReader();
          const read = [0, ...places].flatMap((from, at) =>
            [...reader.push(stream.subarray(from, places[at] ?? stream.length))].map(
              ({ type, payload }) => [type, new Uint8Array(payload)] as const,
            ),
          );
          expect(read).toEqual(frames);
        },
      ),
      { numRuns },
    );
  });

  test('are refused as soon as they say that they are too long', () => {
    const [whole] = [...new FrameReader().push(frame(FRAME.DATA, new Uint8Array(FRAME_MAX)))];
    expect(whole!.payload).toHaveLength(FRAME_MAX);
    const header = frame(FRAME.DATA, new Uint8Array(FRAME_MAX + 1)).subarray(0, 8);
    expect(() => [...new FrameReader().push(header)]).toThrow(NONSENSE);
  });
});

describe('an answer', () => {
  test('tells of an entry', () => {
    const facts = { uid: 10_001, gid: 10_002, size: 7n, modifiedNs: -5n };
    expect(answer(FRAME.ENTRY, entry({ mode: 0o104755 }))).toEqual({
      kind: 'entry',
      entry: { ...facts, name: 'file', type: 'file', mode: 0o4755 },
    });
    expect(answer(FRAME.ENTRY, entry({ mode: 0o120777, name: 'link', target: '../x/y' }))).toEqual({
      kind: 'entry',
      entry: { ...facts, name: 'link', type: 'symlink', mode: 0o777, linkTarget: '../x/y' },
    });
  });

  test.each([
    ['a name that is a path', entry({ name: '../../etc/passwd' })],
    ['a name with a slash at its end', entry({ name: 'x/' })],
    ['a name with a NUL byte', entry({ name: 'x\0y' })],
    ['no type of file', entry({ mode: 0o644 })],
    ['an entry that is cut off', entry({}).subarray(0, 39)],
    ['a name that is longer than what came', entry({ lengths: [5, 0] })],
    ['a target that is longer than what came', entry({ lengths: [4, 1] })],
    ['more than it says', Buffer.concat([entry({}), Buffer.of(0)])],
  ])('with %s is refused', (_what, payload) => {
    expect(() => answer(FRAME.ENTRY, payload)).toThrow(NONSENSE);
  });

  test('tells of a change, whose name is one component', () => {
    expect(answer(FRAME.CHANGE, Buffer.from('\x01new'))).toEqual({
      kind: 'change',
      change: { kind: 'created', name: 'new' },
    });
    expect(answer(FRAME.CHANGE, Buffer.of(0))).toEqual({ kind: 'change', change: { kind: 'watching' } });
    for (const wrong of [Buffer.of(7), Buffer.of(255), Buffer.from('\x01a/b'), Buffer.from('\x01a\0')])
      expect(() => answer(FRAME.CHANGE, wrong)).toThrow(NONSENSE);
  });

  test('of any bytes is one, or refused', () => {
    fc.assert(
      fc.property(fc.nat({ max: 6 }), fc.uint8Array({ maxLength: 60 }), (type, bytes) => {
        try {
          expect(answer(type, Buffer.from(bytes)).kind).toMatch(/^(data|entry|change)$/);
        } catch (error) {
          if (!isWardenError(error, 'NATIVE_FAILED')) throw error;
          expect(error).toEqual(NONSENSE);
        }
      }),
      { numRuns },
    );
  });
});
