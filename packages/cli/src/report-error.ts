/** Failures as the user reads them. */
import { ERROR_CODES, isWardenError, toWardenError, type WardenError } from '@warden/interface';
import { CommandError } from './command-error.ts';
import { formatJson } from './format-answer.ts';
import type { CliOptions } from './options.ts';
import { type Terminal, visible, write } from './terminal.ts';

/** The original's texts of connect(2), which scripts look for. */
const CONNECT_TEXTS: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  ECONNREFUSED: 'Connection refused',
  EACCES: 'Permission denied',
  ENOTSOCK: 'Socket operation on non-socket',
  ENOTDIR: 'Not a directory',
};

/**
 * Writes an error to stderr: its text, then (except for wrong words, whose text says it all) the code and
 * what to do. As JSON: one object.
 */
export async function reportError(thrown: unknown, options: CliOptions, terminal: Terminal): Promise<void> {
  const error = toWardenError(thrown);
  if (options.json) {
    const { code, fields } = error;
    await write(terminal.stderr, formatJson({ code, message: error.message, fields }));
    return;
  }
  const hasHint = !(error instanceof CommandError) && !options.compatExit;
  const hint = hasHint ? `${error.code}: ${adviceOf(error)}\n` : '';
  await write(terminal.stderr, visible(`${textOf(error)}\n${hint}`));
}

/** Whether `error` says that the connection was lost, or could not be made. */
export function isLostConnection(error: unknown): boolean {
  return isWardenError(error, 'UNAVAILABLE');
}

/** What to do: as the error itself says, else as its code does. */
function adviceOf({ code, fields }: WardenError): string {
  return typeof fields.advice === 'string' ? fields.advice : ERROR_CODES[code];
}

function textOf(error: WardenError): string {
  const { operation, object, errno } = error.fields;
  const text = operation === 'connect' ? CONNECT_TEXTS[String(errno)] : undefined;
  return text === undefined ? error.message : `${text} - connect(2) for ${object}`;
}
