/** Failures as the user reads them. */
import { type Stats, statSync } from 'node:fs';
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

/** Where the text of the code speaks of fields, which stand behind these. */
const FIELDS_ADVICE: Readonly<Partial<Record<WardenError['code'], string>>> = {
  COMMAND_FAILED: 'a program or hook that was started failed',
  INTERNAL: 'a defect in warden; report it',
  NATIVE_FAILED: 'the kernel did not do it',
  UNSUPPORTED: 'this host, backend or driver cannot do this',
};
/** Longer facts, as the last output of a program, make no line. */
const LONGEST_FACT = 200;

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
  const connecting =
    fields.operation === 'connect' ? connectAdvice(String(fields.errno), fields.object) : undefined;
  if (connecting !== undefined) return connecting;
  const text = FIELDS_ADVICE[code];
  return text === undefined ? ERROR_CODES[code] : text + factsOf(error);
}

/** ` (operation: mount, errno: EPERM)`; nothing where there are none. */
function factsOf({ fields }: WardenError): string {
  const facts = Object.entries(fields)
    .filter(([, value]) => ['bigint', 'boolean', 'number', 'string'].includes(typeof value))
    .map(([name, value]) => `${name}: ${value}`)
    .filter((fact) => fact.length <= LONGEST_FACT && !fact.includes('\n'));
  return facts.length === 0 ? '' : ` (${facts.join(', ')})`;
}

/** What is there instead, where nothing can listen; `undefined`: a socket, or nothing that this user sees. */
function noSocket(object: string): string | undefined {
  if (object === '') return 'the path of the socket is empty';
  let stat: Stats;
  try {
    stat = statSync(object);
  } catch {
    // it went meanwhile, or cannot be looked at: the error that is reported stands for itself
    return undefined;
  }
  if (stat.isSocket()) return undefined;
  const found = stat.isDirectory() ? 'a directory' : stat.isFile() ? 'a file' : 'something else';
  return `${object} is ${found}, no socket`;
}

function connectAdvice(errno: string, object: unknown): string | undefined {
  const wrong = ['ECONNREFUSED', 'ENOTSOCK'].includes(errno) ? noSocket(String(object)) : undefined;
  return wrong === undefined
    ? CONNECT_ADVICE[errno]
    : `${wrong}; name that of a wardend by --socket or WARDEN_SOCKET`;
}

function textOf(error: WardenError): string {
  const { operation, object, errno } = error.fields;
  const text = operation === 'connect' ? CONNECT_TEXTS[String(errno)] : undefined;
  return text === undefined ? error.message : `${text} - connect(2) for ${object}`;
}
