/** Which word is meant, and what follows it. */
import { COMMANDS } from '../commands.ts';
import { WORDS } from './table.ts';
import type { Word } from './word.ts';

/** A word and the words behind it. */
export interface FoundWord {
  readonly word: Word;
  readonly rest: readonly string[];
}

/** Two words before one: `image ls`. */
export function findWord(words: readonly string[]): FoundWord | undefined {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ');
    const word = WORDS.find((one) => one.name === name && words.length >= length);
    if (word !== undefined) return { word, rest: words.slice(length) };
  }
  return undefined;
}

/** Words that begin words of two: `image`. */
export function groupOf(name: string | undefined): readonly Word[] {
  return name === undefined ? [] : WORDS.filter((word) => word.name.startsWith(`${name} `));
}

/** Whether the words are for this part of the program: they begin with a word of the table, or with `help` and one. */
export function isWord(words: readonly string[]): boolean {
  const [first, second] = words;
  if (first === 'help' && second !== undefined && second !== '--') return true;
  if (groupOf(first).length > 0) return true;
  const found = findWord(words);
  return found !== undefined && !(found.word.name === 'run' && isOriginalRun(found.rest));
}

/** The original's `run` names its container and its script; the word for people has neither. */
function isOriginalRun(rest: readonly string[]): boolean {
  const end = rest.indexOf('--');
  const own = end < 0 ? rest : rest.slice(0, end);
  return own.some((word) => /^--(handle|script)(=|$)/.test(word));
}

/** What a word for people begins with. */
export function wordNames(): readonly string[] {
  return [...new Set(WORDS.map(({ name }) => name.split(' ')[0]!))];
}

/** What else the first word may be, for suggestions: words, and the original's commands. */
export function firstWords(): readonly string[] {
  return [...new Set([...wordNames(), ...COMMANDS.keys(), 'help'])];
}
