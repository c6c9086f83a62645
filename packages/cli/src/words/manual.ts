/** Manual pages, from the same table as help and completion: `warden(1)` and one for each word. */
import { listedCommands } from '../commands.ts';
import { OPTIONS } from '../options.ts';
import { flagMeaning, flagText } from './help-text.ts';
import { WORDS } from './table.ts';
import { usageOf } from './usage.ts';
import { flagsOf, type Word } from './word.ts';

/** Names of files, and what they hold. */
export function manualPages(): ReadonlyMap<string, string> {
  return new Map([
    ['warden.1', programPage()],
    ...WORDS.map((word): [string, string] => [`${pageName(word)}.1`, wordPage(word)]),
  ]);
}

function pageName({ name }: Word): string {
  return `warden-${name.replaceAll(' ', '-')}`;
}

/** Text for roff: nothing in it is an order, and dashes can be copied. */
function text(raw: string): string {
  return raw
    .replaceAll('\\', '\\(rs')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&');
}

function bold(raw: string): string {
  return `\\fB${text(raw)}\\fR`;
}

function head(title: string): string {
  return `.TH ${title.toUpperCase()} 1 "" warden "warden manual"\n.nh\n.ad l`;
}

function section(title: string, ...lines: readonly string[]): readonly string[] {
  return [`.SH ${title}`, ...lines];
}

function entry(term: string, meaning: string): readonly string[] {
  return ['.TP', term, text(meaning)];
}

function example([line, what]: readonly [string, string]): readonly string[] {
  return ['.PP', text(`${what}:`), '.PP', '.nf', `.RS 4\n${text(line)}\n.RE`, '.fi'];
}

const EXIT_STATUS: readonly (readonly [string, string])[] = [
  ['0', 'Done; or the status of a job.'],
  ['124', 'The time of the job was over.'],
  ['125', 'Warden itself failed, or did not understand the words.'],
  ['126', 'The program is there and cannot be run.'],
  ['127', 'There is no such program.'],
  ['128+n', 'Signal n ended the job.'],
  ['141', 'Nobody reads standard output any more.'],
];

function wordPage(word: Word): string {
  const name = pageName(word);
  const statuses = word.isForeign
    ? []
    : section('EXIT STATUS', ...EXIT_STATUS.flatMap(([status, what]) => entry(bold(status), what)));
  return page([
    head(name),
    ...section('NAME', `${text(name)} \\- ${text(lowerFirst(word.summary))}`),
    ...section('SYNOPSIS', bold(usageOf(word))),
    ...section(
      'DESCRIPTION',
      text(word.summary),
      ...(word.details ?? []).flatMap((one) => ['.PP', text(one)]),
    ),
    ...section('OPTIONS', ...flagsOf(word).flatMap((flag) => entry(bold(flagText(flag)), flagMeaning(flag)))),
    ...section('EXAMPLES', ...word.examples.flatMap(example)),
    ...statuses,
    ...section('SEE ALSO', '.BR warden (1)'),
  ]);
}

function programPage(): string {
  return page([
    head('warden'),
    ...section('NAME', 'warden \\- containers on this host, for people and for scripts'),
    ...section(
      'SYNOPSIS',
      bold('warden [OPTIONS] WORD ...'),
      '.br',
      bold('warden [OPTIONS] -- COMMAND ...'),
      '.br',
      bold('warden [OPTIONS]'),
    ),
    ...section(
      'DESCRIPTION',
      text(
        'Words are for people; each has a page of its own. Commands are those of the original: every request of the protocol is one, every field a flag, and warden -- COMMAND --help lists them. Without either the prompt reads commands, from a terminal or a script.',
      ),
    ),
    ...section(
      'OPTIONS',
      ...OPTIONS.flatMap(({ name, argument, text: meaning }) =>
        entry(bold(`--${name}${argument === undefined ? '' : ` ${argument}`}`), meaning),
      ),
    ),
    ...section('WORDS', ...WORDS.flatMap((word) => entry(`${bold(pageName(word))}(1)`, word.summary))),
    ...section(
      'COMMANDS',
      ...listedCommands().flatMap(([name, description]) => entry(bold(name), description)),
    ),
    ...section(
      'ENVIRONMENT',
      ...entry(bold('WARDEN_SOCKET'), 'Socket of the daemon, unless --socket names another.'),
      ...entry(bold('NO_COLOR'), 'Anything but empty: no colours.'),
    ),
    ...section('FILES', ...entry(bold('~/.warden-history'), 'Lines of the prompt.')),
    ...section(
      'EXIT STATUS',
      text('Commands: 1 for failures, 2 for what is not understood, else that of the job. Words:'),
      ...EXIT_STATUS.flatMap(([status, what]) => entry(bold(status), what)),
    ),
  ]);
}

function page(lines: readonly string[]): string {
  return `.\\" Written by scripts/write-docs.mjs.\n${lines.join('\n')}\n`;
}

function lowerFirst(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1).replace(/\.$/, '');
}
