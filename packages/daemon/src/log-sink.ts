/**
 * The one place where log lines leave the process: JSON lines in the original's form (spec config.md,
 * logging), to a file, to syslog, to both, or to standard output.
 */
import fs from 'node:fs';
import { isatty } from 'node:tty';
import { type LogFields, type Logger, WardenError } from '@warden/interface';
import { type LineWriter, lineWriter } from './line-writer.ts';
import { printableTag, syslogSender } from './syslog.ts';
import { requireWritable } from './writable.ts';

const LEVELS = ['off', 'fatal', 'error', 'warn', 'info', 'debug', 'debug1', 'debug2', 'all'];
/** Facility user with the severities of RFC 3164. */
const PRIORITIES: Readonly<Record<string, string>> = {
  error: '<11>',
  warn: '<12>',
  info: '<14>',
  debug: '<15>',
  debug2: '<15>',
};

/** What of a log can change while it is written. */
export interface LogSettings {
  /** One of the original's levels. */
  readonly level: string;
  /** Appended to. */
  readonly file?: string | undefined;
  /** `json` (default): the original's lines; `text`: for people. */
  readonly format?: 'json' | 'text' | undefined;
}

/** The same for the journal. */
const JOURNAL_PRIORITIES: Readonly<Record<string, string>> = {
  error: '<3>',
  warn: '<4>',
  info: '<6>',
  debug: '<7>',
  debug2: '<7>',
};

/** Where and how much to log. */
export interface LogSinkOptions extends LogSettings {
  /** Identity for syslog. With neither this nor `file`: standard output. */
  readonly syslog?: string | undefined;
  /** Default: the system's. */
  readonly syslogSocket?: string | undefined;
  /** Scopes whose debug lines are written whatever the level (`WARDEN_DEBUG=net,wshd`). */
  readonly debugScopes?: readonly string[];
  /** The request that is being worked on; its id is in each line. */
  readonly requestId?: () => string | undefined;
}

/** A logger and the means to change and end it. */
export interface LogSink {
  readonly logger: Logger;
  /**
   * Where the lines are for somebody who looks at a terminal, and for nobody else: keeps those that only
   * inform until the answer is called, with whether they are written then. `undefined`: they are for others,
   * too, or debug lines are among them, and nothing is kept.
   */
  hold(): ((areWanted: boolean) => void) | undefined;
  /**
   * Opens the file again, which somebody may have moved away, and takes the settings. Errors: `INVALID_SPEC`
   * naming the file; nothing has changed then.
   */
  reconfigure(settings: LogSettings): void;
  /** Closes the file. */
  close(): void;
}

/** Takes a finished line with its level. Never throws. */
type Output = (level: string, line: string) => void;

/**
 * Opens the sink. Writes are synchronous and whole, so that the last line before a crash is there, but for
 * those that a reader keeps waiting (see `lineWriter`). Errors: `INVALID_SPEC` naming the file.
 */
export function openLogSink(options: LogSinkOptions): LogSink {
  const syslog =
    options.syslog === undefined ? undefined : syslogOutput(options.syslog, options.syslogSocket);
  let settings: LogSettings = options;
  const format = (level: string, source: string, event: string, fields: LogFields): string =>
    (settings.format === 'text' ? formatText : formatLine)(level, source, event, fields);
  const lost = (count: number): string =>
    format('warn', 'log', 'log-lines-lost', {
      count,
      advice: 'whoever reads the log has stopped for a while; logging.file needs no reader',
    });
  let stdout: (Output & { close(): void }) | undefined;
  let file: OpenFile | undefined;
  let outputs: readonly Output[] = [];
  let held: string[] | undefined;
  const reconfigure = (next: LogSettings): void => {
    const opened = next.file === undefined ? undefined : openFile(next.file, lost);
    file?.close();
    file = opened;
    settings = next;
    const chosen = [opened?.output, syslog];
    outputs = chosen.filter((one) => one !== undefined);
    if (outputs.length > 0) return;
    stdout ??= standardOutput(lost);
    outputs = [stdout];
  };
  reconfigure(options);
  const write = (level: string, source: string, event: string, fields: LogFields): void => {
    try {
      const request = options.requestId?.();
      const data = request === undefined ? fields : { request_id: request, ...fields };
      const line = format(level, source, event, data);
      if (level === 'info' && held !== undefined) held.push(line);
      else for (const output of outputs) output(level, line);
    } catch {
      // fields that refer to themselves: losing the line is better than losing the daemon
    }
  };
  return {
    logger: makeLogger(() => settings.level, options.debugScopes ?? [], write),
    hold: () => {
      const isForDebugging = settings.level !== 'info' || (options.debugScopes ?? []).length > 0;
      if (stdout === undefined || outputs[0] !== stdout || !isatty(1) || isForDebugging) return undefined;
      const kept: string[] = [];
      held = kept;
      return (areWanted) => {
        held = undefined;
        if (areWanted) for (const line of kept) for (const output of outputs) output('info', line);
      };
    },
    reconfigure,
    close: () => {
      file?.close();
      file = undefined;
      stdout?.close();
      outputs = [];
    },
  };
}

interface OpenFile {
  readonly output: Output;
  close(): void;
}

function openFile(file: string, lost: (count: number) => string): OpenFile {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = fs.constants;
  let descriptor: number;
  try {
    // a FIFO that nobody reads is refused: waiting for a reader would keep the daemon from its work
    descriptor = fs.openSync(file, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o640);
  } catch (cause) {
    throw unwritable(file, cause);
  }
  const writer = lineWriter(descriptor, lost);
  return {
    output: (_level, line) => writer.write(line),
    close: () => {
      writer.close();
      fs.closeSync(descriptor);
    },
  };
}

/** Makes sure that a log can be written there, without making it. Errors: `INVALID_SPEC` naming the file. */
export function requireLogFile(file: string): void {
  requireWritable(file, unwritable);
}

function unwritable(file: string, cause: unknown): WardenError {
  return new WardenError('INVALID_SPEC', `logging.file: ${(cause as Error).message}`, {
    cause,
    fields: { operation: 'open log', object: file, errno: (cause as NodeJS.ErrnoException).code },
  });
}

/** Where standard output is the journal, it is told how serious each line is (sd-daemon(3)). */
function standardOutput(lost: (count: number) => string): Output & { close(): void } {
  const prefix = isJournal() ? (level: string): string => JOURNAL_PRIORITIES[level]! : (): string => '';
  const writer: LineWriter = lineWriter(1, (count) => `${prefix('warn')}${lost(count)}`);
  const output: Output = (level, line) => writer.write(`${prefix(level)}${line}`);
  return Object.assign(output, { close: () => writer.close() });
}

function isJournal(): boolean {
  try {
    const { dev, ino } = fs.fstatSync(1, { bigint: true });
    return process.env.JOURNAL_STREAM === `${dev}:${ino}`;
  } catch {
    return false; // it is closed
  }
}

/** A line that the socket does not take is lost: there is nowhere else to say so. */
function syslogOutput(identity: string, socket: string | undefined): Output {
  const send = syslogSender(socket);
  const tag = printableTag(identity);
  return (level, line) => {
    send(PRIORITIES[level]!, tag, Buffer.from(line));
  };
}

type Write = (level: string, source: string, event: string, fields: LogFields) => void;

function makeLogger(levelNow: () => string, debugScopes: readonly string[], write: Write): Logger {
  const isEnabled = (one: string): boolean => LEVELS.indexOf(one) <= LEVELS.indexOf(levelNow());
  const make = (scope: string, inherited: LogFields): Logger => {
    const at =
      (one: string) =>
      (event: string, fields: LogFields = {}): void =>
        write(one, scope, event, { ...inherited, ...fields });
    const filtered = (one: string): Logger['info'] => {
      const line = at(one);
      return (event, fields) => {
        if (isEnabled(one)) line(event, fields);
      };
    };
    const debug = at('debug');
    const trace = at('debug2');
    const isPicked = debugScopes.some((wanted) => scope.split('.').includes(wanted));
    return {
      // looked at for each line: the level may change
      get debug() {
        return isPicked || isEnabled('debug') ? debug : undefined;
      },
      get trace() {
        return isEnabled('debug2') ? trace : undefined;
      },
      info: filtered('info'),
      warn: filtered('warn'),
      error: filtered('error'),
      child: (name, fields = {}) =>
        make(scope === '' ? name : `${scope}.${name}`, { ...inherited, ...fields }),
    };
  };
  return make('', {});
}

/**
 * All keys of the original's lines. Node has one thread and no fibers, and where a line comes from is told by
 * `source` and `message`, which are constants; looking for the place in the program would cost more than the
 * line.
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

/** One line for people: time, level, source, event, and the facts as `key=value`. */
function formatText(level: string, source: string, event: string, fields: LogFields): string {
  const facts = Object.entries(fields).flatMap(([key, value]) => {
    const text = JSON.stringify(value, printable);
    if (text === undefined) return [];
    // a plain word needs no quotes
    return [`${key}=${/^"[\w./:@%+,-]+"$/.test(text) ? text.slice(1, -1) : text}`];
  });
  const time = new Date().toISOString();
  return [time, level.padEnd(5), source === '' ? 'wardend' : source, event, ...facts].join(' ');
}

/** Makes every value printable: bigint as decimal text, errors with their code, bytes by length. */
function printable(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return `<${value.length} bytes>`;
  if (value instanceof Error) {
    const { name, message, code, fields, cause, suppressed } = value as Error & {
      code?: string;
      fields?: unknown;
      cause?: unknown;
      suppressed?: readonly unknown[];
    };
    return { name, message, code, fields, cause, ...(suppressed?.length && { suppressed }) };
  }
  return value;
}
