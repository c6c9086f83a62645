/** What `run` and `exec` have in common: how a job is started, followed, and what its end means. */
import type { ClientContainer, ClientJob, ClientSpawnOptions } from '@warden/client';
import { encodeBytes, WardenError } from '@warden/interface';
import { CommandError } from '../command-error.ts';
import { exitText } from '../exit-text.ts';
import { shown } from '../human/shown.ts';
import { parseDuration, parsePairs } from '../human/units.ts';
import { tell } from '../human/write-answer.ts';
import { write } from '../terminal.ts';
import type { Given } from '../words/given.ts';
import type { Flag, WordContext } from '../words/word.ts';
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from './detach-keys.ts';
import { exitCodeOf } from './exit-code.ts';
import { runForeground, terminalSize } from './foreground.ts';
import type { Interruption } from './signals.ts';

/** Flags of words that start a job. */
export const JOB_FLAGS: readonly Flag[] = [
  { name: 'interactive', short: 'i', text: "Pass this program's input on to the job." },
  {
    name: 'tty',
    short: 't',
    text: 'Give the job a terminal: this one, with its size, which it then has for itself.',
  },
  { name: 'env', short: 'e', value: 'NAME=VALUE', isMany: true, text: 'A variable of the job.' },
  { name: 'workdir', short: 'w', value: 'DIR', text: "Where it starts; by default its user's home." },
  { name: 'privileged', text: 'As root inside the container, instead of its unprivileged user.' },
  {
    name: 'timeout',
    value: 'TIME',
    text: 'Kill the job when it has run so long (30, 500ms, 5m, 2h). This program does it: the limit ends with it, and when the job is left.',
  },
  {
    name: 'detach-keys',
    value: 'KEYS',
    text: `With -t: keys that leave the job and let it go on (default ${DEFAULT_DETACH_KEYS}; none).`,
  },
  { name: 'raw', text: "Write the job's output to a terminal as it is, control characters included." },
];

/** For the help of words that start a job. */
export const OUTPUT_LIMIT_HELP =
  "A job that prints more than the daemon keeps of one (10 MiB of both streams together, unless server.job_output_limit in its configuration says otherwise) is killed with all that it has started, also when its output is read all the time, and this program exits with 125. To print more, let it write to a file inside and fetch that by cp, or have the daemon's operator raise the limit, or lift it by job_output_limit: 0, for the jobs started from then on (wardend reloads it on SIGHUP).";

/** How a job is to be started and followed. */
export interface JobPlan {
  readonly spawn: ClientSpawnOptions;
  readonly isInteractive: boolean;
  readonly isTerminal: boolean;
  readonly isRaw: boolean;
  readonly timeoutMs: number | undefined;
  readonly detachKeys: Uint8Array;
  readonly command: readonly string[];
}

/** Reads the flags of {@link JOB_FLAGS}, before anything is made. Error: `CommandError`. */
export function planJob(given: Given, { terminal }: WordContext): JobPlan {
  const isTerminal = given.has('tty');
  const isInteractive = given.has('interactive') || isTerminal;
  if (isTerminal && !terminal.stdin.isTTY)
    throw new CommandError('-t: the input of this program is no terminal; leave out -t');
  if (given.command.length === 0 && !isInteractive)
    throw new CommandError('a command is missing: give one behind --, or -it for a shell');
  requireRoom(given);
  if (given.has('detach') && given.has('timeout'))
    throw new CommandError(
      '--detach and --timeout exclude each other: this program keeps the time, and ends. Let timeout(1) inside keep it: -- timeout 30 COMMAND',
    );
  const timeout = given.value('timeout');
  const directory = given.value('workdir');
  const environment = parsePairs(given.values('env'), '--env');
  const term = terminal.env.TERM;
  return {
    isInteractive,
    isTerminal,
    isRaw: given.has('raw'),
    timeoutMs: timeout === undefined ? undefined : parseDuration(timeout, '--timeout'),
    detachKeys: parseDetachKeys(given.value('detach-keys') ?? DEFAULT_DETACH_KEYS),
    command: given.command,
    spawn: {
      trackTree: true,
      ...(given.has('privileged') && { privileged: true }),
      ...(given.command.length > 0 && { argv: given.command }),
      ...(directory !== undefined && { workingDirectory: directory }),
      environment: { ...(isTerminal && term !== undefined && { TERM: term }), ...environment },
      ...(isTerminal ? { terminal: terminalSize(terminal) } : isInteractive && { stdin: 'pipe' as const }),
    },
  };
}

/** What one job gets, program included. A daemon refuses more; a request of very many it does not even understand. */
const MOST_ARGUMENTS = 1024;
/** Of a job's arguments and variables together, each with its length before it. */
const MOST_BYTES = 65_536;
const LENGTH_BYTES = 4;

/** Error: `INVALID_SPEC`, for a program whose arguments and variables init cannot take. */
function requireRoom(given: Given): void {
  const count = given.command.length;
  if (count > MOST_ARGUMENTS)
    throw tooMuch(
      `a program takes at most ${MOST_ARGUMENTS - 1} arguments, not ${count - 1}`,
      MOST_ARGUMENTS,
    );
  const texts = [...given.command, ...given.values('env')];
  const bytes = texts.reduce((sum, text) => sum + encodeBytes(text).length + LENGTH_BYTES, 0);
  if (bytes > MOST_BYTES)
    throw tooMuch(
      `a program's arguments and variables take at most ${MOST_BYTES} bytes, not ${bytes}`,
      MOST_BYTES,
    );
}

function tooMuch(text: string, limit: number): WardenError {
  return new WardenError('INVALID_SPEC', text, {
    fields: {
      operation: 'spawn',
      object: 'argv',
      limit,
      advice: 'give it by standard input (-i), or by a file (warden cp)',
    },
  });
}

/** Starts the job of a plan. */
export function startJob(box: ClientContainer, { spawn }: JobPlan): Promise<ClientJob> {
  return box.spawn('', spawn);
}

/** Follows a started job; gives the exit status of the program. */
export async function followJob(
  job: ClientJob,
  plan: Pick<JobPlan, 'isInteractive' | 'isTerminal' | 'isRaw' | 'timeoutMs' | 'detachKeys' | 'command'>,
  context: WordContext,
  interruption: Interruption,
): Promise<number> {
  interruption.follow(job);
  const { terminal } = context;
  const { end, start } = await runForeground(job, terminal, {
    input: plan.isTerminal ? 'terminal' : plan.isInteractive ? 'pipe' : 'none',
    detachKeys: plan.detachKeys,
    isRaw: plan.isRaw,
    program: plan.command[0],
    timeoutMs: plan.timeoutMs,
  });
  if (end === undefined) {
    const unlimited = plan.timeoutMs === undefined ? '' : '; its --timeout no longer holds';
    await tell(
      context,
      `\ndetached: warden attach ${shown(job.handle)} ${job.id} comes back to it${unlimited}`,
    );
    return 0;
  }
  if (interruption.outputGone !== undefined) return interruption.outputGone;
  const text = exitText(end.verdict);
  if (text !== undefined) await write(terminal.stderr, text);
  return exitCodeOf(end, start?.failure);
}
