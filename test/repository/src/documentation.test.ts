/**
 * What the pages say of the repository is so: links lead somewhere, texts of errors are those of the code,
 * commands and flags exist.
 */
import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const read = (name: string): string => fs.readFileSync(path.join(ROOT, name), 'utf8');

/** Files below a directory by the ends of their names, without what is built. */
function filesBelow(directory: string, ...ends: readonly string[]): string[] {
  return fs.readdirSync(path.join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    const name = path.posix.join(directory, entry.name);
    if (['node_modules', 'dist', 'reference', 'prebuilt', 'build', '.git', 'reports'].includes(entry.name))
      return [];
    if (entry.isDirectory()) return filesBelow(name, ...ends);
    return ends.some((end) => name.endsWith(end)) ? [name] : [];
  });
}

const PAGES = filesBelow('docs', '.md');
const TOP = fs.readdirSync(ROOT).filter((name) => name.endsWith('.md'));
const READMES = filesBelow('packages', 'README.md');

/** As the forge makes them of headings. */
const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(
    [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  );

/** Links within the repository, from its top. */
function linksOf(page: string): readonly string[] {
  const text = read(page).replaceAll(/```[\s\S]*?```|`[^`\n]*`/g, '');
  return [...text.matchAll(/\]\((?!\w+:)([^)\s]*)\)/g)].map(([, link]) =>
    link!.startsWith('#') ? `${page}${link}` : path.posix.join(path.dirname(page), link!),
  );
}

describe('the sources', () => {
  it('have comments no wider than a screen', () => {
    const sources = ['packages', 'test', 'scripts', 'native', 'examples'].flatMap((directory) =>
      filesBelow(directory, '.ts', '.mts', '.mjs', '.c', '.h'),
    );
    const isWide = (line: string): boolean =>
      line.length > 120 && /^\s*(\/\/|\/?\*)/.test(line) && !/https?:|biome-ignore/.test(line);
    const wide = sources.flatMap((file) =>
      read(file)
        .split('\n')
        .flatMap((line, at) => (isWide(line) ? [`${file}:${at + 1}`] : [])),
    );
    expect(wide).toEqual([]);
    expect(sources.length).toBeGreaterThan(500);
  });
});

describe('the pages', () => {
  it.each([...PAGES, ...TOP, ...READMES])('%s links to what is there', (page) => {
    const wrong = linksOf(page).filter((link) => {
      const [file = '', anchor] = link.split('#');
      if (!fs.existsSync(path.join(ROOT, file))) return true;
      return anchor !== undefined && file.endsWith('.md') && !anchorsOf(read(file)).has(anchor);
    });
    expect(wrong).toEqual([]);
  });

  it.each([...PAGES, ...TOP, ...READMES])('%s has no table that an empty line cuts in two', (page) => {
    // what begins with a row instead of a heading is no table, and is shown as text
    const text = read(page).replaceAll(/```[\s\S]*?```/g, '');
    const cut = [...text.matchAll(/(?<=^|\n\n)\|.*\n(?!\|[ :|-]+\|\n)/g)].map(([row]) => row);
    expect(cut).toEqual([]);
  });

  /** Made from something else, or one fact per line. */
  const MADE = /^docs\/(api|conformance)\/|^docs\/(compliance|configuration|errors)\.md$/;
  it.each([...PAGES, ...TOP, ...READMES].filter((page) => !MADE.test(page)))(
    '%s is broken into lines that a screen shows whole, but for tables, code and links',
    (page) => {
      const prose = read(page).replaceAll(/```[\s\S]*?```/g, '');
      const long = prose.split('\n').filter((line) => line.length > 140 && !/^\s*\||\]\(/.test(line));
      expect(long).toEqual([]);
    },
  );

  it('name npm scripts that stand in the package.json of the repository, or say of which package', () => {
    const scriptsOf = (file: string): readonly string[] =>
      Object.keys((JSON.parse(read(file)) as { readonly scripts: object }).scripts);
    const top = scriptsOf('package.json');
    const wrong = [...PAGES, ...TOP, ...READMES].flatMap((page) =>
      [...read(page).matchAll(/`npm run ([\w:-]+)[^`]*`(?: in `(packages\/[\w-]+)`)?/g)]
        .filter(([, script, directory]) => {
          const scripts = directory === undefined ? top : scriptsOf(path.join(directory, 'package.json'));
          return !scripts.includes(script!);
        })
        .map(([place]) => `${page}: ${place}`),
    );
    expect(wrong).toEqual([]);
  });

  it('are all reached from the index, which the README names', () => {
    expect(linksOf('README.md')).toContain('docs/README.md');
    const reached = new Set(['docs/README.md']);
    for (const page of reached)
      for (const [target] of linksOf(page).map((link) => link.split('#')))
        if (PAGES.includes(target!)) reached.add(target!);
    expect(PAGES.filter((page) => !reached.has(page))).toEqual([]);
  });
});

describe('docs/troubleshooting.md', () => {
  const sources = [
    ...filesBelow('packages', '.ts').filter((name) => !name.endsWith('.test.ts')),
    ...filesBelow('scripts', '.mjs'),
    ...filesBelow('native', '.c'),
  ].map(read);
  const rows = [...read('docs/troubleshooting.md').matchAll(/^\| (.+?) \| .+? \| .+? \|$/gm)]
    .map(([, symptom]) => symptom!)
    .filter((symptom) => symptom !== 'you see');
  const symptoms = rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, text]) => text!));

  it('quotes something in most of its rows', () => {
    expect(rows.length).toBeGreaterThan(40);
    expect(symptoms.length).toBeGreaterThan(45);
  });

  it.each(symptoms)('quotes a text that a program here writes: %s', (symptom) => {
    const pieces = symptom
      .split('…')
      .map((piece) => piece.trim())
      .filter((piece) => /\w/.test(piece));
    expect(pieces.length).toBeGreaterThan(0);
    const isWritten = (source: string): boolean =>
      pieces.every((piece) => source.includes(piece) || source.includes(piece.replaceAll("'", "\\'")));
    expect(sources.some(isWritten) || ELSEWHERE.has(symptom)).toBe(true);
  });
});

/** Texts that are put together, or are not ours. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'Connection refused',
  'No such file or directory - connect(2) for …',
  'Connection refused - connect(2) for …',
  'Permission denied - connect(2) for …',
  'cannot connect to …: ENOENT',
  'cannot connect to …: ECONNREFUSED',
  'cannot connect to …: EACCES',
  'cannot write …: ENOSPC: …',
  'execvpe: …: No such file or directory',
  '0.0.0.0/0',
  'Found left-over process … in control group while starting unit. Ignoring.',
]);

interface Table {
  readonly words: readonly { readonly name: string; readonly flags: readonly { readonly name: string }[] }[];
  readonly commands: ReadonlySet<string>;
}

describe.each([
  'docs/quick-start.md',
  'docs/from-docker.md',
  'docs/from-warden.md',
  'docs/troubleshooting.md',
])('%s', (page) => {
  let table: Table;
  beforeAll(async () => {
    const at = (name: string): string => path.join(ROOT, 'packages/cli/src', name);
    const { WORDS } = (await import(/* @vite-ignore */ at('words/table.ts'))) as { WORDS: Table['words'] };
    const { COMMANDS } = (await import(/* @vite-ignore */ at('commands.ts'))) as {
      COMMANDS: ReadonlyMap<string, unknown>;
    };
    table = { words: WORDS, commands: new Set([...COMMANDS.keys(), 'doctor', 'rootfs', 'help']) };
  });

  it('names commands that exist, with flags that they have', () => {
    const text = read(page);
    const code = [...text.matchAll(/```sh\n([\s\S]*?)```|`([^`\n]+)`/g)].map(
      ([, block, span]) => block ?? span!,
    );
    const typed = code.flatMap((one) => [
      ...one.matchAll(/(?:^|&& |; )warden (?:-- )?((?:[\w-]+ ?)+)([^\n|;]*)/gm),
    ]);
    expect(typed.length).toBeGreaterThan(1);
    const wrong = typed.flatMap(([whole, words = '', rest = '']) => {
      const [first = '', second = ''] = words.trim().split(' ');
      const word =
        table.words.find(({ name }) => name === `${first} ${second}`) ??
        table.words.find(({ name }) => name === first);
      if (word === undefined) return table.commands.has(first) ? [] : [whole];
      const flags = rest.split(/ -- /)[0]!.matchAll(/(?:^| )--([a-z-]+)/g);
      const known = new Set([...word.flags.map(({ name }) => name), 'json', 'jsonl', 'help', 'handle']);
      return [...flags].map(([, flag]) => flag!).filter((flag) => !known.has(flag));
    });
    expect(wrong).toEqual([]);
  });
});

describe('a program that a page has its reader save in the checkout', () => {
  it('is none of the repository', () => {
    const saved = [...TOP, ...PAGES].flatMap((page) =>
      [...read(page).matchAll(/`([\w-]+\.ts)`,? in the checkout/g)].map(([, name]) => `/${name}`),
    );
    expect(saved.sort()).toEqual(['/example.ts', '/first.ts']);
    expect(read('.gitignore').split('\n')).toEqual(expect.arrayContaining(saved));
  });
});
