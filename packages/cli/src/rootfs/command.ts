/** `warden rootfs build`: a Debian root file system for containers, made on this host without the daemon. */
import { readFileSync } from 'node:fs';
import readline from 'node:readline';
import { WardenError } from '@warden/interface';
import { parse } from 'yaml';
import { CommandError } from '../command-error.ts';
import { formatJson } from '../format-answer.ts';
import type { CliOptions } from '../options.ts';
import { editorOutput } from '../read-lines.ts';
import { reportError } from '../report-error.ts';
import { OUTPUT_GONE, type Terminal, write } from '../terminal.ts';
import { clearTraces } from './clear-traces.ts';
import { planBuild, requireProgram } from './plan.ts';
import { ProgressView } from './progress.ts';
import { runDebootstrap } from './run-debootstrap.ts';
import { Target } from './target.ts';
import { parseRootfsWords, type RootfsWords, rootfsHelp } from './words.ts';

/** Exit status for wrong words. */
const EXIT_SYNTAX = 2;
const EXIT_FAILURE = 1;

/** Signals that end a build; what was made so far is removed first. */
const ENDING = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Executes the words behind `warden`; gives the exit status of the program. */
export async function buildRootfs(options: CliOptions, terminal: Terminal): Promise<number> {
  let shown = options;
  try {
    const words = parseRootfsWords(options.command.slice(1));
    shown = { ...options, json: options.json || words.json };
    if (!words.help) return await build(words, shown, terminal);
    await write(terminal.stdout, rootfsHelp());
    return 0;
  } catch (error) {
    await reportError(error, shown, terminal);
    return error instanceof CommandError ? EXIT_SYNTAX : EXIT_FAILURE;
  }
}

async function build(words: RootfsWords, options: CliOptions, terminal: Terminal): Promise<number> {
  const directory = directoryOf(words, terminal);
  if (process.getuid?.() !== 0) throw new WardenError('UNSUPPORTED', 'Sorry, you need to be root.');
  const debootstrap = requireProgram('debootstrap', terminal.env.PATH);
  const target = new Target(directory);
  const view = new ProgressView(terminal, options.json);
  if (target.putBack())
    view.notice({
      level: 'warning',
      text: `${directory} was moved away by a build that was killed; it is back`,
    });
  if (target.exists) {
    target.checkReplaceable();
    if (!words.force && !(await mayErase(directory, terminal))) {
      await write(terminal.stderr, 'Aborting...\n');
      return EXIT_FAILURE;
    }
  }
  const plan = planBuild(words, terminal.env);
  const interrupt = watchSignals(terminal);
  for (const left of target.leftovers())
    view.notice({ level: 'warning', text: `${left} was left by a build that was killed; remove it` });
  try {
    target.prepare();
    await runDebootstrap({ ...plan, program: debootstrap, directory: target.draft }, view, interrupt.signal);
    clearTraces(target.draft, plan.sources);
    interrupt.signal.throwIfAborted();
    target.commit();
  } catch (error) {
    target.discard();
    view.end();
    const status = interrupt.status();
    if (status === undefined) throw error;
    await write(terminal.stderr, 'Aborting...\n');
    return status;
  } finally {
    view.end();
    interrupt.stop();
  }
  const done = { stage: 'done', directory, suite: plan.suite };
  const text = `${directory} is ready: ${plan.suite}\n`;
  await write(terminal.stdout, options.json ? formatJson(done) : text);
  return 0;
}

/** The directory given, or the one that a daemon's configuration or the environment names. */
function directoryOf({ directory, config }: RootfsWords, { env }: Terminal): string {
  const found = directory ?? (config === undefined ? env.CONTAINER_ROOTFS_PATH : configured(config));
  if (found === undefined || found === '')
    throw new WardenError('INVALID_SPEC', 'Please specify path to config file, or CONTAINER_ROOTFS_PATH', {
      fields: {
        operation: 'rootfs build',
        ...(config !== undefined && { object: config }),
        advice: 'name the directory, as in: warden rootfs build DIR (warden rootfs build --help)',
      },
    });
  return found;
}

function configured(file: string): string | undefined {
  try {
    const config = parse(readFileSync(file, 'utf8'), { version: '1.1' }) as {
      server?: { container_rootfs_path?: unknown };
    } | null;
    const value = config?.server?.container_rootfs_path;
    return typeof value === 'string' ? value : undefined;
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', `cannot read ${file}: ${(cause as Error).message}`, {
      cause,
      fields: { operation: 'configuration', object: file },
    });
  }
}

/** Asks on a terminal. Error where nobody can be asked. */
async function mayErase(directory: string, terminal: Terminal): Promise<boolean> {
  const output = editorOutput(terminal);
  if (output === undefined)
    throw new WardenError(
      'ALREADY_EXISTS',
      `${directory} already exists; give --force to replace it, or another directory`,
      { fields: { operation: 'rootfs build', object: directory } },
    );
  const dialog = readline.createInterface({ input: terminal.stdin, output, terminal: true });
  const answer = await new Promise<string>((resolve) => {
    dialog.on('SIGINT', () => dialog.close());
    dialog.on('close', () => resolve(''));
    dialog.question('Target directory already exists. Erase it? ', resolve);
  });
  dialog.close();
  return /^y/i.test(answer);
}

/** Turns the signals that would end the program, and the loss of its output, into an abort, until `stop`. */
function watchSignals({ stdout }: Terminal): {
  readonly signal: AbortSignal;
  readonly status: () => number | undefined;
  readonly stop: () => void;
} {
  const controller = new AbortController();
  let status: number | undefined;
  const end = (name: NodeJS.Signals): void => {
    status ??= ENDING[name as keyof typeof ENDING];
    controller.abort();
  };
  const names = Object.keys(ENDING) as (keyof typeof ENDING)[];
  for (const name of names) process.on(name, end);
  const onOutputGone = (exitCode: number): void => {
    status ??= exitCode;
    controller.abort();
  };
  stdout.on(OUTPUT_GONE, onOutputGone);
  return {
    signal: controller.signal,
    status: () => status,
    stop: () => {
      for (const name of names) process.removeListener(name, end);
      stdout.removeListener(OUTPUT_GONE, onOutputGone);
    },
  };
}
