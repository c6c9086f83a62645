/** The one place where errors become answers: the message for people, code and facts as JSON in `data` (DECISIONS). */
import { type ErrorCode, isWardenError, toWardenError, WardenError } from '@warden/interface';
import { type ErrorResponse, ProtocolError } from '@warden/protocol';

/** Turns anything thrown into the answer. */
export function errorResponse(error: unknown): ErrorResponse {
  const { code, message, fields } = describe(error);
  return { message, data: JSON.stringify({ ...fields, code }, jsonValue) };
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
  const { code, message, fields } = isWardenError(error) ? error : toWardenError(error);
  return { code, message: message || 'unknown error', fields };
}

/** bigint as decimal text; what JSON cannot hold is left out rather than failing the answer. */
function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (value instanceof Error) return value.message;
  return value;
}

/** Errors of what the original's backend lacks. */
export function unknownProtocol(number: number): WardenError {
  return new WardenError('INVALID_SPEC', `unknown protocol number: ${number}`, {
    fields: { operation: 'net out', object: number },
  });
}
