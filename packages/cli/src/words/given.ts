/** What was typed behind a word: operands, flags, and a command with its arguments. */
import { didYouMean } from '@warden/interface';
import { CommandError } from '../command-error.ts';
import { missing } from './usage.ts';
import { type Flag, flagsOf, type Word } from './word.ts';

/** See the file's head. */
export class Given {
  readonly operands: readonly string[];
  /** The program and its arguments; empty: none. */
  readonly command: readonly string[];
  /** As they were typed. */
  readonly words: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(
    words: readonly string[],
    parts: Pick<Given, 'operands' | 'command'>,
    values: ReadonlyMap<string, readonly string[]>,
  ) {
    this.words = words;
    this.operands = parts.operands;
    this.command = parts.command;
    this.#values = values;
  }

  /** Whether a flag was given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Of a flag that was given several times the last one counts. */
  value(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  values(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

/**
 * Reads the words behind a word. Flags may stand before, between and behind operands, until `--`; where a
 * command is taken, until its first word.
 *
 * Errors: `CommandError` that names the word, and what was probably meant.
 */
export function parseGiven(word: Word, words: readonly string[]): Given {
  const reader = new Reader(word);
  if (word.isForeign) return new Given(words, { operands: words, command: [] }, new Map());
  let at = 0;
  for (; at < words.length && !reader.isInCommand; at += 1) {
    const one = words[at]!;
    if (one === '--') {
      reader.rest(words.slice(at + 1));
      at = words.length;
    } else if (one.startsWith('--')) {
      at += reader.long(one, words[at + 1]);
    } else if (one.length > 1 && one.startsWith('-')) {
      at += reader.short(one, words[at + 1]);
    } else {
      reader.operand(one);
    }
  }
  reader.rest(words.slice(at));
  return reader.end(words);
}

/** What is said of a handle without a character, which mostly is a variable that was never set. */
export function emptyHandle(what: string): string {
  return `${what} is empty; name a container (is a variable of your shell unset?)`;
}

class Reader {
  readonly #word: Word;
  readonly #flags: readonly Flag[];
  readonly #values = new Map<string, string[]>();
  readonly #operands: string[] = [];
  readonly #command: string[] = [];

  constructor(word: Word) {
    this.#word = word;
    this.#flags = flagsOf(word);
  }

  get isInCommand(): boolean {
    return this.#command.length > 0;
  }

  /** `--name`, `--name=value`, `--name value`; gives how many words behind it were taken. */
  long(text: string, next: string | undefined): number {
    const equals = text.indexOf('=');
    const typed = equals < 0 ? text : text.slice(0, equals);
    const name = typed.slice(2).replaceAll('_', '-');
    const flag = this.#flags.find((one) => one.name === name);
    if (flag === undefined) throw this.#unknown(typed);
    if (equals < 0) return this.#take(flag, typed, next);
    if (flag.value === undefined) throw this.#wrong(`${typed} takes no value`);
    this.#set(flag, text.slice(equals + 1));
    return 0;
  }

  /** `-x`, `-xy`, `-x value`, `-xvalue`. */
  short(text: string, next: string | undefined): number {
    for (let at = 1; at < text.length; at += 1) {
      const typed = `-${text[at]}`;
      const flag = this.#flags.find(({ short }) => short === text[at]);
      if (flag === undefined) throw this.#unknown(typed);
      const inline = text.slice(at + 1);
      if (flag.value === undefined) {
        this.#set(flag, '');
      } else if (inline !== '') {
        this.#set(flag, inline.replace(/^=/, ''));
        return 0;
      } else {
        return this.#take(flag, typed, next);
      }
    }
    return 0;
  }

  operand(text: string): void {
    const { operands, command } = this.#word;
    const isRoom = this.#operands.length < operands.length || operands.at(-1)?.isRest === true;
    if (isRoom) this.#operands.push(text);
    else if (command !== undefined) this.#command.push(text);
    else throw this.#wrong(`unexpected word '${text}'`);
  }

  /** What stands behind `--`, or behind the first word of a command. */
  rest(words: readonly string[]): void {
    if (this.#word.command === undefined) for (const one of words) this.operand(one);
    else this.#command.push(...words);
  }

  end(words: readonly string[]): Given {
    const given = new Given(words, { operands: this.#operands, command: this.#command }, this.#values);
    if (given.has('help')) return given;
    const operand = this.#word.operands[this.#operands.length];
    if (operand !== undefined && !operand.isOptional && !(operand.isRest && this.#operands.length > 0))
      throw missing(this.#word, operand.name);
    for (const [at, { name, kind, choices, isRest }] of this.#word.operands.entries()) {
      const value = this.#operands[at];
      // the original's create makes such a container, and a list of handles may name it
      if (value === '' && kind === 'handle' && !isRest) throw this.#wrong(emptyHandle(name));
      if (value !== undefined && choices !== undefined) this.#check(name, value, choices);
    }
    if (this.#word.command === 'required' && this.#command.length === 0)
      throw missing(this.#word, 'a command');
    return given;
  }

  #take(flag: Flag, typed: string, next: string | undefined): number {
    if (flag.value === undefined) {
      this.#set(flag, '');
      return 0;
    }
    if (next === undefined || next === '--') throw this.#wrong(`${typed} needs a value, ${flag.value}`);
    this.#set(flag, next);
    return 1;
  }

  #set(flag: Flag, value: string): void {
    if (flag.choices !== undefined)
      for (const one of flag.isMany ? value.split(',') : [value])
        this.#check(`--${flag.name}`, one, flag.choices);
    this.#values.set(flag.name, [...(this.#values.get(flag.name) ?? []), value]);
  }

  #check(what: string, value: string, choices: readonly string[]): void {
    if (choices.includes(value)) return;
    throw this.#wrong(`${what} is one of ${choices.join(', ')}, not '${value}'${didYouMean(value, choices)}`);
  }

  #unknown(typed: string): CommandError {
    const names = this.#flags.flatMap(({ name, short }) => [
      `--${name}`,
      ...(short === undefined ? [] : [`-${short}`]),
    ]);
    return this.#wrong(`unknown flag ${typed}${didYouMean(typed, names)}`);
  }

  #wrong(text: string): CommandError {
    return new CommandError(`${this.#word.name}: ${text}\nSee: warden ${this.#word.name} --help`);
  }
}
