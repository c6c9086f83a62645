import { type ErrorFields, WardenError } from '@warden/interface';
import { ERRNO_NAMES } from './errno-names.ts';
import { native } from './load-library.ts';

/** The name of an error number; `errno <n>` for one that the table does not know. */
export function errnoName(number: number): string {
  return ERRNO_NAMES[number] ?? `errno ${number}`;
}

/** Makes the `NATIVE_FAILED` of a kernel call. `result` is what C answered: minus the error number. */
export function nativeFailure(
  operation: string,
  object: string | undefined,
  result: number,
  fields: ErrorFields = {},
): WardenError {
  const errno = errnoName(-result);
  const detail = typeof fields.detail === 'string' && fields.detail !== '' ? `: ${fields.detail}` : '';
  const subject = object === undefined ? operation : `${operation} ${object}`;
  return new WardenError(
    'NATIVE_FAILED',
    `${subject}: ${native().warden_error_text(-result)} (${errno})${detail}`,
    {
      fields: { operation, ...(object === undefined ? {} : { object }), errno, ...fields },
    },
  );
}

/** Passes a result >= 0 on and throws the rest. */
export function checked(result: number, operation: string, object?: string): number {
  if (result < 0) throw nativeFailure(operation, object, result);
  return result;
}

/** Answers what a call on a descriptor did, -1 when it would block. Errors: `NATIVE_FAILED`. */
export function orWouldBlock(result: number, operation: string, fd: number): number {
  if (result >= 0) return result;
  if (errnoName(-result) === 'EAGAIN') return -1;
  throw nativeFailure(operation, `fd ${fd}`, result);
}
