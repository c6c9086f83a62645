/** Lines of the prompt's input. */
import readline from 'node:readline';
import type { Writable } from 'node:stream';
import { decodeBytes, WardenError } from '@warden/interface';
import { endLine, type Terminal } from './terminal.ts';

/** A source of lines. */
export interface LineSource {
  /** The next line without its end; `undefined` at the end of input. */
  next(): Promise<string | undefined>;
  close(): void;
  /** Leaves the input to another program until the answer is called. Error: the input is a script. */
  lend(): () => void;
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
    lend() {
      throw new WardenError(
        'UNSUPPORTED',
        'the input of a script cannot be lent to a shell: use the prompt on a terminal, or warden -- shell',
      );
    },
  };
}

async function* splitChunks(
  input: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<string, undefined, undefined> {
  // The beginning of a line, in pieces: joining them with each chunk would copy a long line over and over.
  let pieces: Buffer[] = [];
  for await (const chunk of input) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk);
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      yield decodeBytes(Buffer.concat([...pieces, bytes.subarray(start, end)]));
      pieces = [];
      start = end + 1;
    }
    if (start < bytes.length) pieces.push(bytes.subarray(start));
  }
  if (pieces.length > 0) yield decodeBytes(Buffer.concat(pieces));
  return undefined;
}

/**
 * Where a line editor can draw: on the terminal that stdout is, else on stderr's, so that `warden > file` keeps
 * its prompt and the file holds answers alone. `undefined`: nobody is typing.
 */
export function editorOutput({ stdin, stdout, stderr }: Terminal): Writable | undefined {
  if (!stdin.isTTY) return undefined;
  if (stdout.isTTY) return stdout;
  return stderr.isTTY ? stderr : undefined;
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
    output: editorOutput(terminal)!,
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
  /** Closed by this side, not by the end of input. */
  let isLeft = false;
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
      // The terminal's cursor stands behind the prompt that Ctrl-D answered.
      if (lines.length === 0 && !isLeft) editorOutput(terminal)?.write('\n');
      return lines.shift();
    },
    close() {
      isLeft = true;
      editor.close();
    },
    lend() {
      editor.pause();
      setRaw(terminal, false);
      return () => {
        setRaw(terminal, true);
        editor.resume();
      };
    },
  };
}

function setRaw({ stdin }: Terminal, isRaw: boolean): void {
  (stdin as { setRawMode?: (isRaw: boolean) => void }).setRawMode?.(isRaw);
}
