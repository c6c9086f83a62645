/**
 * The one place where log lines leave the process: JSON lines in the original's form (spec config.md, logging), to a file, to syslog, to both, or to
 * standard output.
 */
import fs from 'node:fs';
import { type LogFields, type Logger, WardenError } from '@warden/interface';
import { printableTag, syslogSender } from './syslog.ts';

const LEVELS = ['off', 'fatal', 'error', 'warn', 'info', 'debug', 'debug1', 'debug2', 'all'];
/** Facility user with the severities of RFC 3164. */
const PRIORITIES: Readonly<Record<string, string>> = {
  error: '<11>',
  warn: '<12>',
  info: '<14>',
  debug: '<15>',
  debug2: '<15>',
};

/** Where and how much to log. */
export interface LogSinkOptions {
  /** One of the original's levels. */
  readonly level: string;
  /** Appended to. */
  readonly file?: string | undefined;
  /** Identity for syslog. With neither this nor `file`: standard output. */
  readonly syslog?: string | undefined;
  /** Default: the system's. */
  readonly syslogSocket?: string | undefined;
  /** Scopes whose debug lines are written whatever the level (`WARDEN_DEBUG=net,wshd`). */
  readonly debugScopes?: readonly string[];
}

/** A logger and the means to end it. */
export interface LogSink {
  readonly logger: Logger;
  /** Closes the file. */
  close(): void;
}

/** Takes a finished line with its level. Never throws. */
type Output = (level: string, line: string) => void;

/** Opens the sink. Writes are synchronous and whole, so that the last line before a crash is there. Errors: `INVALID_SPEC` naming the file. */
export function openLogSink(options: LogSinkOptions): LogSink {
  const descriptor = options.file === undefined ? undefined : openFile(options.file);
  const outputs: Output[] = [];
  if (descriptor !== undefined) outputs.push(descriptorOutput(descriptor));
  if (options.syslog !== undefined) outputs.push(syslogOutput(options.syslog, options.syslogSocket));
  if (outputs.length === 0) outputs.push(descriptorOutput(1));
  const write = (level: string, source: string, event: string, fields: LogFields): void => {
    try {
      const line = formatLine(level, source, event, fields);
      for (const output of outputs) output(level, line);
    } catch {
      // fields that refer to themselves: losing the line is better than losing the daemon
    }
  };
  return {
    logger: makeLogger(options, write),
    close: () => {
      if (descriptor !== undefined) fs.closeSync(descriptor);
    },
  };
}

function openFile(file: string): number {
  try {
    return fs.openSync(file, 'a', 0o640);
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', `logging.file: ${(cause as Error).message}`, {
      cause,
      fields: { operation: 'open log', object: file, errno: (cause as NodeJS.ErrnoException).code },
    });
  }
}

function descriptorOutput(descriptor: number): Output {
  return (_level, line) => {
    try {
      fs.writeSync(descriptor, `${line}\n`);
    } catch {
      // A full disk or a closed pipe must not take the containers' daemon along.
    }
  };
}

/** A line that the socket does not take is lost: there is nowhere else to say so. */
function syslogOutput(identity: string, socket: string | undefined): Output {
  const send = syslogSender(socket);
  const tag = printableTag(identity);
  return (level, line) => {
    try {
      send(PRIORITIES[level]!, tag, Buffer.from(line));
    } catch {
      // no descriptor left
    }
  };
}

type Write = (level: string, source: string, event: string, fields: LogFields) => void;

function makeLogger({ level, debugScopes = [] }: LogSinkOptions, write: Write): Logger {
  const threshold = LEVELS.indexOf(level);
  const isEnabled = (one: string): boolean => LEVELS.indexOf(one) <= threshold;
  const make = (scope: string, inherited: LogFields): Logger => {
    const at =
      (one: string, wanted = isEnabled(one)) =>
      (event: string, fields: LogFields = {}): void => {
        if (wanted) write(one, scope, event, { ...inherited, ...fields });
      };
    const isDebugged = isEnabled('debug') || debugScopes.some((wanted) => scope.split('.').includes(wanted));
    return {
      debug: isDebugged ? at('debug', true) : undefined,
      trace: isEnabled('debug2') ? at('debug2') : undefined,
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (name, fields = {}) =>
        make(scope === '' ? name : `${scope}.${name}`, { ...inherited, ...fields }),
    };
  };
  return make('', {});
}

/**
 * All keys of the original's lines. Node has one thread and no fibers, and where a line comes from is told by `source` and `message`, which are
 * constants; looking for the place in the program would cost more than the line.
 */
function formatLine(level: string, source: string, event: string, fields: LogFields): string {
  return JSON.stringify(
    {
      timestamp: Date.now() / 1000,
      message: event,
      log_level: level,
      source,
      data: fields,
      thread_id: process.pid,
      fiber_id: process.pid,
      process_id: process.pid,
      file: null,
      lineno: null,
      method: null,
    },
    printable,
  );
}

/** Makes every value printable: bigint as decimal text, errors with their code, bytes by length. */
function printable(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return `<${value.length} bytes>`;
  if (value instanceof Error) {
    const { name, message, code, fields, cause } = value as Error & {
      code?: string;
      fields?: unknown;
      cause?: unknown;
    };
    return { name, message, code, fields, cause };
  }
  return value;
}
