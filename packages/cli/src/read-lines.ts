/** Lines of the prompt's input. */
import readline from 'node:readline';
import { decodeBytes } from '@warden/interface';
import { endLine, type Terminal } from './terminal.ts';

/** A source of lines. */
export interface LineSource {
  /** The next line without its end; `undefined` at the end of input. */
  next(): Promise<string | undefined>;
  close(): void;
}

/**
 * Lines of a file or pipe: no prompt, and bytes that are not UTF-8 survive (a line editor would replace
 * them).
 */
export function pipedLines(terminal: Terminal): LineSource {
  const lines = splitChunks(terminal.stdin);
  return {
    async next() {
      const step = await lines.next();
      return step.done ? undefined : step.value;
    },
    close() {
      terminal.stdin.destroy();
    },
  };
}

async function* splitChunks(
  input: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<string, undefined, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of input) {
    rest = Buffer.concat([rest, typeof chunk === 'string' ? Buffer.from(chunk) : chunk]);
    let start = 0;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a, start)) {
      yield decodeBytes(rest.subarray(start, end));
      start = end + 1;
    }
    rest = rest.subarray(start);
  }
  if (rest.length > 0) yield decodeBytes(rest);
  return undefined;
}

/** How the line editor is set up. */
export interface EditorOptions {
  readonly prompt: string;
  /** Oldest first. */
  readonly history: readonly string[];
  readonly complete: (line: string) => Promise<[string[], string]>;
  readonly onInterrupt: () => void;
}

/** Lines of a terminal, with history and completion. */
export function editedLines(terminal: Terminal, options: EditorOptions): LineSource {
  const editor = readline.createInterface({
    input: terminal.stdin,
    output: terminal.stdout,
    terminal: true,
    prompt: options.prompt,
    history: options.history.toReversed(),
    historySize: 1000,
    completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
      options.complete(line).then(
        (result) => done(null, result),
        // Without a daemon there is nothing to offer; typing goes on.
        () => done(null, [[], line]),
      );
    },
  });
  editor.on('SIGINT', options.onInterrupt);
  const lines: string[] = [];
  let isClosed = false;
  let wake: () => void = () => undefined;
  editor.on('line', (line) => {
    lines.push(line);
    wake();
  });
  editor.on('close', () => {
    isClosed = true;
    wake();
  });
  return {
    async next() {
      if (lines.length === 0) await endLine(terminal);
      if (lines.length === 0 && !isClosed) {
        editor.prompt();
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return lines.shift();
    },
    close() {
      editor.close();
    },
  };
}
