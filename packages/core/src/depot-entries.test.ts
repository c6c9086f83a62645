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
