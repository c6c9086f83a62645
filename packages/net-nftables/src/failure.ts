import { isWardenError, toWardenError, WardenError } from '@warden/interface';

/** Says what was being done to what; the kernel's own words stay in the cause and in `detail`. */
export function failure(operation: string, object: string, cause: unknown): WardenError {
  if (!isWardenError(cause, 'NATIVE_FAILED')) return toWardenError(cause, operation);
  const { fields, message } = cause;
  return new WardenError('NATIVE_FAILED', `${operation} ${object}: ${message}`, {
    cause,
    fields: { ...fields, operation, object },
  });
}
