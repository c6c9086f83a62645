import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { NO_FAILPOINTS, silentLogger } from '@warden/interface';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type ContainerRecord,
  parseRecord,
  RECORD_FILE,
  serializeRecord,
  writeIntent,
  writeLastRecord,
  writeRecord,
} from './record.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

const FULL: ContainerRecord = {
  id: '0123456789a',
  handle: 'a "handle" with ünï',
  network: 0x0afe_0004,
  uid: 10_001,
  rootfs: '/base',
  graceTime: 300,
  drivers: { filesystem: { upper: 'x' }, network: {}, cgroup: { path: '/g' }, quota: { n: 1 } },
  order: 7,
  unsafe: ['no-seccomp'],
  state: 'active',
  isDestroying: false,
  events: new Set(['out of memory']),
  jobs: new Map([[7, { discardOutput: false, logTag: 'tag', hasSockets: true, exitStatus: 3 }]]),
  ports: new Set([61_001]),
  mappings: [{ hostPort: 61_001, containerPort: 80 }],
  egress: [{ protocol: 'tcp', log: true, network: { first: '1.2.3.4', last: '1.2.3.4' } }],
  memoryLimit: 0x7fff_ffff_ffff_f000n,
  cpuShares: 512n,
  outOfMemoryKills: 2n,
  bandwidth: { rate: 1n, burst: 2n },
  properties: { role: 'db', 'ä\n': '' },
  isPaused: true,
};

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-record-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  fs.rmSync(directory, { recursive: true });
});

describe('the record of a container', () => {
  it.each([
    FULL,
    { ...FULL, isDestroying: true, state: 'stopped' as const, graceTime: undefined },
    { ...FULL, isHeld: true, isPaused: false },
    { ...FULL, firstId: 0x2000_0000 },
    { ...FULL, firstId: null },
  ])('comes back as it was', (record) => {
    expect(parseRecord(serializeRecord(record))).toEqual(record);
  });

  it('version 1, of earlier daemons, is understood', () => {
    const stored = JSON.parse(serializeRecord(FULL));
    delete stored.checksum;
    stored.warden.version = 1;
    expect(parseRecord(JSON.stringify(stored))).toEqual(FULL);
  });

  it('comes back from what earlier daemons wrote, as these wrote it', () => {
    const file = path.join(import.meta.dirname, '../test/earlier-records.txt');
    const records = fs.readFileSync(file, 'utf8').trim().split('\n').map(parseRecord);
    const limits = {
      memoryLimit: 1n << 28n,
      cpuShares: 512n,
      bandwidth: { rate: 100_000n, burst: 200_000n },
    };
    const ports = { ports: new Set([61_000, 61_001]), graceTime: 1_000, isPaused: false, order: 0 };
    const layer = '/depot/.images/layers/00b9991bc6f06c21ce4eacee49c7f13a/fs';
    const name = { protocol: 'tcp', log: false, domain: 'good.test' };
    expect(records).toMatchObject([
      { handle: 'a', state: 'active', ...limits, ...ports },
      { handle: 'a', state: 'active', ...limits, ...ports },
      { handle: 'h', rootfs: layer, image: { layers: [layer, expect.stringMatching(/^\/depot/)] }, order: 8 },
      { handle: 'b', isPaused: true, properties: { x: 'y' } },
      { handle: 'g', egress: [name], drivers: { cgroup: { reserve: true } } },
    ]);
    expect(records[0]?.jobs.get(4)?.exitStatus).toBe(3);
    for (const record of records) expect(parseRecord(serializeRecord(record))).toEqual(record);
  });

  it.each([0, 4, 99, undefined, 'two'])('version %s is not', (version) => {
    const stored = JSON.parse(serializeRecord(FULL));
    stored.warden.version = version;
    expect(() => parseRecord(JSON.stringify(stored))).toThrow(/version/);
  });

  it('has a version that older daemons leave alone once a rule is about a name, and comes back with it', () => {
    const versionOf = (text: string): number => JSON.parse(text).warden.version;
    const egress = [...FULL.egress, { protocol: 'tcp' as const, log: false, domain: '*.example.org' }];
    expect(versionOf(serializeRecord(FULL))).toBe(2);
    expect(versionOf(serializeRecord({ ...FULL, egress }))).toBe(3);
    expect(parseRecord(serializeRecord({ ...FULL, egress }))).toEqual({ ...FULL, egress });
    const wrong = [{ protocol: 'tcp' as const, log: false, domain: 'Not A Name' }];
    expect(() => parseRecord(serializeRecord({ ...FULL, egress: wrong }))).toThrow();
  });

  it('cut at every byte, it is never taken for a whole one', () => {
    const bytes = Buffer.from(serializeRecord(FULL));
    for (let length = 0; length < bytes.length; length++)
      expect(() => parseRecord(bytes.toString('utf8', 0, length)), `${length} bytes`).toThrow();
  });

  it('with any one bit changed, it is never taken for another one', () => {
    const bytes = Buffer.from(serializeRecord(FULL));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      try {
        // a bit in the key of the checksum leaves it without one, and the rest as it was
        expect(parseRecord(changed.toString())).toEqual(FULL);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/INVALID_SPEC|undefined/) });
      }
    }
  });

  it('a value of the wrong kind is named', () => {
    const paths = ['state', 'events', 'resources.handle', 'resources.uid', 'resources.network'];
    paths.push('resources.net_in', 'resources.net_out', 'warden.drivers', 'resources.limit_memory');
    fc.assert(
      fc.property(
        fc.constantFrom(...paths),
        fc.oneof(
          fc.boolean(),
          fc.constant(null),
          fc.double({ max: -1 }),
          fc.constant('-'),
          fc.constant([null]),
        ),
        (key, value) => {
          fc.pre(!(key === 'resources.handle' && value === '-'));
          const stored = JSON.parse(serializeRecord(FULL));
          delete stored.checksum;
          const [section, name] = key.includes('.') ? key.split('.') : [undefined, key];
          (section === undefined ? stored : stored[section!])[name!] = value;
          expect(() => parseRecord(JSON.stringify(stored))).toThrow(key);
        },
      ),
    );
  });

  it.each<[string, Partial<ContainerRecord>]>([
    ['resources.container_id', { id: '../../0123' }],
    ['resources.container_id', { id: '0123456789A' }],
    ['resources.ports', { ports: new Set([65_536]) }],
    ['resources.net_in', { mappings: [{ hostPort: 61_001, containerPort: 65_536 }] }],
  ])('that names what cannot be is refused: %s of %o', (key, wrong) => {
    expect(() => parseRecord(serializeRecord({ ...FULL, ...wrong }))).toThrow(
      `the record has a wrong value for ${key}`,
    );
  });

  it.each([true, false])(
    'is on the disk before it gets its name, and the name then: durable %s',
    (durable) => {
      const order: string[] = [];
      const spy = (name: 'fdatasyncSync' | 'renameSync' | 'fsyncSync'): void => {
        const original = fs[name] as (...given: unknown[]) => void;
        vi.spyOn(fs, name).mockImplementation(((...given: unknown[]) => {
          const isDirectory = name === 'fsyncSync' && fs.fstatSync(given[0] as number).isDirectory();
          order.push(isDirectory ? 'fsync of the directory' : name);
          original(...given);
        }) as never);
      };
      spy('fdatasyncSync');
      spy('renameSync');
      spy('fsyncSync');
      writeRecord(directory, FULL, { durable, failpoints: NO_FAILPOINTS });
      expect(order).toEqual(
        durable ? ['fdatasyncSync', 'renameSync', 'fsync of the directory'] : ['renameSync'],
      );
    },
  );

  it('that cannot be written, again and again, leaves no descriptor open', () => {
    const open = (): number => fs.readdirSync('/proc/self/fd').length;
    vi.spyOn(fs, 'renameSync').mockImplementation(() => {
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    });
    const before = open();
    for (let i = 0; i < 20; i++)
      expect(() => writeRecord(directory, FULL, { durable: false, failpoints: NO_FAILPOINTS })).toThrow(
        'no space',
      );
    expect(open() - before).toBeLessThan(10);
  });

  it('the one that was replaced goes behind it, also when a killed daemon has left one', async () => {
    const options = { durable: false, failpoints: NO_FAILPOINTS };
    const read = (): ContainerRecord =>
      parseRecord(fs.readFileSync(path.join(directory, RECORD_FILE), 'utf8'));
    fs.writeFileSync(path.join(directory, `${RECORD_FILE}.old`), 'left');
    for (let uid = 1; uid <= 3; uid++) {
      writeRecord(directory, { ...FULL, uid }, options);
      expect(read().uid).toBe(uid);
    }
    await vi.waitFor(() => expect(fs.readdirSync(directory)).toEqual([RECORD_FILE]), SOON);
    writeRecord(directory, { ...FULL, uid: 4 }, options);
    expect(fs.readdirSync(directory).sort()).toEqual([RECORD_FILE, `${RECORD_FILE}.old`]);
    await vi.waitFor(() => expect(fs.readdirSync(directory)).toEqual([RECORD_FILE]), SOON);
    expect(read().uid).toBe(4);
  });

  it('a disk that takes only a part of it leaves the last good one', async () => {
    const options = { durable: true, failpoints: NO_FAILPOINTS };
    writeRecord(directory, FULL, options);
    const write = fs.writeSync;
    let calls = 0;
    vi.spyOn(fs, 'writeSync').mockImplementation(((descriptor: number, data: Buffer, at: number) => {
      calls += 1;
      if (calls > 1) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      return write(descriptor, data, at, 10);
    }) as never);
    expect(() => writeRecord(directory, { ...FULL, uid: 1 }, options)).toThrow('no space');
    vi.restoreAllMocks();
    expect(parseRecord(fs.readFileSync(path.join(directory, RECORD_FILE), 'utf8'))).toEqual(FULL);
    await vi.waitFor(() => expect(fs.readdirSync(directory)).toEqual([RECORD_FILE]), SOON);
    writeRecord(directory, { ...FULL, uid: 1 }, options);
    expect(parseRecord(fs.readFileSync(path.join(directory, RECORD_FILE), 'utf8')).uid).toBe(1);
  });
});

describe('the intent of a container', () => {
  const options = { durable: false, failpoints: NO_FAILPOINTS };
  const BORN: ContainerRecord = { ...FULL, state: 'born', order: 0 };
  const file = (): string => path.join(directory, RECORD_FILE);
  const read = (): ContainerRecord => parseRecord(fs.readFileSync(file(), 'utf8'));
  /** With a handle that makes it end so many bytes before a page does. */
  const endingBefore = (bytes: number, pages = 1): ContainerRecord => {
    const length = Buffer.byteLength(serializeRecord({ ...BORN, handle: '' }));
    return { ...BORN, handle: 'x'.repeat(4_096 * pages - length - bytes) };
  };

  it('gives its place to the next record', () => {
    const born = endingBefore(100);
    const intent = writeIntent(directory, born, options)!;
    expect(read()).toEqual(born);
    const { ino } = fs.statSync(file());
    const active: ContainerRecord = { ...born, state: 'active', order: 7 };
    expect(intent.overwrite(active, NO_FAILPOINTS)).toBe(true);
    intent.close(silentLogger);
    expect(read()).toEqual(active);
    expect(fs.statSync(file()).ino).toBe(ino);
    expect(fs.readdirSync(directory)).toEqual([RECORD_FILE]);
  });

  it('keeps it for one that would be more than one write, which a killed process may have made a part of', () => {
    const born = endingBefore(100, 2);
    const intent = writeIntent(directory, born, options)!;
    expect(intent.overwrite({ ...born, state: 'active', order: 7 }, NO_FAILPOINTS)).toBe(false);
    expect(read()).toEqual(born);
    intent.close(silentLogger);
  });

  it('keeps it for one that needs another block, or less room', () => {
    const full = endingBefore(1);
    const intent = writeIntent(directory, full, options)!;
    expect(intent.overwrite({ ...full, state: 'active', order: 7 }, NO_FAILPOINTS)).toBe(false);
    expect(intent.overwrite({ ...full, handle: 'x' }, NO_FAILPOINTS)).toBe(false);
    expect(read()).toEqual(full);
    intent.close(silentLogger);
  });

  it('is nothing to write to once another file has its name, or none', () => {
    const born = endingBefore(100);
    const next: ContainerRecord = { ...born, state: 'active' };
    const intent = writeIntent(directory, born, options)!;
    writeRecord(directory, born, options);
    expect(intent.overwrite(next, NO_FAILPOINTS)).toBe(false);
    expect(read()).toEqual(born);
    fs.unlinkSync(file());
    expect(intent.overwrite(next, NO_FAILPOINTS)).toBe(false);
    intent.close(silentLogger);
  });

  it('is replaced where records are to be on the disk', () => {
    expect(writeIntent(directory, BORN, { ...options, durable: true })).toBeUndefined();
    expect(read()).toEqual(BORN);
  });

  it('that cannot be written leaves nothing', () => {
    vi.spyOn(fs, 'renameSync').mockImplementation(() => {
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    });
    expect(() => writeIntent(directory, BORN, options)).toThrow(
      expect.objectContaining({ code: 'NATIVE_FAILED' }),
    );
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it('that a file system fails to close, as a full quota does, is told of, and ends nobody', async () => {
    const intent = writeIntent(directory, endingBefore(100), options)!;
    const { closeSync } = fs;
    vi.spyOn(fs, 'closeSync').mockImplementation((descriptor) => {
      closeSync(descriptor);
      throw Object.assign(new Error('input/output error'), { code: 'EIO' });
    });
    const warn = vi.fn();
    intent.close({ ...silentLogger, warn });
    await vi.waitFor(() => expect(warn).toHaveBeenCalled());
    expect(warn.mock.calls).toEqual([
      ['record-not-closed', { file: file(), error: expect.objectContaining({ code: 'EIO' }) }],
    ]);
  });

  it('of which only a part is written is an error', () => {
    const born = endingBefore(100);
    const intent = writeIntent(directory, born, options)!;
    vi.spyOn(fs, 'writeSync').mockReturnValue(10 as never);
    expect(() => intent.overwrite({ ...born, state: 'active' }, NO_FAILPOINTS)).toThrow('10 of');
    intent.close(silentLogger);
  });
});

describe('the last record of a container', () => {
  const options = { durable: false, failpoints: NO_FAILPOINTS };
  const LAST: ContainerRecord = { ...FULL, isDestroying: true };
  const file = (): string => path.join(directory, RECORD_FILE);
  const read = (): ContainerRecord => parseRecord(fs.readFileSync(file(), 'utf8'));
  const isSameFile = (record: ContainerRecord, last: ContainerRecord, settings = options): boolean => {
    writeRecord(directory, record, options);
    const { ino } = fs.statSync(file());
    const kept = fs.openSync(file(), 'r'); // its number is nobody else's meanwhile
    writeLastRecord(directory, last, settings);
    fs.closeSync(kept);
    expect(read()).toEqual(last);
    return fs.statSync(file()).ino === ino;
  };

  it('takes the place of the one before, also of a longer one', () => {
    expect(isSameFile(FULL, LAST)).toBe(true);
    expect(isSameFile({ ...FULL, handle: 'x'.repeat(500) }, LAST)).toBe(true);
  });

  it('is another file where it would be more than one write, or is to be on the disk', () => {
    const long = { handle: 'x'.repeat(5_000) };
    expect(isSameFile({ ...FULL, ...long }, LAST)).toBe(false);
    expect(isSameFile(FULL, { ...LAST, ...long })).toBe(false);
    expect(isSameFile(FULL, LAST, { ...options, durable: true })).toBe(false);
  });

  it('is written where there is none, and where only a part was', () => {
    writeLastRecord(directory, LAST, options);
    expect(read()).toEqual(LAST);
    const write = fs.writeSync;
    vi.spyOn(fs, 'writeSync').mockImplementationOnce(((descriptor: number, data: Buffer) =>
      write(descriptor, data, 0, 10, 0)) as never);
    writeLastRecord(directory, { ...LAST, uid: 1 }, options);
    expect(read().uid).toBe(1);
  });
});
