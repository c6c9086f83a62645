/**
 * The one place where log lines leave the process: JSON lines to a file or standard output, in the original's form (spec
 * config.md, logging).
 */
import fs from 'node:fs';
import type { LogFields, Logger } from '@warden/interface';

const LEVELS = ['off', 'fatal', 'error', 'warn', 'info', 'debug', 'debug1', 'debug2', 'all'];

/** Where and how much to log. */
export interface LogSinkOptions {
  /** One of the original's levels. */
  readonly level: string;
  /** Appended to; absent: standard output. */
  readonly file?: string | undefined;
  /** Scopes whose debug lines are written whatever the level (`WARDEN_DEBUG=net,wshd`). */
  readonly debugScopes?: readonly string[];
}

/** A logger and the means to end it. */
export interface LogSink {
  readonly logger: Logger;
  /** Closes the file. */
  close(): void;
}

/** Opens the sink. Writes are synchronous and whole, so that the last line before a crash is there. */
export function openLogSink(options: LogSinkOptions): LogSink {
  const descriptor = options.file === undefined ? 1 : fs.openSync(options.file, 'a', 0o640);
  const threshold = LEVELS.indexOf(options.level);
  const write = (level: string, source: string, event: string, fields: LogFields): void => {
    const line = {
      timestamp: Date.now() / 1000,
      message: event,
      log_level: level,
      source,
      data: fields,
      process_id: process.pid,
    };
    try {
      fs.writeSync(descriptor, `${JSON.stringify(line, printable)}\n`);
    } catch {
      // A full disk or a closed pipe must not take the containers' daemon along.
    }
  };
  const make = (scope: string, inherited: LogFields): Logger => {
    const enabled = (level: string): boolean => LEVELS.indexOf(level) <= threshold;
    const at =
      (level: string) =>
      (event: string, fields: LogFields = {}): void => {
        if (enabled(level)) write(level, scope, event, { ...inherited, ...fields });
      };
    const debugging =
      enabled('debug') || (options.debugScopes ?? []).some((wanted) => scope.split('.').includes(wanted));
    return {
      debug: debugging
        ? (event, fields = {}) => write('debug', scope, event, { ...inherited, ...fields })
        : undefined,
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (name, fields = {}) =>
        make(scope === '' ? name : `${scope}.${name}`, { ...inherited, ...fields }),
    };
  };
  return {
    logger: make('', {}),
    close: () => {
      if (descriptor !== 1) fs.closeSync(descriptor);
    },
  };
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
