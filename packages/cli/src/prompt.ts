/** The prompt, and the same loop over a file or pipe. */
import { connect, type WardenClient } from '@warden/client';
import { CommandError } from './command-error.ts';
import { complete } from './complete.ts';
import { type ExecuteContext, execute, isRepeatable, type Outcome } from './execute.ts';
import { History } from './history.ts';
import type { CliOptions } from './options.ts';
import { editedLines, editorOutput, type LineSource, pipedLines } from './read-lines.ts';
import { isLostConnection, reportError } from './report-error.ts';
import { splitLine } from './split-line.ts';
import { LEAVING, withPromptSuggestion } from './suggestion.ts';
import { type Terminal, write } from './terminal.ts';
import { unlessAborted } from './unless-aborted.ts';

/** Reads and executes commands until the input ends; gives the exit status of the program. */
export async function runPrompt(options: CliOptions, terminal: Terminal): Promise<number> {
  const prompt = new Prompt(options, terminal, await connect({ path: options.socket }));
  return prompt.loop();
}

/** One run of the prompt: the session survives a daemon that is restarted. */
class Prompt {
  readonly #options: CliOptions;
  readonly #terminal: Terminal;
  readonly #history: History;
  readonly #context: ExecuteContext;
  #client: WardenClient;
  #lines: LineSource | undefined;
  #hasFailed = false;
  readonly #interruption = new AbortController();

  constructor(options: CliOptions, terminal: Terminal, client: WardenClient) {
    this.#options = options;
    this.#terminal = terminal;
    this.#client = client;
    // what a program feeds is nobody's to look up again, and the user's own lines would go for it
    this.#history = new History(editorOutput(terminal) === undefined ? undefined : terminal.env.HOME);
    this.#context = {
      options,
      terminal,
      client: async () => this.#client,
      lendTerminal: () => this.#lines!.lend(),
    };
  }

  async loop(): Promise<number> {
    const { signal } = this.#interruption;
    const interrupt = (): void => this.#interruption.abort();
    process.once('SIGINT', interrupt);
    const lines = this.#open(interrupt);
    this.#lines = lines;
    try {
      for (;;) {
        const line = await unlessAborted(lines.next(), signal);
        if (line === undefined) return this.#statusAtEnd;
        const status = await unlessAborted(this.#handleLine(strip(line)), signal);
        if (this.#isInterrupted) return 0;
        if (status !== undefined) return status;
      }
    } finally {
      process.removeListener('SIGINT', interrupt);
      lines.close();
      await this.#client.close();
      if (this.#isInterrupted) await write(this.#terminal.stderr, '\n\nExiting...\n');
    }
  }

  #open(onInterrupt: () => void): LineSource {
    if (!editorOutput(this.#terminal)) return pipedLines(this.#terminal);
    return editedLines(this.#terminal, {
      prompt: 'warden> ',
      history: this.#history.lines,
      complete: (line) => complete(line, () => this.#client.list()),
      onInterrupt,
    });
  }

  /** Who types has seen what failed; who runs a script has the status alone to go by. */
  get #statusAtEnd(): number {
    return this.#hasFailed && this.#isScript && !this.#options.compatExit ? 1 : 0;
  }

  get #isScript(): boolean {
    return editorOutput(this.#terminal) === undefined;
  }

  get #isInterrupted(): boolean {
    return this.#interruption.signal.aborted;
  }

  /** Executes a line. A number ends the program with it. */
  async #handleLine(line: string): Promise<number | undefined> {
    this.#history.add(line);
    if (line === '') return undefined;
    // for a script they are commands that there are not, as ever
    if (LEAVING.has(line.toLowerCase()) && editorOutput(this.#terminal) !== undefined) return 0;
    let words: readonly string[] = [];
    try {
      words = splitLine(line);
      const outcome = await this.#execute(words);
      this.#history.save();
      const counts = outcome !== undefined && (outcome.isRun || !this.#options.compatExit);
      return this.#options.exitOnError && counts && outcome.exitStatus !== 0 ? outcome.exitStatus : undefined;
    } catch (error) {
      // Ctrl-C closes the session under the command; that is no failure to report.
      if (this.#isInterrupted) return undefined;
      this.#hasFailed = true;
      // a script reads the original's text alone
      const isTyped = !this.#isScript && words.length > 0;
      const shown = isTyped ? withPromptSuggestion(error, words) : error;
      await reportError(shown, this.#options, this.#terminal);
      if (!this.#options.exitOnError) return undefined;
      return this.#options.compatExit ? 0 : 1;
    }
  }

  /**
   * Executes a command; connects again when the daemon went away. Only what changes nothing is repeated, and
   * only when the connection was broken before the request was written: an answer that was lost may have been a
   * long time in the making.
   */
  async #execute(words: readonly string[]): Promise<Outcome | undefined> {
    if (words.length === 0) return undefined;
    if (!this.#client.isConnected) await this.#reconnect();
    try {
      return await execute(words, this.#context);
    } catch (error) {
      if (
        error instanceof CommandError ||
        !isLostConnection(error) ||
        this.#client.isConnected ||
        this.#isInterrupted
      )
        throw error;
      await this.#reconnect();
      if (!isRepeatable(words) || !isUnwritten(error)) throw error;
      return execute(words, this.#context);
    }
  }

  async #reconnect(): Promise<void> {
    await write(this.#terminal.stdout, 'Reconnecting...');
    await this.#client.close();
    try {
      this.#client = await connect({ path: this.#options.socket });
    } finally {
      await write(this.#terminal.stdout, '\n');
    }
  }
}

/** Without the blanks around it; blanks of other alphabets belong to the line. */
function strip(line: string): string {
  return line.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, '');
}

/** Whether the request did not reach the daemon: the write failed, nothing was lost on the way back. */
function isUnwritten(error: unknown): boolean {
  return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'EPIPE';
}
