/** What jobs of the fake run: functions of the test, and a few programs that every root file system has. */
import type { TerminalSize } from '@warden/interface';
import { LONGEST_MS } from '../check.ts';
import type { FakeFiles } from './fake-files.ts';

/** What a program of the fake can do. */
export interface FakeJobContext {
  /** The program's name and its arguments; `['/bin/bash']` for a script. */
  readonly argv: readonly string[];
  /** With HOME, USER and PATH. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly privileged: boolean;
  /** Its terminal, where it has one; `size` is the latest. */
  readonly terminal: TerminalSize | undefined;
  /** Files of its container. */
  readonly files: FakeFiles;
  /** Standard input until its end: the whole script or input at once, or what is written while it runs. */
  readonly stdin: AsyncIterable<Uint8Array>;
  write(stream: 'stdout' | 'stderr', data: string | Uint8Array): void;
  /** Aborted when the job is killed: its end is decided then, whatever the program does. */
  readonly killed: AbortSignal;
}

/** Runs a job; answers its exit status. One that throws ends with 255 and its message on stderr. */
export type FakeProgram = (job: FakeJobContext) => number | Promise<number>;

const decoder = new TextDecoder();

/** Resolves with everything; what one program of the shell reads is what the script has left. */
async function readAll(source: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const piece of source) text += decoder.decode(piece, { stream: true });
  return text + decoder.decode();
}

/** By their names. */
export const FAKE_PROGRAMS: Readonly<Record<string, FakeProgram>> = {
  true: () => 0,
  false: () => 1,
  echo: ({ argv, write }) => {
    write('stdout', `${argv.slice(1).join(' ')}\n`);
    return 0;
  },
  cat: async ({ stdin, write }) => {
    for await (const piece of stdin) write('stdout', piece);
    return 0;
  },
  env: ({ environment, write }) => {
    for (const [name, value] of Object.entries(environment)) write('stdout', `${name}=${value}\n`);
    return 0;
  },
  pwd: ({ workingDirectory, write }) => {
    write('stdout', `${workingDirectory}\n`);
    return 0;
  },
  sleep: ({ argv, killed }) =>
    new Promise((resolve) => {
      const timer = setTimeout(() => resolve(0), Math.min(Number(argv[1]) * 1000, LONGEST_MS));
      killed.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve(255);
      });
    }),
};

/**
 * A shell that knows single commands between `;`, `&&` and new lines, quotes, and `exit`. What a test needs
 * beyond that, it gives as `shell`.
 */
export function fakeShell(find: (name: string) => FakeProgram | undefined): FakeProgram {
  return async (job) => {
    let status = 0;
    for (const { words, isAnd } of parse(await readAll(job.stdin))) {
      if (job.killed.aborted) return 255;
      if (isAnd && status !== 0) continue;
      const [name = '', ...rest] = words;
      if (name === 'exit') return rest[0] === undefined ? status : Number(rest[0]) & 0xff;
      const program = find(name);
      if (program === undefined) {
        job.write('stderr', `bash: ${name}: command not found\n`);
        status = 127;
      } else {
        status = await program({ ...job, argv: words, stdin: (async function* () {})() });
      }
    }
    return status;
  };
}

interface Command {
  readonly words: string[];
  /** Only if the one before has succeeded. */
  readonly isAnd: boolean;
}

function parse(script: string): Command[] {
  const commands: Command[] = [];
  let words: string[] = [];
  let word: string | undefined;
  let isAnd = false;
  const endWord = (): void => {
    if (word !== undefined) words.push(word);
    word = undefined;
  };
  const endCommand = (and: boolean): void => {
    endWord();
    if (words.length > 0) commands.push({ words, isAnd });
    words = [];
    isAnd = and;
  };
  for (const [token] of script.matchAll(/'[^']*'|"(?:[^"\\]|\\.)*"|\\.|&&|[;\n]|[ \t]+|#[^\n]*|./gs)) {
    if (token === ';' || token === '\n' || token === '&&') endCommand(token === '&&');
    else if (/^[ \t]+$/.test(token) || (token.startsWith('#') && word === undefined)) endWord();
    else if (token.startsWith("'")) word = (word ?? '') + token.slice(1, -1);
    else if (token.startsWith('"') && token.length > 1)
      word = (word ?? '') + token.slice(1, -1).replaceAll(/\\(["\\$`])/g, '$1');
    else word = (word ?? '') + (token.startsWith('\\') ? token.slice(1) : token);
  }
  endCommand(false);
  return commands;
}
