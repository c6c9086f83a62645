import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { History } from './history.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'warden-history-'));
});
afterEach(() => rmSync(home, { recursive: true }));

describe('History', () => {
  it('survives from one run to the next, for its owner alone', () => {
    const first = new History(home);
    first.add('ping');
    first.add('list');
    first.save();
    expect(JSON.parse(readFileSync(path.join(home, '.warden-history'), 'utf8'))).toEqual(['ping', 'list']);
    expect(statSync(path.join(home, '.warden-history')).mode & 0o777).toBe(0o600);
    expect(readdirSync(home)).toEqual(['.warden-history']);
    expect(new History(home).lines).toEqual(['ping', 'list']);
  });

  it('keeps the last thousand', () => {
    const history = new History(home);
    for (let at = 0; at < 1005; at += 1) history.add(`echo ${at}`);
    expect(history.lines).toHaveLength(1000);
    expect(history.lines[0]).toBe('echo 5');
  });

  it('ignores a malformed file and works without a home', () => {
    writeFileSync(path.join(home, '.warden-history'), '{');
    expect(new History(home).lines).toEqual([]);
    const none = new History(undefined);
    none.add('ping');
    none.save();
    expect(none.lines).toEqual(['ping']);
  });
});
