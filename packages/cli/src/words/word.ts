/** The form of a word: what help, completion and manual pages are made of, and what it does. */
import type { WardenClient } from '@warden/client';
import type { CliOptions } from '../options.ts';
import type { Terminal } from '../terminal.ts';
import type { Given } from './given.ts';

/** What a value is, for completion. */
export type ValueKind = 'handle' | 'image' | 'file' | 'plain';

/** What stands behind a word, by its place. */
export interface Operand {
  /** As help shows it: `HANDLE`. */
  readonly name: string;
  readonly kind: ValueKind;
  readonly isOptional?: boolean;
  /** As many as there are. */
  readonly isRest?: boolean;
  /** Fixed values it may have. */
  readonly choices?: readonly string[];
}

/** `--name`, or `--name VALUE`. */
export interface Flag {
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** As help shows the value; absent: a switch. */
  readonly value?: string;
  readonly text: string;
  /** May be given several times. */
  readonly isMany?: boolean;
  readonly choices?: readonly string[];
  readonly kind?: ValueKind;
}

/** How answers are written. `json`: one document; `jsonl`: one object a line. */
export type AnswerFormat = 'text' | 'json' | 'jsonl';

/** What a word works with. */
export interface WordContext {
  readonly terminal: Terminal;
  readonly options: CliOptions;
  readonly format: AnswerFormat;
  /** One session for the whole word, made at its first use and closed at its end. */
  connect(): Promise<WardenClient>;
}

/** A command for people: `warden NAME ...`, without `--` before it. */
export interface Word {
  /** One word, or two: `image pull`. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** Paragraphs of the help. */
  readonly details?: readonly string[];
  readonly operands: readonly Operand[];
  /** Whether a program and its arguments follow, behind `--` or not. */
  readonly command?: 'required' | 'optional';
  readonly flags: readonly Flag[];
  /** Lines of shell, and what they do. */
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** Words are passed on to another program as they are; `flags` are then only shown. */
  readonly isForeign?: boolean;
  /** Gives the exit status. Errors are written by the caller, and end with 125. */
  run(given: Given, context: WordContext): Promise<number>;
}

/** What every word understands. */
export const COMMON_FLAGS: readonly Flag[] = [
  { name: 'json', text: 'Write one JSON document instead of text.' },
  { name: 'jsonl', text: 'Write JSON, one object a line.' },
  { name: 'help', short: 'h', text: 'Show this help.' },
];

/** The flags of a word with those of every word. */
export function flagsOf(word: Word): readonly Flag[] {
  return word.isForeign
    ? [...word.flags, COMMON_FLAGS.find(({ name }) => name === 'help')!]
    : [...word.flags, ...COMMON_FLAGS];
}
