/** What a spawn asks init to run. */
import { decodeBytes, encodeBytes, type JobSpec, type SpawnOptions, WardenError } from '@warden/interface';
import type { Engine } from './engine.ts';
import { checkSize } from './job-input.ts';

export const SHELL = '/bin/bash';
const MAX_ARGUMENTS = 1_024;
/** Init takes 4,096, with those that every job has. */
const MAX_VARIABLES = 4_000;
const MAX_PATH_BYTES = 4_095;
const NOTHING = new Uint8Array();

/** The parts of a job's spec that say what runs. */
export type JobCommand = Pick<
  JobSpec,
  'argv' | 'stdin' | 'environment' | 'openInput' | 'terminal' | 'directory'
>;

/** Errors: `INVALID_SPEC`, `UNSUPPORTED`. */
export function jobCommand(
  { options: { lang }, drivers }: Engine,
  script: string | Uint8Array,
  options: SpawnOptions,
): JobCommand {
  const { argv, environment = {}, workingDirectory, stdin, terminal } = options;
  const text = typeof script === 'string' ? encodeBytes(script) : script;
  check(options, text.length > 0);
  const isInteractive = stdin === 'pipe' || terminal !== undefined;
  if ((isInteractive || workingDirectory !== undefined) && drivers.init.supports.interactive !== true) {
    throw new WardenError(
      'UNSUPPORTED',
      `the init driver ${drivers.init.name} has no open input, terminals or working directories`,
      {
        fields: { operation: 'spawn', driver: drivers.init.name },
      },
    );
  }
  if (options.output === 'live' && drivers.init.supports.live !== true) {
    throw new WardenError('UNSUPPORTED', `the init driver ${drivers.init.name} keeps all output`, {
      fields: { operation: 'spawn', driver: drivers.init.name },
    });
  }
  return {
    argv: argv ?? (isInteractive && text.length > 0 ? [SHELL, '-c', argumentOf(script)] : [SHELL]),
    stdin: isInteractive ? NOTHING : text,
    environment: { LANG: lang, ...environment },
    ...(stdin === 'pipe' && terminal === undefined ? { openInput: true } : {}),
    ...(terminal === undefined ? {} : { terminal }),
    ...(workingDirectory === undefined ? {} : { directory: workingDirectory }),
  };
}

function check(options: SpawnOptions, hasScript: boolean): void {
  const { argv, environment = {}, workingDirectory, stdin, terminal, discardOutput } = options;
  if (argv !== undefined) {
    if (argv.length === 0 || argv.length > MAX_ARGUMENTS || argv[0] === '')
      throw invalid(`a program and at most ${MAX_ARGUMENTS - 1} arguments are needed`, 'argv');
    for (const argument of argv) requireNoNul(argument, 'argument');
    if (hasScript && (stdin === 'pipe' || terminal !== undefined))
      throw invalid('argv and a script exclude each other when the input stays open', 'script');
  }
  if (options.output === 'live') {
    const conflicts = { discardOutput, terminal, logTag: options.logTag, awaited: options.awaited };
    for (const [name, value] of Object.entries(conflicts))
      if (value !== undefined && value !== false) throw invalid(`live output excludes ${name}`, 'output');
  }
  const variables = Object.entries(environment);
  if (variables.length > MAX_VARIABLES)
    throw invalid(`a job has at most ${MAX_VARIABLES} variables`, 'environment');
  for (const [name, value] of variables) {
    if (name === '' || name.includes('='))
      throw invalid(`no name of a variable: ${name.slice(0, 64)}`, 'environment');
    requireNoNul(`${name}${value}`, 'variable');
  }
  if (workingDirectory !== undefined) {
    requireNoNul(workingDirectory, 'working directory');
    if (!workingDirectory.startsWith('/') || encodeBytes(workingDirectory).length > MAX_PATH_BYTES)
      throw invalid(
        `the working directory must be absolute and have at most ${MAX_PATH_BYTES} bytes`,
        'workingDirectory',
      );
  }
  if (terminal !== undefined) {
    checkSize(terminal);
    if (discardOutput === true) throw invalid('the output of a terminal cannot be discarded', 'terminal');
  }
}

function requireNoNul(text: string, what: string): void {
  if (text.includes('\0')) throw invalid(`the ${what} holds a NUL byte`, what);
}

function argumentOf(script: string | Uint8Array): string {
  const text = typeof script === 'string' ? script : decodeBytes(script);
  requireNoNul(text, 'script');
  return text;
}

function invalid(text: string, object: string): WardenError {
  return new WardenError('INVALID_SPEC', text, { fields: { operation: 'spawn', object } });
}
