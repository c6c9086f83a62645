/** How a word is used, in one line, and what is said to whoever left something out. */
import { CommandError } from '../command-error.ts';
import type { Operand, Word } from './word.ts';

/** A word's line of use. */
export function usageOf(word: Word): string {
  const operands = word.operands.map(operandText);
  const command =
    word.command === undefined
      ? []
      : [word.command === 'required' ? '-- COMMAND' : '[-- COMMAND', 'ARGUMENT...'];
  const text = ['warden', word.name, '[FLAGS]', ...operands, ...command].join(' ');
  return word.command === 'optional' ? `${text}]` : text;
}

function operandText({ name, isOptional, isRest, choices }: Operand): string {
  const text = `${choices?.join('|') ?? name}${isRest ? '...' : ''}`;
  return isOptional ? `[${text}]` : text;
}

/** For a word without something that it needs. */
export function missing(word: Word, what: string): CommandError {
  const { name } = word;
  return new CommandError(`${name}: ${what} is missing\nUsage: ${usageOf(word)}\nSee: warden ${name} --help`);
}
