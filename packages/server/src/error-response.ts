/** The one place where errors become answers: the message for people, code and facts as JSON in `data` (DECISIONS). */
import { type ErrorCode, isWardenError, toWardenError, WardenError } from '@warden/interface';
import { type ErrorResponse, ProtocolError, toBytes } from '@warden/protocol';

const DEFECT = "internal error; the daemon's log has the details";

/** Turns anything thrown into the answer. */
export function errorResponse(error: unknown): ErrorResponse {
  const { code, message, fields } = describe(error);
  return { message: sendable(message), data: dataText(code, fields) };
}

/** The code that {@link errorResponse} answers with. */
export function errorCode(error: unknown): ErrorCode {
  return describe(error).code;
}

/** A text cut in the middle of a character holds a lone surrogate, which stands for no byte and cannot be encoded. */
function sendable(text: string): string {
  try {
    toBytes(text);
    return text;
  } catch {
    return text.toWellFormed();
  }
}

/** Fields that JSON refuses (cycles, `toJSON` that throws) are left out one by one: the others still help. */
function dataText(code: ErrorCode, fields: Readonly<Record<string, unknown>>): string {
  const data: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    try {
      const text = JSON.stringify(value, jsonValue);
      if (text !== undefined) data[name] = JSON.parse(text);
    } catch {
      // an answer without this fact is better than no answer
    }
  }
  return JSON.stringify({ ...data, code });
}

/**
 * Whether `error` is a mistake of the daemon itself: its text speaks of our code, which helps the log and no
 * client.
 */
export function isDefect(error: unknown): boolean {
  return [TypeError, RangeError, ReferenceError, SyntaxError, EvalError].some(
    (kind) => error instanceof kind,
  );
}

function describe(error: unknown): {
  code: ErrorCode;
  message: string;
  fields: Readonly<Record<string, unknown>>;
} {
  if (error instanceof ProtocolError) {
    const fields = error.field === undefined ? {} : { field: error.field };
    return { code: 'MALFORMED_REQUEST', message: error.message, fields };
  }
  if (isDefect(error)) return { code: 'INTERNAL', message: DEFECT, fields: {} };
  const { code, message, fields } = isWardenError(error) ? error : toWardenError(error);
  return { code, message: message || 'unknown error', fields };
}

/**
 * bigint as decimal text, bytes as latin1 text. A function with `this`: `value` of a Buffer has already been
 * through its toJSON.
 */
function jsonValue(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  const original = (this as Record<string, unknown>)[key];
  if (original instanceof Uint8Array) return Buffer.from(original).toString('latin1');
  if (value instanceof Error) return value.message;
  return value;
}

/** Errors of what the original's backend lacks. */
export function unknownProtocol(number: number, operation: string): WardenError {
  return new WardenError('INVALID_SPEC', `unknown protocol number: ${number}`, {
    fields: { operation, object: number },
  });
}
