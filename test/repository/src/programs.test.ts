/** The programs as they are built: a few files each, whose stacks lead back to the sources (scripts/bundle.mjs). */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { SourceMap } from 'node:module';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './packing.ts';

const PROGRAMS = [
  ['daemon', 'wardend', ['--list-failpoints']],
  ['cli', 'warden', ['--help']],
] as const;

/** Registers a hook that writes down what Node loads from files. */
const WATCH = `data:text/javascript,${encodeURIComponent(`
  import { register } from 'node:module';
  register('data:text/javascript,' + encodeURIComponent(\`
    import fs from 'node:fs';
    export async function load(url, context, next) {
      if (url.startsWith('file:')) fs.appendFileSync(process.env.WARDEN_TEST_LOADED, url + '\\\\n');
      return next(url, context);
    }
  \`));
`)}`;

describe.each(PROGRAMS)('the program of @warden/%s', (owner, name, words) => {
  const directory = path.join(ROOT, 'packages', owner);
  const program = path.join(directory, 'bin', `${name}.js`);

  it('starts from three files', () => {
    const scratch = fs.mkdtempSync('/tmp/warden-loaded-');
    const file = path.join(scratch, 'loaded');
    try {
      const { status, stdout } = spawnSync(process.execPath, ['--import', WATCH, program, ...words], {
        encoding: 'utf8',
        env: { ...process.env, WARDEN_TEST_LOADED: file },
      });
      expect(status).toBe(0);
      expect(stdout.length).toBeGreaterThan(100);
      const loaded = fs.readFileSync(file, 'utf8').trim().split('\n');
      expect(loaded.map((url) => path.relative(directory, new URL(url).pathname)).sort()).toEqual([
        `bin/${name}.js`,
        'dist/program/shared.js',
        `dist/program/${name}.js`,
      ]);
    } finally {
      fs.rmSync(scratch, { recursive: true });
    }
  });

  it('has a map to the sources for each of its files, and names the licences of what is in them', () => {
    const built = path.join(directory, 'dist/program');
    const files = fs.readdirSync(built).filter((file) => file.endsWith('.js'));
    expect(files).toEqual(expect.arrayContaining(['shared.js', `${name}.js`]));
    for (const file of files) {
      const text = fs.readFileSync(path.join(built, file), 'utf8');
      expect(text.trimEnd().split('\n').at(-1)).toBe(`//# sourceMappingURL=${file}.map`);
      const map = JSON.parse(fs.readFileSync(path.join(built, `${file}.map`), 'utf8')) as {
        readonly sources: readonly string[];
        readonly sourcesContent: readonly (string | null)[];
      };
      const own = map.sources.filter((source) => /\/src\/.*\.ts$/.test(source));
      for (const source of own) {
        const original = path.resolve(built, source);
        const content = map.sourcesContent[map.sources.indexOf(source)];
        expect(content, source).toBe(fs.readFileSync(original, 'utf8'));
      }
      const foreign = map.sources.filter((source) => source.includes('/node_modules/'));
      for (const source of foreign) {
        const [, who] = /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source) ?? [];
        expect(text, `${file} holds ${who}`).toContain(`/*! ${who}\n`);
      }
    }
  });
});

it('a place in wardend is led back to the line of the source, as --enable-source-maps does for stacks', () => {
  const file = path.join(ROOT, 'packages/daemon/dist/program/shared.js');
  // the first statement of WardenError
  const place = 'super(message, options.cause === ';
  const lineOf = (text: string): number => text.split('\n').findIndex((line) => line.includes(place));
  const map = new SourceMap(JSON.parse(fs.readFileSync(`${file}.map`, 'utf8')));
  const entry = map.findEntry(lineOf(fs.readFileSync(file, 'utf8')), 10);
  if (!('originalSource' in entry)) throw new Error('the place is not in the map');
  const source = path.join(ROOT, 'packages/interface/src/errors.ts');
  expect(path.resolve(path.dirname(file), entry.originalSource)).toBe(source);
  expect(entry.originalLine).toBe(lineOf(fs.readFileSync(source, 'utf8')));
});
