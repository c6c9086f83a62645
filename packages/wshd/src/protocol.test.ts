import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { JobSpec } from '@warden/interface';
import { describe, expect, test } from 'vitest';
import * as protocol from './protocol.ts';
import {
  ABILITY,
  MESSAGE,
  MessageReader,
  MessageWriter,
  ROLE,
  SPAWN_FLAG,
  writePrepare,
  writeSpawn,
} from './protocol.ts';

const header = readFileSync(
  fileURLToPath(new URL('../../../native/include/wshd_protocol.h', import.meta.url)),
  'utf8',
);

/** `#define WSHD_NAME number` of the header. */
const defines = new Map(
  [...header.matchAll(/^#define WSHD_(\w+) (0x[0-9a-f]+|[0-9]+)u?\b/gm)].map((m) => [m[1]!, Number(m[2])]),
);

function enumeration(name: string): Record<string, number> {
  const body = new RegExp(`enum ${name} \\{(.*?)\\};`, 's').exec(header)?.[1] ?? '';
  return Object.fromEntries([...body.matchAll(/\bWSHD_(\w+) = ([0-9]+)/g)].map((m) => [m[1]!, Number(m[2])]));
}

function withPrefix(prefix: string, numbers: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(numbers).map(([name, value]) => [prefix + name, value]));
}

describe('numbers of wshd_protocol.h', () => {
  test('every #define has its equal', () => {
    expect(defines.size).toBe(8);
    for (const [name, value] of defines)
      expect([name, (protocol as Record<string, unknown>)[name]]).toEqual([name, value]);
  });
  test('message types', () => expect(MESSAGE).toEqual(enumeration('wshd_type')));
  test('roles', () => expect(withPrefix('ROLE_', ROLE)).toEqual(enumeration('wshd_role')));
  test('abilities', () => expect(ABILITY).toEqual(enumeration('wshd_abilities')));
  test('spawn flags', () =>
    expect(withPrefix('SPAWN_', SPAWN_FLAG)).toEqual(enumeration('wshd_spawn_flags')));
});

/** A job that asks for nothing. */
const BARE: JobSpec = {
  id: 1,
  argv: ['/bin/bash'],
  user: '',
  stdin: new Uint8Array(),
  environment: {},
  rlimits: [],
  discardOutput: false,
  trackTree: false,
};

describe('messages', () => {
  test('integers and strings come back', () => {
    const bytes = new MessageWriter()
      .begin(7, 9)
      .u16(65535)
      .u32(0xffffffff)
      .i32(-3)
      .u64(2n ** 64n - 1n)
      .string('ä\udcff')
      .finish();
    const reader = new MessageReader(Buffer.from(bytes));
    expect([reader.type, reader.sequence]).toEqual([7, 9]);
    expect([reader.u16(), reader.u32(), reader.i32(), reader.u64(), reader.string()]).toEqual([
      65535,
      0xffffffff,
      -3,
      2n ** 64n - 1n,
      'ä\udcff',
    ]);
    expect(() => reader.u16()).toThrow('shorter');
  });

  test('a message of another version is refused', () => {
    expect(() => new MessageReader(Buffer.from([2, 0, 1, 0, 0, 0, 0, 0]))).toThrow('version 2');
  });

  test('SPAWN is laid out as the header says', () => {
    const bytes = writeSpawn(
      new MessageWriter(),
      5,
      {
        id: 3,
        argv: ['/bin/sh', ''],
        user: 'vcap',
        stdin: Buffer.from('in'),
        environment: { A: '1' },
        rlimits: [{ resource: 7, soft: 1n, hard: 2n }],
        discardOutput: true,
        trackTree: true,
      },
      true,
    );
    const r = new MessageReader(Buffer.from(bytes));
    expect([r.u32(), r.u32(), r.u16(), r.u16(), r.string()]).toEqual([
      3,
      SPAWN_FLAG.DISCARD | SPAWN_FLAG.TREE,
      0,
      0,
      'vcap',
    ]);
    expect([r.u32(), r.string(), r.string()]).toEqual([2, '/bin/sh', '']);
    expect([r.u32(), r.string()]).toEqual([1, 'A=1']);
    expect([r.u32(), r.u32(), r.u64(), r.u64()]).toEqual([1, 7, 1n, 2n]);
    expect(r.string()).toBe('in');
    expect(() => r.u16()).toThrow();
  });

  test('PREPARE is milliseconds and SPAWN without number and input', () => {
    const spec = {
      id: 3,
      argv: ['/bin/bash'],
      user: 'vcap',
      stdin: Buffer.from('in'),
      environment: { A: '1' },
      rlimits: [{ resource: 7, soft: 1n, hard: 2n }],
      discardOutput: false,
      trackTree: true,
      directory: '/tmp',
    };
    const prepare = Buffer.from(writePrepare(new MessageWriter(), 5, spec, 1_000));
    const { type, sequence } = new MessageReader(prepare);
    expect([type, sequence, prepare.readUInt32LE(8)]).toEqual([MESSAGE.PREPARE, 5, 1_000]);
    const spawn = writeSpawn(new MessageWriter(), 5, { ...spec, id: 0, stdin: new Uint8Array() }, true);
    expect(prepare.subarray(12)).toEqual(spawn.subarray(8));
  });

  test('what is expected behind a job is left out where the message has no room for it', () => {
    const bytes = (length: number, nextWithinMs?: number) =>
      writeSpawn(
        new MessageWriter(),
        1,
        {
          ...BARE,
          environment: { X: 'y'.repeat(length) },
          ...(nextWithinMs === undefined ? {} : { nextWithinMs }),
        },
        true,
      ).length;
    const usual = bytes(0);
    expect(bytes(0, 1_000)).toBe(usual + 8);
    expect(bytes(65_536 - usual)).toBe(65_536);
    for (let left = 0; left < 16; left++) expect(bytes(65_536 - usual - left, 1_000)).toBe(65_536 - left);
  });

  test('arguments beyond one packet are the caller’s fault', () => {
    expect(() => writeSpawn(new MessageWriter(), 1, { ...BARE, argv: ['x'.repeat(70_000)] }, true)).toThrow(
      expect.objectContaining({ code: 'INVALID_SPEC' }),
    );
  });
});
