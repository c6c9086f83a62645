/** Errors of this package, in one form. */
import { isWardenError, WardenError } from '@warden/interface';

/** The image, or what was said of it, is wrong. */
export function invalid(message: string, fields: Readonly<Record<string, unknown>> = {}): WardenError {
  return new WardenError('INVALID_SPEC', message, { fields: { operation: 'image', ...fields } });
}

/** What the image needs is not there. */
export function unsupported(message: string, fields: Readonly<Record<string, unknown>> = {}): WardenError {
  return new WardenError('UNSUPPORTED', message, { fields: { operation: 'image', ...fields } });
}

/** A foreign value in a text: of what has parts only the kind, since not everything can be turned into text. */
export function told(value: unknown, most = 40): string {
  const hasParts = typeof value === 'object' && value !== null;
  return hasParts ? (Array.isArray(value) ? 'a list' : 'an object') : String(value).slice(0, most);
}

/** A file of the host failed. */
export function fileFailure(operation: string, object: string, cause: unknown): WardenError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return new WardenError(
    code === 'ENOENT' || code === 'ENOTDIR' ? 'INVALID_SPEC' : 'NATIVE_FAILED',
    // Node's own text names operation and object once more
    `${operation} ${object}: ${code ?? message}`,
    {
      cause,
      fields: { operation, object, errno: code },
    },
  );
}

/** Whether the disk, or a quota on it, has no room. */
export function isFull(error: unknown): boolean {
  const { errno } = isWardenError(error) ? (error.fields as { readonly errno?: unknown }) : {};
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}

/** Errors: `ABORTED`, when the signal of whoever asked is aborted. */
export function throwIfGivenUp(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new WardenError('ABORTED', 'the operation on images was given up', {
    cause: signal.reason,
    fields: { operation: 'image' },
  });
}
