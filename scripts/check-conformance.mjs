// Reads the tables of docs/conformance, checks that every test they name exists under exactly that title, and
// writes the index docs/conformance/README.md. `--check` writes nothing. Another directory can be given as
// the root (the tests do that).
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const MARKS = {
  C: 'contract: clients see it',
  T: "asserted by the original's test suite",
  M: 'measured on the original, or the modern way taken',
  R: "read from the original's source",
  X: 'external contract beside the protocol (files, sockets)',
  Q: 'quirk of the original that is not repeated',
  D: 'decision where the original is silent or wrong',
};
const HEADER = ['row', 'what holds', 'mark', 'test'];
const DEPARTURES = '## Deliberate departures';

const args = process.argv.slice(2);
const isCheckOnly = args.includes('--check');
const root = path.resolve(
  args.find((one) => !one.startsWith('--')) ?? path.join(path.dirname(fileURLToPath(import.meta.url)), '..'),
);
const directory = path.join(root, 'docs/conformance');
const problems = [];
const sources = new Map();

/** Cells of a table line; `\|` is a bar inside a cell. */
function cells(line) {
  return line
    .trim()
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));
}

function sourceOf(file) {
  if (!sources.has(file)) {
    const found = path.join(root, file);
    sources.set(file, fs.existsSync(found) ? fs.readFileSync(found, 'utf8') : undefined);
  }
  return sources.get(file);
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/**
 * Whether `text` calls `it`, `test`, or what `it.each(…)` gives, with exactly this title; elsewhere, whether
 * it names the test.
 */
function hasTest(file, text, title) {
  if (!/\.m?[jt]s$/.test(file))
    return new RegExp(`(["'])${escaped(title)}\\1|\\b(?:void|int|def) ${escaped(title)}\\(`).test(text);
  return ["'", '"', '`'].some((quote) => {
    const literal = title.replaceAll('\\', '\\\\').replaceAll(quote, `\\${quote}`);
    return new RegExp(
      `(?:\\b(?:it|test)(?:\\.\\w+)*|\\)|\`)\\s*\\(\\s*${escaped(quote + literal + quote)}\\s*,`,
    ).test(text);
  });
}

function checkReference(say, reference) {
  const match = /^`([^`]+)` › (.+)$/.exec(reference);
  if (!match) return say(`expected \`path/to/file.test.ts\` › exact title, found: ${reference}`);
  const [, file, title] = match;
  const text = sourceOf(file);
  if (text === undefined) say(`there is no file ${file}`);
  else if (!hasTest(file, text, title)) say(`${file} has no test with the title: ${title}`);
}

/** One data row; answers how it counts. */
function checkRow(say, line) {
  const row = cells(line);
  if (row.length !== HEADER.length) {
    say(`${row.length} cells instead of ${HEADER.length} (write a bar inside a cell as \\|)`);
    return { tests: 0, isOpen: false };
  }
  const [name, holds, mark, tests] = row;
  if (name === '' || holds === '') say('the cells row and what holds must not be empty');
  if (mark === '' || mark.split(/[\s,/]+/).some((one) => !Object.hasOwn(MARKS, one)))
    say(`mark must be of ${Object.keys(MARKS).join(', ')}, found: ${mark || 'nothing'}`);
  if (/^none: \S/.test(tests)) return { tests: 0, isOpen: true };
  const references = tests.split(/\s*<br>\s*/);
  for (const reference of references) checkReference(say, reference);
  return { tests: references.length, isOpen: false };
}

function checkFile(name) {
  const lines = fs.readFileSync(path.join(directory, name), 'utf8').split('\n');
  const say = (at) => (text) => problems.push(`docs/conformance/${name}:${at + 1}: ${text}`);
  const count = { name, title: '', rows: 0, tests: 0, open: 0 };
  count.title = /^# (.+)/.exec(lines[0] ?? '')?.[1] ?? '';
  if (count.title === '') say(0)('the first line must be a title: # …');
  let inTable = false;
  let isOurs = false;
  for (const [at, line] of lines.entries()) {
    if (!line.startsWith('|')) {
      inTable = false;
      continue;
    }
    if (!inTable) {
      inTable = true;
      // tables of another form (in the departures, say) are prose
      isOurs = cells(line).join('|') === HEADER.join('|');
      if (cells(line)[0] === 'row' && !isOurs)
        say(at)(`the head of a table must be | ${HEADER.join(' | ')} |`);
      if (isOurs && !/^\|(?:\s*:?-+:?\s*\|){4}$/.test(lines[at + 1] ?? ''))
        say(at + 1)('the second line of a table must be | --- | --- | --- | --- |');
      continue;
    }
    if (!isOurs || /^[|\s:-]+$/.test(line)) continue;
    const { tests, isOpen } = checkRow(say(at), line);
    count.rows += 1;
    count.tests += tests;
    count.open += isOpen ? 1 : 0;
  }
  if (count.rows === 0) say(0)(`no table row; a table begins with | ${HEADER.join(' | ')} |`);
  if (!lines.includes(DEPARTURES)) say(0)(`the section "${DEPARTURES}" is missing`);
  return count;
}

function index(counts) {
  const sum = (key) => counts.reduce((total, one) => total + one[key], 0);
  const lines = counts.map(
    (one) => `| [${one.title}](${one.name}) | ${one.rows} | ${one.tests} | ${one.open} |`,
  );
  return `# Conformance

Which behaviour of the original holds here, and which test proves it. \`node scripts/check-conformance.mjs\` checks that every test named
in these tables exists under exactly that title, and writes this file.

| topic | rows | tests named | rows without a test |
| --- | ---: | ---: | ---: |
${lines.join('\n')}
| all | ${sum('rows')} | ${sum('tests')} | ${sum('open')} |

## Form of a table

A file is one topic: a title, one or more tables of this form, and the section \`${DEPARTURES}\`.

\`\`\`
| row | what holds | mark | test |
| --- | --- | --- | --- |
| behaviour 5 NetIn | both ports are answered | C | \`test/integration/src/net.test.ts\` › answers both ports [behaviour 5 NetIn] |
\`\`\`

- **test**: the path from the top of the repository in backquotes, \` › \`, and the title exactly as in the source (that of \`it.each\` with its
  placeholders). Several tests are separated by \`<br>\`. A row that no test can hold says \`none: \` and the reason; it is counted above.
  In the C programs' own tests (C, Python), the title is the checked text or the name of the function.
- A bar inside a cell is written \`\\|\`.
- **mark**: one or more of

${Object.entries(MARKS)
  .map(([mark, meaning]) => `  - \`${mark}\` ${meaning}`)
  .join('\n')}
`;
}

const names = fs.existsSync(directory)
  ? fs
      .readdirSync(directory)
      .filter((name) => name.endsWith('.md') && name !== 'README.md')
      .sort()
  : [];
const counts = names.map(checkFile);
if (problems.length > 0) {
  process.stderr.write(`${problems.join('\n')}\n${problems.length} problems in docs/conformance\n`);
  process.exit(1);
}
if (!isCheckOnly && names.length > 0) fs.writeFileSync(path.join(directory, 'README.md'), index(counts));
process.stdout.write(
  `${counts.reduce((sum, one) => sum + one.tests, 0)} tests named in ${names.length} files of docs/conformance exist\n`,
);
