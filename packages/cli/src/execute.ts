/** One command, from its words to its output and exit status. */
import { exitVerdict, type WardenClient } from '@warden/client';
import { isWardenError, WardenError } from '@warden/interface';
import { CommandError } from './command-error.ts';
import { COMMANDS, type Command } from './commands.ts';
import { exitText } from './exit-text.ts';
import { formatAnswer, formatJson } from './format-answer.ts';
import { commandHelp, promptHelp } from './help.ts';
import { OutputWriter } from './human/output-writer.ts';
import type { CliOptions } from './options.ts';
import { type Message, parseFlags } from './parse-flags.ts';
import { checkRequired } from './required-fields.ts';
import { openShell } from './shell.ts';
import { type Terminal, write } from './terminal.ts';

/** What a command works with. */
export interface ExecuteContext {
  readonly options: CliOptions;
  readonly terminal: Terminal;
  /** Connects on first use: help and wrong words need no daemon. */
  readonly client: (signal?: AbortSignal) => Promise<WardenClient>;
  /** Leaves the terminal to another program until the answer's function is called; the prompt's business. */
  readonly lendTerminal?: () => () => void;
}

/** What a command ended with. */
export interface Outcome {
  /** Of the job or shell. */
  readonly exitStatus: number;
  /** Whether the original's exit status follows it too: `run`, but not `stream`. */
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
  if (options.trace)
    await write(terminal.stdout, options.json ? formatJson({ trace: words }) : `+ ${words.join(' ')}\n`);
  checkRequired(prepared.command.request, prepared.message);
  const { timeoutMs } = options;
  if (timeoutMs === undefined) return perform({ ...prepared, context });
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    return await perform({ ...prepared, context, signal });
  } catch (error) {
    throw signal.aborted && isWardenError(error, 'ABORTED') ? tooLate(timeoutMs, error) : error;
  }
}

/** A command that is understood, and how it is performed. */
interface Performance {
  readonly command: Command;
  readonly message: Message;
  readonly context: ExecuteContext;
  readonly signal?: AbortSignal;
}

async function perform(performance: Performance): Promise<Outcome | undefined> {
  const { command, message, context, signal } = performance;
  const { options, terminal } = context;
  const client = await context.client(signal);
  if (command.name === 'run') return { exitStatus: await runJob(client, performance), isRun: true };
  if (command.name === 'stream') return { exitStatus: await streamJob(client, performance), isRun: false };
  if (command.name === 'shell')
    return { exitStatus: await openShell(client, message, context, signal), isRun: true };
  if (command.name === 'net_out') await requireNames(client, message);
  const answer = (await client.request(command.type, message, signal)) as Message;
  if (options.json) await write(terminal.stdout, formatJson(answer));
  else {
    const writer = new OutputWriter(terminal);
    await writer.write('stdout', formatAnswer(command.response, answer));
    await writer.end();
  }
  if (command.name === 'link') await tellWhy(answer, performance);
  if (command.name === 'limit_disk' && Object.keys(answer).length === 0) await tellUnlimited(performance);
  return undefined;
}

/** The contract's answer where disk limits are off: nothing, and no failure. Whoever counts on a limit has to know. */
async function tellUnlimited({ context: { options, terminal } }: Performance): Promise<void> {
  const text =
    'disk limits are off in this daemon, nothing is limited; server.quota.disk_quota_enabled: true in its configuration switches them on';
  if (options.json) await write(terminal.stderr, formatJson({ level: 'warning', text }));
  else if (!options.compatExit) await write(terminal.stderr, `warning: ${text}\n`);
}

/** A daemon that skips the name of a rule would open more than was asked for. */
async function requireNames(client: WardenClient, { domain }: Message): Promise<void> {
  const feature = 'egress-domain';
  if (domain === undefined || (await client.features()).has(feature)) return;
  throw new WardenError('UNSUPPORTED', 'this daemon knows no rules about names; allow addresses', {
    fields: { operation: 'net_out', feature },
  });
}

/** The error of a command that took longer than `--timeout`. */
export function tooLate(timeoutMs: number, cause: unknown): WardenError {
  return new WardenError('TIMEOUT', `the daemon did not finish its answer within ${timeoutMs / 1000} s`, {
    cause,
    fields: { timeoutMs, advice: 'what had been started goes on; look what became of it' },
  });
}

/** Whether a command may be sent again when the connection broke under it. */
export function isRepeatable(words: readonly string[]): boolean {
  return ['echo', 'info', 'list', 'ping'].includes(words[0]?.toLowerCase() ?? '');
}

type Prepared = { readonly help: string } | Pick<Performance, 'command' | 'message'>;

function prepare(words: readonly string[], options: CliOptions): Prepared {
  const [first, ...flags] = words;
  if (first === undefined) throw new CommandError('Command arguments should be non-empty.');
  const name = first.toLowerCase();
  if (name === 'help' || name === '--help') return { help: promptHelp() };
  if (name === 'rootfs')
    throw new CommandError("'rootfs' is no command of the prompt: run warden rootfs build --help");
  if (name === 'doctor')
    throw new CommandError("'doctor' is no command of the prompt: run warden doctor --help");
  const command = COMMANDS.get(name);
  if (command === undefined) throw new CommandError(`Command: '${name}' is non-existent.`);
  if (flags.some((word) => word.toLowerCase() === '--help')) return { help: commandHelp(command) };
  return { command, message: parseFlags(command.request, flags, options.extended) };
}

/**
 * `run` is a spawn and a stream: the output comes as it is made, and a lost connection does not lose the job.
 */
async function runJob(client: WardenClient, performance: Performance): Promise<number> {
  const { message, signal } = performance;
  const type = COMMANDS.get('spawn')!.type;
  const spawn = (await client.request(type, message, signal)) as { job_id: number };
  return streamJob(client, { ...performance, message: { handle: message.handle, job_id: spawn.job_id } });
}

/** A status alone does not tell a signal from a limit; JSON has it among the fields. */
async function tellWhy(answer: Message, { context: { options, terminal } }: Performance): Promise<void> {
  const text = exitText(exitVerdict(answer as { exit_reason?: string; exit_signal?: number }));
  if (text !== undefined && !options.json && !options.compatExit) await write(terminal.stderr, text);
}

async function streamJob(client: WardenClient, performance: Performance): Promise<number> {
  const { message, signal } = performance;
  const { options, terminal } = performance.context;
  const answers = client.requestStream(message, signal);
  const writer = new OutputWriter(terminal);
  for (;;) {
    const step = await answers.next();
    const { name, data = new Uint8Array(), exit_status } = step.value;
    if (options.json) await write(terminal.stdout, formatJson(step.value));
    if (step.done) {
      await writer.end();
      await tellWhy(step.value as Message, performance);
      return exit_status ?? UNKNOWN_EXIT_STATUS;
    }
    if (!options.json) await writer.write(name === 'stderr' ? 'stderr' : 'stdout', data);
  }
}
