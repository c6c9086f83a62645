/** A word for people, from what was typed to its exit status. */

import { connect, type WardenClient } from '@warden/client';
import { didYouMean } from '@warden/interface';
import { CommandError } from '../command-error.ts';
import { tooLate } from '../execute.ts';
import { formatJson } from '../format-answer.ts';
import { EXIT_OWN } from '../jobs/exit-code.ts';
import type { CliOptions } from '../options.ts';
import { reportError } from '../report-error.ts';
import { type Terminal, write } from '../terminal.ts';
import { type FoundWord, findWord, firstWords, groupOf } from './find-word.ts';
import { parseGiven } from './given.ts';
import { groupHelp, wordHelp } from './help-text.ts';
import type { AnswerFormat, WordContext } from './word.ts';

/** Makes a session; tests give their own. */
export type Connect = (options: CliOptions) => Promise<WardenClient>;

const connectToSocket: Connect = ({ socket }) => connect({ path: socket });

/** Performs the words; gives the exit status of the program. Whatever fails here, and not in a job, is 125. */
export async function runWord(
  words: readonly string[],
  options: CliOptions,
  terminal: Terminal,
  connectTo: Connect = connectToSocket,
): Promise<number> {
  // before the flags are understood, errors are written as they would be afterwards
  let isJson = options.json || /^--jsonl?$/m.test(words.slice(0, endOfOwn(words)).join('\n'));
  let client: Promise<WardenClient> | undefined;
  try {
    const help = helpFor(words);
    if (help !== undefined) {
      await write(terminal.stdout, help);
      return 0;
    }
    const { word, rest } = find(words);
    const given = parseGiven(word, rest);
    if (given.has('help')) {
      await write(terminal.stdout, wordHelp(word));
      return 0;
    }
    const format: AnswerFormat = given.has('jsonl')
      ? 'jsonl'
      : given.has('json') || options.json
        ? 'json'
        : 'text';
    // what stands behind a command is the command's
    if (word.isForeign !== true) isJson = format !== 'text';
    const context: WordContext = {
      terminal,
      options,
      format,
      connect: () => {
        client ??= connectTo(options);
        return client;
      },
    };
    if (options.trace)
      await write(terminal.stdout, isJson ? formatJson({ trace: words }) : `+ ${words.join(' ')}\n`);
    return await withinTime(word.run(given, context), options.timeoutMs, terminal);
  } catch (error) {
    await reportError(error, { ...options, json: isJson }, terminal);
    return EXIT_OWN;
  } finally {
    await client?.then(
      (open) => open.close(),
      () => undefined,
    );
  }
}

/** What had been started goes on; its connection is closed. Error: `TIMEOUT`. */
async function withinTime<T>(
  task: Promise<T>,
  timeoutMs: number | undefined,
  { stdin }: Terminal,
): Promise<T> {
  if (timeoutMs === undefined) return task;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      stdin.destroy(); // somebody who is still asked for something would keep this program
      reject(tooLate(timeoutMs, undefined));
    }, timeoutMs);
  });
  // whichever loses is of no interest any more
  task.catch(() => undefined);
  try {
    return await Promise.race([task, late]);
  } finally {
    clearTimeout(timer);
  }
}

function endOfOwn(words: readonly string[]): number {
  const end = words.indexOf('--');
  return end < 0 ? words.length : end;
}

/** `help WORD`, and words that only begin one. */
function helpFor(words: readonly string[]): string | undefined {
  const wanted = words[0] === 'help' ? words.slice(1) : words;
  const found = findWord(wanted);
  if (words[0] === 'help' && found !== undefined) return wordHelp(found.word);
  const isGroup = groupOf(wanted[0]).length > 0 && found === undefined;
  const isAsked = words[0] === 'help' || wanted[1] === '--help' || wanted[1] === '-h';
  return isGroup && isAsked ? groupHelp(wanted[0]!) : undefined;
}

/** Error: `CommandError` that names what was probably meant. */
function find(words: readonly string[]): FoundWord {
  const isHelp = words[0] === 'help';
  const found = isHelp ? undefined : findWord(words);
  if (found !== undefined) return found;
  const [first = '', second] = isHelp ? words.slice(1) : words;
  const actions = groupOf(first).map(({ name }) => name.slice(first.length + 1));
  if (actions.length === 0)
    throw new CommandError(`help: there is no word '${first}'${didYouMean(first, firstWords())}`);
  if (second === undefined || second.startsWith('-'))
    throw new CommandError(`${first}: an action is missing: ${actions.join(', ')}`);
  throw new CommandError(
    `${first}: unknown action '${second}'${didYouMean(second, actions)}\nActions: ${actions.join(', ')}`,
  );
}
