import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
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
  it('is a JSON array, oldest first, replaced as a whole, for its owner alone [cli 9 File, Save, Limits]', () => {
    const first = new History(home);
    first.add('ping');
    first.add('list');
    first.save();
    expect(JSON.parse(readFileSync(path.join(home, '.warden-history'), 'utf8'))).toEqual(['ping', 'list']);
    expect(statSync(path.join(home, '.warden-history')).mode & 0o777).toBe(0o600);
    expect(readdirSync(home)).toEqual(['.warden-history']);
    expect(new History(home).lines).toEqual(['ping', 'list']);
  });

  it('keeps the last thousand [cli 9 Limits]', () => {
    const history = new History(home);
    for (let at = 0; at < 1005; at += 1) history.add(`echo ${at}`);
    expect(history.lines).toHaveLength(1000);
    expect(history.lines[0]).toBe('echo 5');
  });

  it('loads the last thousand of a longer file and makes its mode 0600 at the next save [cli 9 Limits]', () => {
    const file = path.join(home, '.warden-history');
    writeFileSync(file, JSON.stringify(Array.from({ length: 1200 }, (_, at) => `echo ${at}`)), {
      mode: 0o644,
    });
    const history = new History(home);
    expect(history.lines[0]).toBe('echo 200');
    history.add('');
    history.add('list');
    history.save();
    const saved = JSON.parse(readFileSync(file, 'utf8')) as string[];
    expect([saved.length, saved[0], saved.at(-2), saved.at(-1)]).toEqual([
      1000,
      'echo 201',
      'echo 1199',
      'list',
    ]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it.each(['{', '{"a":1}', 'null', '', '\0'])(
    'starts empty when the file holds %j [cli 9 Limits]',
    (text) => {
      writeFileSync(path.join(home, '.warden-history'), text);
      expect(new History(home).lines).toEqual([]);
    },
  );

  it('passes over entries that are no lines, and keeps bytes that are not UTF-8 [cli 9]', () => {
    writeFileSync(path.join(home, '.warden-history'), '["a", 1, null, "echo \\udcff"]');
    const history = new History(home);
    expect(history.lines).toEqual(['a', 'echo \udcff']);
    history.save();
    expect(new History(home).lines).toEqual(['a', 'echo \udcff']);
  });

  it('survives a home that cannot be read or written to [cli 9 Limits]', () => {
    const history = new History(path.join(home, 'absent'));
    history.add('ping');
    history.save();
    expect(readdirSync(home)).toEqual([]);
    // A directory in the file's place is neither readable as a file nor replaceable by one.
    mkdirSync(path.join(home, '.warden-history'));
    const blocked = new History(home);
    blocked.add('ping');
    blocked.save();
    expect(readdirSync(home)).toEqual(['.warden-history']);
  });

  it('ignores a malformed file and works without a home [cli 1 HOME]', () => {
    writeFileSync(path.join(home, '.warden-history'), '{');
    expect(new History(home).lines).toEqual([]);
    const none = new History(undefined);
    none.add('ping');
    none.save();
    expect(none.lines).toEqual(['ping']);
  });
});
