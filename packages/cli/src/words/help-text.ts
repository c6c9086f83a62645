/** `warden WORD --help`, and the list of words in the help of the program. */
import { groupOf } from './find-word.ts';
import { WORDS } from './table.ts';
import { usageOf } from './usage.ts';
import { type Flag, flagsOf, type Word } from './word.ts';

/** How a flag is written. */
export function flagText({ name, short, value }: Flag): string {
  return `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
}

/** What is said of a flag. */
export function flagMeaning({ text, choices, isMany }: Flag): string {
  return [
    text,
    ...(choices === undefined ? [] : [`One${isMany ? ' or several' : ''} of ${choices.join(', ')}.`]),
    ...(isMany ? ['May be given several times.'] : []),
  ].join(' ');
}

const WIDTH = 100;
const INDENT = '  ';

/** See the file's head. */
export function wordHelp(word: Word): string {
  return [
    `Usage: ${usageOf(word)}`,
    '',
    ...wrapped(word.summary, ''),
    ...(word.details ?? []).flatMap((text) => ['', ...wrapped(text, '')]),
    '',
    'Flags:',
    ...flagsOf(word).flatMap((flag) => [
      `${INDENT}${flagText(flag)}`,
      ...wrapped(flagMeaning(flag), INDENT.repeat(4)),
    ]),
    '',
    'Examples:',
    ...word.examples.flatMap(([line, what]) => [`${INDENT}${line}`, `${INDENT.repeat(4)}${what}`]),
    '',
    'Before the word: the options of warden --help, such as --socket PATH (or WARDEN_SOCKET).',
    '',
  ].join('\n');
}

/** `warden image`: what it can be followed by. */
export function groupHelp(name: string): string {
  const words = groupOf(name);
  const width = Math.max(...words.map((word) => word.name.length)) + 2;
  return [
    `Usage: warden ${name} ACTION ...`,
    '',
    ...words.map((word) => `${INDENT}${word.name.padEnd(width)}${word.summary}`),
    '',
    `See: warden ${words[0]!.name} --help`,
    '',
  ].join('\n');
}

/** Lines `name, summary` of all words. */
export function wordList(): readonly (readonly [name: string, summary: string])[] {
  return WORDS.map(({ name, summary }) => [name, summary]);
}

function wrapped(text: string, indent: string): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > WIDTH) {
      lines.push(indent + line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, indent + line];
}
