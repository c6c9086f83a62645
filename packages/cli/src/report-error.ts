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

/** What to do when no daemon answers. */
const CONNECT_ADVICE: Readonly<Record<string, string>> = {
  ENOENT: 'no wardend listens there; start one, or name its socket by --socket or WARDEN_SOCKET',
  ECONNREFUSED: 'the wardend that listened there is gone; start it again, its containers live on',
  EACCES: "the socket is for its owner and group; be root, or a member of the socket's group",
};

/** Where the text of the code speaks of fields, which only JSON shows, or leaves open what can be done. */
const CODE_ADVICE: Readonly<Partial<Record<WardenError['code'], string>>> = {
  NATIVE_FAILED: 'the kernel did not do it; --json tells the operation, the object and the error number',
};

/**
 * Writes an error to stderr: its text, then (except for wrong words, whose text says it all) the code and
 * what to do. As JSON: one object.
 */
export async function reportError(thrown: unknown, options: CliOptions, terminal: Terminal): Promise<void> {
  const error = toWardenError(thrown);
  if (options.json) {
    const { code, fields, message } = error;
    const repeated = `\n${String(fields.advice)}`; // for people, who see no fields
    const text = message.endsWith(repeated) ? message.slice(0, -repeated.length) : message;
    await write(terminal.stderr, formatJson({ code, message: text, fields }));
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

/** Whether `error` says that its container is stopped: the text is the original's. */
export function isOfStopped({ code, message }: WardenError): boolean {
  return code === 'BAD_STATE' && message.endsWith("current state is 'stopped'");
}

/** What to do: as the error itself says, else as its code does. */
function adviceOf(error: WardenError): string {
  const { code, fields } = error;
  if (typeof fields.advice === 'string') return fields.advice;
  if (isOfStopped(error))
    return 'a stopped container never becomes active again; destroy it and make another';
  const connecting = fields.operation === 'connect' ? CONNECT_ADVICE[String(fields.errno)] : undefined;
  return connecting ?? CODE_ADVICE[code] ?? ERROR_CODES[code];
}

function textOf(error: WardenError): string {
  const { operation, object, errno } = error.fields;
  const text = operation === 'connect' ? CONNECT_TEXTS[String(errno)] : undefined;
  return text === undefined ? error.message : `${text} - connect(2) for ${object}`;
}
