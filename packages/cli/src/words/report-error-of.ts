/** Errors that come as part of an answer. */
import { type ContainerReport, ERROR_CODES, type ErrorCode, WardenError } from '@warden/interface';

/** The error of a container that could not be told about. */
export function errorOfReport({ handle, error }: ContainerReport): WardenError {
  const { code = 'INTERNAL', message = 'nothing is known of it' } = error ?? {};
  const known: ErrorCode = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'REMOTE';
  return new WardenError(known, `${handle}: ${message}`, { fields: { operation: 'info', object: handle } });
}
