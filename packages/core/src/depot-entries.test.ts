import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readDepot } from './depot-entries.ts';
import { RECORD_FILE } from './record.ts';

const ID = '0123456789a';
let depot: string;
beforeEach(() => {
  depot = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-depot-entries-'));
  fs.mkdirSync(path.join(depot, ID));
});
afterEach(() => fs.rmSync(depot, { recursive: true, force: true }));

const put = (name: string): void => fs.writeFileSync(path.join(depot, ID, name), 'left');

describe('a directory that is named like a container and has no record', () => {
  // a daemon may be killed while it writes a record, behind that, and while it removes the directory
  it.each(['.new', '.old'])('is one when it holds what a killed daemon leaves of a record: %s', (end) => {
    put(`${RECORD_FILE}${end}`);
    expect(readDepot(depot)).toMatchObject([{ kind: 'unrecorded', id: ID, name: ID }]);
  });

  it("is somebody else's when it holds anything else", () => {
    put(`${RECORD_FILE}.other`);
    expect(readDepot(depot)).toEqual([]);
  });
});

describe('a record that no daemon has written', () => {
  const file = (): string => path.join(depot, ID, RECORD_FILE);
  const broken = [{ kind: 'broken', id: ID, isBlank: false, error: { code: 'INVALID_SPEC' } }];

  it('is not read when it is larger than any', () => {
    fs.writeFileSync(file(), '');
    fs.truncateSync(file(), 2 ** 42);
    const before = process.memoryUsage().rss;
    expect(readDepot(depot)).toMatchObject(broken);
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * 1024 * 1024);
    expect(readDepot(depot)[0]).toHaveProperty(
      'error.message',
      expect.stringMatching(/has 4398046511104 bytes/),
    );
  });

  it('is not waited for when it is a FIFO', () => {
    execFileSync('mkfifo', [file()]);
    expect(readDepot(depot)).toMatchObject(broken);
  });

  it('stands for a container that is set aside when it is a directory', () => {
    fs.mkdirSync(file());
    expect(readDepot(depot)).toMatchObject(broken);
  });
});
