/** One command, from its words to its output and exit status. */
import type { WardenClient } from '@warden/client';
import { CommandError } from './command-error.ts';
import { COMMANDS, type Command } from './commands.ts';
import { formatAnswer, formatJson } from './format-answer.ts';
import { commandHelp, promptHelp } from './help.ts';
import type { CliOptions } from './options.ts';
import { type Message, parseFlags } from './parse-flags.ts';
import { checkRequired } from './required-fields.ts';
import { type Terminal, write } from './terminal.ts';

/** What a command works with. */
export interface ExecuteContext {
  readonly options: CliOptions;
  readonly terminal: Terminal;
  /** Connects on first use: help and wrong words need no daemon. */
  readonly client: () => Promise<WardenClient>;
}

/** The job's exit status for `run` and `stream`, and which of them it was. */
export interface Outcome {
  readonly exitStatus: number;
  readonly isRun: boolean;
}

/** A job that ended without a status; the original's number for it. */
const UNKNOWN_EXIT_STATUS = 255;

/**
 * Executes a command and writes its output.
 *
 * Errors: {@link CommandError} for wrong words, before anything was sent; those of the client.
 */
export async function execute(
  words: readonly string[],
  context: ExecuteContext,
): Promise<Outcome | undefined> {
  const { options, terminal } = context;
  const prepared = prepare(words, options);
  if ('help' in prepared) {
    await write(terminal.stdout, prepared.help);
    return undefined;
  }
  // Written before the command runs, unlike the original's, so that a log shows what its output belongs to.
  if (options.trace) await write(terminal.stdout, `+ ${words.join(' ')}\n`);
  const { command, message } = prepared;
  checkRequired(command.request, message);
  const client = await context.client();
  if (command.name === 'run') return { exitStatus: await runJob(client, message, context), isRun: true };
  if (command.name === 'stream')
    return { exitStatus: await streamJob(client, message, context), isRun: false };
  const answer = (await client.request(command.type, message)) as Message;
  await write(terminal.stdout, options.json ? formatJson(answer) : formatAnswer(command.response, answer));
  return undefined;
}

/** Whether a command may be sent again when its answer was lost. */
export function isRepeatable(words: readonly string[]): boolean {
  return ['echo', 'info', 'list', 'ping'].includes(words[0]?.toLowerCase() ?? '');
}

type Prepared = { readonly help: string } | { readonly command: Command; readonly message: Message };

function prepare(words: readonly string[], options: CliOptions): Prepared {
  const [first, ...flags] = words;
  if (first === undefined) throw new CommandError('Command arguments should be non-empty.');
  const name = first.toLowerCase();
  if (name === 'help' || name === '--help') return { help: promptHelp() };
  const command = COMMANDS.get(name);
  if (command === undefined) throw new CommandError(`Command: '${name}' is non-existent.`);
  if (flags.some((word) => word.toLowerCase() === '--help')) return { help: commandHelp(command) };
  return { command, message: parseFlags(command.request, flags, options.extended) };
}

/**
 * `run` is a spawn and a stream: the output comes as it is made, and a lost connection does not lose the job.
 */
async function runJob(client: WardenClient, message: Message, context: ExecuteContext): Promise<number> {
  const spawn = (await client.request(COMMANDS.get('spawn')!.type, message)) as { job_id: number };
  return streamJob(client, { handle: message.handle, job_id: spawn.job_id }, context);
}

async function streamJob(
  client: WardenClient,
  message: Message,
  { options, terminal }: ExecuteContext,
): Promise<number> {
  const answers = client.requestStream(message);
  for (;;) {
    const step = await answers.next();
    const { name, data = new Uint8Array(), exit_status } = step.value;
    if (options.json) await write(terminal.stdout, formatJson(step.value));
    if (step.done) return exit_status ?? UNKNOWN_EXIT_STATUS;
    if (!options.json) await write(name === 'stderr' ? terminal.stderr : terminal.stdout, data);
  }
}
