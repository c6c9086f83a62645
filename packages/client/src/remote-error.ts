/** From an `ErrorResponse` to a {@link WardenError}. The only place where a message is ever matched. */
import { ERROR_CODES, type ErrorCode, WardenError } from '@warden/interface';

/** What an error answer carries. */
interface ErrorPayload {
  readonly message?: string;
  readonly data?: string;
}

/** Texts the original daemon fixes and that clients have always matched; it sends no codes. */
const ORIGINAL_TEXTS: readonly (readonly [RegExp, ErrorCode])[] = [
  [/^unknown handle/i, 'UNKNOWN_HANDLE'],
  [/^no such job/i, 'UNKNOWN_JOB'],
  [/already exists/i, 'ALREADY_EXISTS'],
  [/container state/i, 'BAD_STATE'],
  [/^unknown request type/i, 'UNSUPPORTED'],
];

/**
 * Translates the daemon's error. The code comes from `data` (JSON `{ "code": …, … }`, the rest becomes
 * `fields`); without a known code from the few texts the original fixes; else it is `REMOTE`. The message is
 * always the daemon's.
 */
export function remoteError(payload: object): WardenError {
  const { message = 'the daemon gave no reason', data } = payload as ErrorPayload;
  const { code, ...fields } = parseData(data);
  if (typeof code === 'string' && Object.hasOwn(ERROR_CODES, code))
    return new WardenError(code as ErrorCode, message, { fields });
  const known = ORIGINAL_TEXTS.find(([text]) => text.test(message))?.[1] ?? 'REMOTE';
  return new WardenError(known, message, {
    fields: code === undefined ? fields : { ...fields, remoteCode: code },
  });
}

function parseData(data: string | undefined): Record<string, unknown> {
  if (data === undefined || data === '') return {};
  try {
    const parsed: unknown = JSON.parse(data);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
      return parsed as Record<string, unknown>;
  } catch {
    // Not JSON: the field is free text in the original's protocol, so it is kept as it is.
  }
  return { data };
}
