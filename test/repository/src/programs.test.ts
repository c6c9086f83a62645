/** The programs as they are built: a few files each, whose stacks lead back to the sources (scripts/bundle.mjs). */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { SourceMap } from 'node:module';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ROOT, sourceManifest } from './packing.ts';

const PROGRAMS = [
  ['daemon', 'wardend', ['--list-failpoints']],
  ['cli', 'warden', ['--help']],
] as const;

/** What is there as it was written, and what the bundler brings. */
const AS_WRITTEN = ['load.cjs', 'rolldown-runtime.cjs'];

/** Tells at its end which files Node has loaded. */
const WATCH = `
  const fs = require('node:fs');
  process.on('exit', () => fs.writeFileSync(process.env.WARDEN_TEST_LOADED, Object.keys(require.cache).join('\\n')));
`;

describe.each(PROGRAMS)('the program of @warden/%s', (owner, name, words) => {
  const directory = path.join(ROOT, 'packages', owner);
  const program = path.join(directory, 'bin', `${name}.js`);

  it('starts from few files', () => {
    const scratch = fs.mkdtempSync('/tmp/warden-loaded-');
    const file = path.join(scratch, 'loaded');
    const watch = path.join(scratch, 'watch.cjs');
    fs.writeFileSync(watch, WATCH);
    try {
      const { status, stdout } = spawnSync(process.execPath, ['--require', watch, program, ...words], {
        encoding: 'utf8',
        env: { ...process.env, WARDEN_TEST_LOADED: file },
      });
      expect(status).toBe(0);
      expect(stdout.length).toBeGreaterThan(100);
      const loaded = fs.readFileSync(file, 'utf8').split('\n');
      const own = loaded.filter((one) => one.startsWith(`${directory}/`));
      expect(own.map((one) => path.relative(directory, one)).sort()).toEqual([
        `bin/${name}.js`,
        'dist/program/load.cjs',
        'dist/program/rolldown-runtime.cjs',
        'dist/program/shared.cjs',
        `dist/program/${name}.cjs`,
      ]);
    } finally {
      fs.rmSync(scratch, { recursive: true });
    }
  });

  it.each([
    ['18.20.8', false],
    ['20.18.3', false],
    ['20.19.0', true],
    ['26.0.0', true],
  ])('started by Node %s: %s', (version, isTaken) => {
    const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } });`;
    const scratch = fs.mkdtempSync('/tmp/warden-node-');
    const file = path.join(scratch, 'pretend.cjs');
    fs.writeFileSync(file, pretend);
    try {
      const { status, stdout, stderr } = spawnSync(process.execPath, ['--require', file, program, ...words], {
        encoding: 'utf8',
      });
      const refusal = `${name}: Node 20.19 or newer is needed, this is ${version} (${process.execPath})\n`;
      expect([status, stdout.length > 100, stderr]).toEqual(isTaken ? [0, true, ''] : [1, false, refusal]);
      expect(sourceManifest(owner).engines!.node).toBe('>=20.19');
    } finally {
      fs.rmSync(scratch, { recursive: true });
    }
  });

  it('has a map to the sources for each of its files, and names the licences of what is in them', () => {
    const built = path.join(directory, 'dist/program');
    const files = fs.readdirSync(built).filter((file) => file.endsWith('.cjs') && !AS_WRITTEN.includes(file));
    expect(files).toEqual(expect.arrayContaining(['shared.cjs', `${name}.cjs`]));
    for (const file of files) {
      const text = fs.readFileSync(path.join(built, file), 'utf8');
      expect(text.trimEnd().split('\n').at(-1)).toBe(`//# sourceMappingURL=${file}.map`);
      expect(text, `${file}: see importModule`).not.toMatch(/(await|[?:=(]) ?import\(/);
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
  const file = path.join(ROOT, 'packages/daemon/dist/program/shared.cjs');
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

describe('what a start has compiled', () => {
  const scratch = `/tmp/warden-compiled-${process.pid}`;
  afterAll(() => fs.rmSync(scratch, { recursive: true }));
  const cache = (): string => path.join(scratch, 'shared.cache');
  const program = (answer: string): void =>
    fs.writeFileSync(path.join(scratch, 'shared.cjs'), `exports.answer = () => '${answer}';\n`);
  beforeAll(() => {
    fs.mkdirSync(scratch, { mode: 0o700 });
    fs.copyFileSync(path.join(ROOT, 'scripts/load-program.cjs'), path.join(scratch, 'load.cjs'));
    fs.writeFileSync(path.join(scratch, 'small.cjs'), `module.exports = require('./shared.cjs');\n`);
  });
  beforeEach(() => {
    fs.chmodSync(scratch, 0o755);
    fs.rmSync(cache(), { force: true });
    program('first');
  });

  /** The program's answer, and whether it would keep what was compiled for the next start, which it then does. */
  function start(words: readonly string[] = [], env: NodeJS.ProcessEnv = {}): readonly [string, boolean] {
    const code = `
      const { program, keep } = require(${JSON.stringify(path.join(scratch, 'load.cjs'))}).load('small');
      const answer = program.answer();
      keep?.();
      console.log(JSON.stringify([answer, keep !== undefined]));
    `;
    const { stdout, stderr } = spawnSync(process.execPath, [...words, '--eval', code], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });
    expect(stderr).toBe('');
    return JSON.parse(stdout) as [string, boolean];
  }

  it('is kept once and taken from then on', () => {
    expect(start()).toEqual(['first', true]);
    expect(fs.statSync(cache()).mode & 0o777).toBe(0o644);
    expect(start()).toEqual(['first', false]);
    expect(fs.readdirSync(scratch)).not.toContain('shared.cache.new');
  });

  it('is not taken for another source of the same length, and replaced', () => {
    start();
    program('other');
    expect(start()).toEqual(['other', true]);
    expect(start()).toEqual(['other', false]);
  });

  it('is not taken with other flags, and replaced', () => {
    start();
    expect(start(['--no-lazy'])).toEqual(['first', true]);
    expect(start(['--no-lazy'])).toEqual(['first', false]);
  });

  it.each([
    ['was cut off', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['is empty', () => Buffer.alloc(0)],
    [
      'has a wrong byte',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.of(bytes.at(-1)! ^ 1)]),
    ],
    [
      'is of another Node',
      (bytes: Buffer) => Buffer.from(bytes.toString('latin1').replace(/ v\d/, ' v1'), 'latin1'),
    ],
  ])('is not taken when it %s', (_what, spoil) => {
    start();
    fs.writeFileSync(cache(), spoil(fs.readFileSync(cache())));
    expect(start()).toEqual(['first', true]);
    expect(start()).toEqual(['first', false]);
  });

  it.each([0o664, 0o646])('is not taken from a file of mode %o', (mode) => {
    start();
    fs.chmodSync(cache(), mode);
    expect(start()).toEqual(['first', true]);
    expect(start()).toEqual(['first', false]);
  });

  it.runIf(process.geteuid?.() === 0)('is not taken from the file of another user [needs: root]', () => {
    start();
    fs.chownSync(cache(), 65_534, 65_534);
    expect(start()).toEqual(['first', true]);
  });

  it('is not taken through a link', () => {
    start();
    fs.renameSync(cache(), path.join(scratch, 'elsewhere'));
    fs.symlinkSync('elsewhere', cache());
    expect(start()).toEqual(['first', true]);
    expect(fs.lstatSync(cache()).isFile()).toBe(true);
  });

  it.each([0o775, 0o757])('is neither taken from nor put into a directory of mode %o', (mode) => {
    start();
    fs.chmodSync(scratch, mode);
    expect(start()).toEqual(['first', false]);
    fs.rmSync(cache());
    expect(start()).toEqual(['first', false]);
    expect(fs.existsSync(cache())).toBe(false);
  });

  it('is nothing to a program whose stacks are to lead to the sources, or whose code is counted', () => {
    expect(start(['--enable-source-maps'])).toEqual(['first', false]);
    expect(start([], { NODE_V8_COVERAGE: path.join(scratch, 'coverage') })).toEqual(['first', false]);
    expect(fs.existsSync(cache())).toBe(false);
  });

  it('is missing where it cannot be kept, and nothing else', () => {
    fs.mkdirSync(`${cache()}.new`);
    expect(start()).toEqual(['first', true]);
    expect(fs.existsSync(cache())).toBe(false);
    fs.rmdirSync(`${cache()}.new`);
  });
});
