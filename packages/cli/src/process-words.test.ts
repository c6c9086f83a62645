import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { losslessWords } from './process-words.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'warden-words-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const kernel = (...words: string[]): string => {
  const file = path.join(directory, 'cmdline');
  writeFileSync(file, Buffer.from(words.map((word) => `${word}\0`).join(''), 'latin1'));
  return file;
};

describe('losslessWords', () => {
  it('restores the bytes that Node replaced, after the words of the interpreter [cli 3.1 string]', () => {
    const file = kernel('node', '--flag', 'warden.js', 'echo', '--message', 'a\xff', '');
    expect(losslessWords(['echo', '--message', 'a\ufffd', ''], file)).toEqual([
      'echo',
      '--message',
      'a\udcff',
      '',
    ]);
  });

  it('asks nobody when nothing was replaced', () => {
    expect(losslessWords(['echo', 'é'], '/nonexistent')).toEqual(['echo', 'é']);
  });

  it('keeps a character that was given as it is', () => {
    const file = kernel('node', 'warden.js', '\xef\xbf\xbd');
    expect(losslessWords(['\ufffd'], file)).toEqual(['\ufffd']);
  });
});
