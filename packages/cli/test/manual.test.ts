import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { manualPages } from '../src/words/manual.ts';
import { WORDS } from '../src/words/table.ts';
import { flagsOf } from '../src/words/word.ts';
import { PACKAGE } from './program.ts';

const DIRECTORY = path.join(PACKAGE, 'man');
const pages = manualPages();
const hasGroff = spawnSync('groff', ['--version']).status === 0;

describe('the manual pages', () => {
  it('are those that the table of words makes (node scripts/write-docs.mjs writes them)', () => {
    expect(fs.readdirSync(DIRECTORY).sort()).toEqual([...pages.keys()].sort());
    for (const [name, text] of pages)
      expect(fs.readFileSync(path.join(DIRECTORY, name), 'utf8'), name).toBe(text);
  });

  it('tell each word with all its flags and examples', () => {
    for (const word of WORDS) {
      const text = pages.get(`warden-${word.name.replaceAll(' ', '-')}.1`)!;
      for (const { name } of flagsOf(word))
        expect(text, word.name).toContain(`\\-\\-${name.replaceAll('-', '\\-')}`);
      expect(text.split('\n.nf\n')).toHaveLength(word.examples.length + 1);
      expect(pages.get('warden.1')).toContain(word.summary.slice(0, 20).replaceAll('-', '\\-'));
    }
  });

  it.runIf(hasGroff)(
    'are understood by groff without a warning, and show what was written [needs: groff]',
    () => {
      for (const [name, text] of pages) {
        const { stdout, stderr, status } = spawnSync('groff', ['-man', '-Tascii', '-ww', '-P-c'], {
          input: text,
          encoding: 'utf8',
        });
        expect({ name, status, stderr }).toEqual({ name, status: 0, stderr: '' });
        // biome-ignore lint/suspicious/noControlCharactersInRegex: overstrikes of the device
        expect(stdout.replaceAll(/.\x08/g, '')).toMatch(/^warden[\s\S]*NAME\n {7}warden[\s\S]*SYNOPSIS/i);
      }
    },
  );
});
