/** What to say behind the original's text of wrong words, where its text alone is not asked for. */
import { didYouMean, isWardenError, nearest, suggestionOf } from '@warden/interface';
import { CommandError } from './command-error.ts';
import { COMMANDS, type Command } from './commands.ts';
import { commandUsage } from './help.ts';
import { parseSize } from './human/units.ts';
import { firstWords, isWord } from './words/find-word.ts';

/** What other programs of this kind call it. */
const CALLED_OTHERWISE: ReadonlyMap<string, string> = new Map([
  ['commit', 'image snapshot'],
  ['images', 'image ls'],
  ['kill', 'job_signal'],
  ['load', 'image import'],
  ['pull', 'image pull'],
  ['rm', 'destroy --handle'],
  ['rmi', 'image rm'],
  ['start', 'run'],
  ['stats', 'top'],
  ['update', 'limit_memory'],
  ['version', '--version'],
]);

/** For a single command without `--` before it. */
export function withSuggestion(thrown: unknown, words: readonly string[]): unknown {
  const name = words[0]!.toLowerCase();
  const command = COMMANDS.get(name);
  if (command !== undefined) return aboutCommand(thrown, { command, words, program: 'warden ' });
  if (!(thrown instanceof CommandError)) return thrown;
  const meant = CALLED_OTHERWISE.get(name) ?? nearest(name, firstWords());
  return withMore(thrown, meant === undefined ? '\nSee: warden --help' : suggestionOf(meant));
}

/** What people type on a terminal to leave the prompt, besides Ctrl-D. */
export const LEAVING: ReadonlySet<string> = new Set(['exit', 'logout', 'quit']);

/** For a line that was typed at the prompt, which knows the original's commands alone. */
export function withPromptSuggestion(thrown: unknown, words: readonly string[]): unknown {
  const name = words[0]!.toLowerCase();
  const command = COMMANDS.get(name);
  if (!(thrown instanceof CommandError))
    return command === undefined ? thrown : aboutCommand(thrown, { command, words, program: '' });
  if (LEAVING.has(name)) return withMore(thrown, '; by itself it leaves the prompt');
  if (name === 'warden') return withMore(thrown, '; commands stand here by themselves: help lists them');
  if (isWord(words)) {
    const word = command === undefined ? name : `${name} as a word for people`;
    return withMore(thrown, `; ${word} is typed in a shell: warden ${name} --help`);
  }
  if (command !== undefined) return aboutCommand(thrown, { command, words, program: '' });
  return withMore(thrown, didYouMean(name, [...COMMANDS.keys(), 'help']) || '\nSee: help');
}

interface Typed {
  readonly command: Command;
  readonly words: readonly string[];
  /** What stands before the name of a command there. */
  readonly program: string;
}

function aboutCommand(thrown: unknown, typed: Typed): unknown {
  const { command, program } = typed;
  const usage = `\nUsage: ${program}${commandUsage(command)}\nSee: ${program}${command.name} --help`;
  if (thrown instanceof CommandError) {
    const flag = withoutValue(thrown.message, typed);
    return withMore(
      thrown,
      flag === undefined ? aboutFlags(thrown, typed, usage) : `; ${flag} needs a value${usage}`,
    );
  }
  if (!isWardenError(thrown, 'INVALID_SPEC')) return thrown;
  const { flag, advice } = thrown.fields;
  if (flag !== undefined && advice !== undefined)
    return new CommandError(`${thrown.message}\n${advice}`, thrown.fields);
  return flag === undefined ? thrown : new CommandError(`${command.name}: ${flag} is missing${usage}`);
}

/** The flag that was refused for nothing else than that. */
function withoutValue(message: string, { command: { request }, words }: Typed): string | undefined {
  const flag = /^Invalid flag: '(--[^']*)'\.$/.exec(message)?.[1];
  const isFlag = request.fields.some(({ name, type }) => `--${name}` === flag && type !== 'message');
  const next = flag === undefined ? undefined : words[words.indexOf(flag) + 1];
  return isFlag && (next === undefined || next.startsWith('--')) ? flag : undefined;
}

/** The text is the contract's; what is wrong is read from it. */
function aboutFlags(
  { message, fields }: CommandError,
  { command: { request }, words }: Typed,
  usage: string,
): string {
  const names = request.fields.map((field) => `--${field.name}`);
  const unindexed = /, the field: '([^']*)' is not indexed\.$/.exec(message)?.[1];
  if (unindexed !== undefined) return `; write --${unindexed}[0]${usage}`;
  const flag = /^In flag: '(--[^']*)', /.exec(message)?.[1];
  if (flag !== undefined) return didYouMean(flag.replaceAll(/(?<=\w)-/g, '_'), names);
  const operand = /^Invalid flag: '([^-].*)'\.$/s.exec(message)?.[1];
  if (operand !== undefined && !(operand === words[1] && names.includes('--handle'))) return usage;
  // a handle stands where other programs have it: behind the command
  if (operand !== undefined) return suggestionOf(`--handle ${operand}`);
  const number = /^invalid value for Integer\(\): "([^"\\]+)"$/.exec(message)?.[1];
  const size = number === undefined ? '' : inBytes(number);
  return fields.advice === undefined ? size : `${size}\n${fields.advice}`;
}

function inBytes(text: string): string {
  try {
    return suggestionOf(String(parseSize(text, text)));
  } catch (error) {
    if (error instanceof CommandError) return '';
    throw error;
  }
}

function withMore(error: CommandError, more: string): CommandError {
  return more === '' ? error : new CommandError(`${error.message}${more}`, error.fields);
}
