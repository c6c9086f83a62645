/** The words before the command: `warden [options] -- [command]`. */
import { didYouMean, WardenError } from '@warden/interface';
import type { Terminal } from './terminal.ts';
import { isWord, wordNames } from './words/find-word.ts';

/** What was asked for. */
export interface CliOptions {
  readonly socket: string;
  /** Echo each command, as `sh -x`. */
  readonly trace: boolean;
  /** Leave the prompt after the first command that fails. */
  readonly exitOnError: boolean;
  readonly help: boolean;
  readonly version: boolean;
  /** Answers and errors as JSON, one object a line. */
  readonly json: boolean;
  /** Exit with the original's numbers: 0 for most failures. */
  readonly compatExit: boolean;
  /** Accept `--flag=value`, `--flag=false`, `--no-flag`, `-` for `_`, and `--script @file`. */
  readonly extended: boolean;
  /** Longest wait for a command's answers, in milliseconds. */
  readonly timeoutMs?: number;
  /** The command, already split into words; empty: prompt. */
  readonly command: readonly string[];
  /** A word for people with what follows it, `--` included, instead of a command. */
  readonly word?: readonly string[] | undefined;
  /** No `--` stood before the command: then texts of errors may be longer than the original's. */
  readonly isLoose?: boolean | undefined;
}

/** Where the daemon listens unless configured otherwise. */
const DEFAULT_SOCKET = '/tmp/warden.sock';

/**
 * The options in the order of the help; only the original's may be abbreviated, so that a later one never
 * makes an old script ambiguous.
 */
export const OPTIONS: readonly {
  readonly name: string;
  readonly argument?: string;
  readonly text: string;
  readonly isOriginal: boolean;
}[] = [
  {
    name: 'socket',
    argument: 'PATH',
    text: `Control socket of the daemon (default WARDEN_SOCKET, else ${DEFAULT_SOCKET}).`,
    isOriginal: true,
  },
  { name: 'trace', text: 'Write each command with a leading + before it is executed.', isOriginal: true },
  { name: 'exit_on_error', text: 'Leave the prompt after the first unsuccessful command.', isOriginal: true },
  { name: 'help', text: 'Show help.', isOriginal: true },
  { name: 'version', text: 'Show the version of this program.', isOriginal: false },
  { name: 'json', text: 'Write answers and errors as JSON, one object a line.', isOriginal: false },
  {
    name: 'compat_exit',
    text: 'Exit with the numbers of the original client (0 for most failures).',
    isOriginal: false,
  },
  {
    name: 'extended',
    text: 'Accept --flag=value, --flag=false, --no-flag, - for _ in flags, and --script @file.',
    isOriginal: false,
  },
  {
    name: 'timeout',
    argument: 'SECONDS',
    text: 'Give up a command whose answers take longer; a job that was started goes on.',
    isOriginal: false,
  },
];

/**
 * Parses the words after the program's name. The command is behind `--`; without one it begins at the first
 * word that is neither an option nor its argument. Each option may be written with `-` or `_`.
 *
 * Errors: `INVALID_SPEC` with the text of the contract.
 */
export function parseOptions(words: readonly string[], env: Terminal['env'] = {}): CliOptions {
  const { head, command, word, isLoose } = divide(words);
  if (command.includes('--')) throw wrong("Delimiter: '--' specified multiple times.");
  const given = new Map<string, string>();
  for (let at = 0; at < head.length; at += 1) {
    const word = head[at]!;
    const option = lookUp(word);
    const [, inline] = splitOnce(word);
    if (option.argument === undefined) {
      if (inline !== undefined) throw wrong(`needless argument: ${word}`);
      given.set(option.name, '');
    } else {
      at += inline === undefined ? 1 : 0;
      const value = inline ?? head[at];
      if (value === undefined) throw wrong(`missing argument: ${word}`);
      given.set(option.name, value);
    }
  }
  return {
    socket: given.get('socket') ?? (env.WARDEN_SOCKET || DEFAULT_SOCKET),
    trace: given.has('trace'),
    exitOnError: given.has('exit_on_error'),
    help: given.has('help'),
    version: given.has('version'),
    json: given.has('json'),
    compatExit: given.has('compat_exit'),
    extended: given.has('extended'),
    ...(given.has('timeout') && { timeoutMs: parseTimeout(given.get('timeout')!) }),
    command,
    ...(word !== undefined && { word }),
    ...(isLoose && { isLoose }),
  };
}

/** Node's timers hold 31 bits of milliseconds. */
const LONGEST_TIMEOUT_S = 2_147_483;

function parseTimeout(text: string): number {
  const seconds = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds > 0 && seconds <= LONGEST_TIMEOUT_S))
    throw wrong(`invalid argument: --timeout ${text} (seconds, more than 0, at most ${LONGEST_TIMEOUT_S})`);
  return Math.ceil(seconds * 1000);
}

/** Options and command, or a word for people: the first that is no option, with no `--` before it. */
function divide(words: readonly string[]): {
  readonly head: readonly string[];
  readonly command: readonly string[];
  readonly word?: readonly string[];
  readonly isLoose?: boolean;
} {
  const end = words.indexOf('--');
  const options = firstWord(end < 0 ? words : words.slice(0, end), end >= 0);
  if (isWord(words.slice(options)))
    return { head: words.slice(0, options), command: [], word: words.slice(options) };
  if (end >= 0) return { head: words.slice(0, end), command: words.slice(end + 1) };
  // The original ignored a command without delimiter and opened the prompt; whoever types it means it.
  return { head: words.slice(0, options), command: words.slice(options), isLoose: options < words.length };
}

/** Place of the first word that is neither an option nor its argument. */
function firstWord(words: readonly string[], isDelimited: boolean): number {
  let at = 0;
  while (at < words.length && words[at]!.startsWith('-')) {
    // in a delimited head wrong options are found where they are read, in their order
    if (isDelimited && findOption(words[at]!) === undefined) return words.length;
    at += takesNext(words[at]!) ? 2 : 1;
  }
  return at;
}

/** Whether the word behind an option is its argument. */
function takesNext(word: string): boolean {
  const [, inline] = splitOnce(word);
  return lookUp(word, true).argument !== undefined && inline === undefined;
}

/** With one of its flags it is no word for people, and there is no word that is nearer. */
const ABOUT_RUN =
  "\nwith --handle or --script it is the original's, and takes no program: " +
  'warden exec HANDLE -- COMMAND runs a program in a container that is there, ' +
  'warden run --name HANDLE -- COMMAND in a new one';

/** `isLoose`: no `--` follows; behind one the text is the original's alone. */
function lookUp(word: string, isLoose = false): (typeof OPTIONS)[number] {
  if (!word.startsWith('-'))
    throw wrong(
      `unexpected word before --: ${word} (options stand before it, the command behind it)${word === 'run' ? ABOUT_RUN : didYouMean(word, wordNames())}`,
    );
  const found = findOption(word);
  if (found === undefined) {
    const [typed] = splitOnce(word);
    const names = OPTIONS.map(({ name }) => `--${name}`);
    throw wrong(
      `invalid option: ${word}${isLoose ? didYouMean(typed, names) || '\nSee: warden --help' : ''}`,
    );
  }
  return found;
}

function findOption(word: string): (typeof OPTIONS)[number] | undefined {
  const [flag] = splitOnce(word);
  const name = flag.slice(2).replaceAll('-', '_');
  const exact = OPTIONS.find((option) => option.name === name);
  const abbreviated = OPTIONS.filter(
    (option) => option.isOriginal && name !== '' && option.name.startsWith(name),
  );
  const found = exact ?? (abbreviated.length === 1 ? abbreviated[0] : undefined);
  return word.startsWith('--') ? found : undefined;
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.indexOf('=');
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function wrong(text: string): WardenError {
  return new WardenError('INVALID_SPEC', text, { fields: { operation: 'options' } });
}
