/** What may be typed next. */
import type { WardenClient } from '@warden/client';
import { COMMANDS, listedCommands } from '../commands.ts';
import { complete } from '../complete.ts';
import { shown } from '../human/shown.ts';
import { OPTIONS } from '../options.ts';
import { findWord, groupOf } from './find-word.ts';
import { flagMeaning } from './help-text.ts';
import { WORDS } from './table.ts';
import { type Flag, flagsOf, type ValueKind, type Word } from './word.ts';

/** One of them; the text `:` stands for any file of this host. */
export interface Candidate {
  readonly text: string;
  /** What it is, in a few words. */
  readonly what: string;
}

/** Whoever presses Tab waits no longer for a daemon. */
const PATIENCE_MS = 1000;
const FILES: Candidate = { text: ':', what: 'file' };

type Connect = () => Promise<WardenClient>;

/** For the last of the words behind `warden`; it may be empty. */
export async function candidates(typed: readonly string[], connect: Connect): Promise<readonly Candidate[]> {
  const words = skipOptions(typed);
  const current = typed.at(-1) ?? '';
  const found = words.length === 0 ? await optionsFor(typed) : await candidatesIn(words, connect);
  return found.filter(
    ({ text }) => text === ':' || (text.startsWith(current) && shown(text) === text && text !== ''),
  );
}

/** Without the options of the program before the word; empty: they are not over yet. */
function skipOptions(typed: readonly string[]): readonly string[] {
  for (let at = 0; at < typed.length; at += 1) {
    const word = typed[at]!;
    if (word === '--' && at < typed.length - 1) return typed.slice(at);
    if (!word.startsWith('-')) return typed.slice(at);
    const option = OPTIONS.find(({ name }) => `--${name}` === word.replaceAll('-', '_').replace(/^__/, '--'));
    if (option?.argument !== undefined) at += 1;
  }
  return [];
}

async function optionsFor(typed: readonly string[]): Promise<readonly Candidate[]> {
  if (['--socket'].includes(typed.at(-2) ?? '')) return [FILES];
  return OPTIONS.map(({ name, text }) => ({ text: `--${name}`, what: text }));
}

async function candidatesIn(words: readonly string[], connect: Connect): Promise<readonly Candidate[]> {
  const [first = '', ...rest] = words;
  if (first === '--' || (words.length > 1 && isOriginal(words)))
    return ofOriginal(first === '--' ? rest : words, connect);
  if (words.length === 1) return firstCandidates();
  if (first === 'help') return ofHelp(rest);
  const actions = groupOf(first);
  if (actions.length > 0 && words.length === 2) return actions.map((word) => actionOf(word, first));
  const found = findWord(words);
  return found === undefined ? [] : ofWord(found.word, found.rest, connect);
}

/** A command of the original: its words are completed as in the prompt. */
function isOriginal(words: readonly string[]): boolean {
  const [first = '', ...rest] = words;
  if (first === 'run') return rest.slice(0, -1).some((word) => word === '--handle' || word === '--script');
  return findWord(words) === undefined && groupOf(first).length === 0 && first !== 'help';
}

async function ofOriginal(words: readonly string[], connect: Connect): Promise<readonly Candidate[]> {
  if (words.length > 1 && !COMMANDS.has(words[0]!.toLowerCase())) return [];
  const line = words.join(' ');
  const list = async (): Promise<readonly string[]> => [...(await ask(connect, (client) => client.list()))];
  const [found] = await complete(line, list);
  return found.map((text) => ({ text: text.trimEnd(), what: '' }));
}

function firstCandidates(): readonly Candidate[] {
  const own = WORDS.map(({ name, summary }) => ({ text: name.split(' ')[0]!, what: summary }));
  const groups = new Set(
    WORDS.filter(({ name }) => name.includes(' ')).map(({ name }) => name.split(' ')[0]!),
  );
  const merged = new Map(
    own.map((one) => [
      one.text,
      groups.has(one.text) ? { text: one.text, what: 'Images of the host.' } : one,
    ]),
  );
  for (const [text, what] of listedCommands()) if (!merged.has(text)) merged.set(text, { text, what });
  return [...merged.values()];
}

function ofHelp(rest: readonly string[]): readonly Candidate[] {
  if (rest.length === 1) return firstCandidates();
  return groupOf(rest[0]).map((word) => actionOf(word, rest[0]!));
}

function actionOf({ name, summary }: Word, first: string): Candidate {
  return { text: name.slice(first.length + 1), what: summary };
}

async function ofWord(word: Word, rest: readonly string[], connect: Connect): Promise<readonly Candidate[]> {
  const before = rest.slice(0, -1);
  const current = rest.at(-1) ?? '';
  const flags = flagsOf(word);
  const { operands, pending, isOver } = placeOf(word, before, flags);
  if (pending !== undefined) return ofValue(pending, connect);
  if (isOver) return [FILES];
  if (current.startsWith('-'))
    return flags.map((flag) => ({ text: `--${flag.name}`, what: flagMeaning(flag) }));
  const operand =
    word.operands[operands] ?? (word.operands.at(-1)?.isRest ? word.operands.at(-1) : undefined);
  if (operand === undefined) return word.command === undefined ? [] : [FILES];
  return ofValue(operand, connect, word.name === 'cp');
}

/** Where the words before the last one end: in operands, in a flag's value, or behind `--`. */
function placeOf(
  word: Word,
  before: readonly string[],
  flags: readonly Flag[],
): { readonly operands: number; readonly pending?: Flag; readonly isOver: boolean } {
  let operands = 0;
  for (let at = 0; at < before.length; at += 1) {
    const one = before[at]!;
    if (one === '--') return { operands, isOver: word.command !== undefined };
    const flag = one.startsWith('-') ? flagOf(one, flags) : undefined;
    if (flag?.value !== undefined && !one.includes('=')) {
      at += 1;
      if (at >= before.length) return { operands, pending: flag, isOver: false };
    } else if (!one.startsWith('-')) {
      operands += 1;
      if (operands > word.operands.length && word.command !== undefined) return { operands, isOver: true };
    }
  }
  return { operands, isOver: false };
}

function flagOf(text: string, flags: readonly Flag[]): Flag | undefined {
  if (text.startsWith('--'))
    return flags.find(({ name }) => text === `--${name}` || text.startsWith(`--${name}=`));
  return flags.find(({ short }) => short !== undefined && text.endsWith(short));
}

async function ofValue(
  { kind, choices }: { readonly kind?: ValueKind; readonly choices?: readonly string[] },
  connect: Connect,
  isPlace = false,
): Promise<readonly Candidate[]> {
  if (choices !== undefined) return choices.map((text) => ({ text, what: '' }));
  if (kind === 'handle') return (await handles(connect)).map((text) => ({ text, what: 'container' }));
  if (kind === 'image') {
    const images = await ask(connect, (client) => client.images.list());
    return images.flatMap(({ names }) => names).map((text) => ({ text, what: 'image' }));
  }
  if (kind !== 'file') return [];
  return isPlace
    ? [FILES, ...(await handles(connect)).map((text) => ({ text: `${text}:/`, what: 'container' }))]
    : [FILES];
}

function handles(connect: Connect): Promise<readonly string[]> {
  return ask(connect, (client) => client.list());
}

/** Nothing where no daemon answers: typing goes on. */
async function ask<T>(
  connect: Connect,
  question: (client: WardenClient) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<readonly T[]>((resolve) => {
    timer = setTimeout(() => resolve([]), PATIENCE_MS);
  });
  const answer = (async () => question(await connect()))().catch((): readonly T[] => []);
  try {
    return await Promise.race([answer, patience]);
  } finally {
    clearTimeout(timer);
  }
}
