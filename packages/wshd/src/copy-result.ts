/** What `warden-copy` says in the end, as an error that says what to do. */
import { type CopySpec, decodeBytes, type ErrorCode, WardenError } from '@warden/interface';
import { ERRNO_NAMES } from '@warden/native';
import { adviceIfDenied, isDenied } from './denied-inside.ts';

/** The original's whole text; clients may look for it. */
const PREFIX = 'command exited with failure';
/** Steps that fail because of what was asked for. */
const REQUESTED = new Set([
  'find owner',
  'open source',
  'open destination',
  'make destination',
  'write into a directory of the daemon',
]);
/** The rest (EACCES, ENOSPC, EIO ...) is no matter of the request. */
const WRONG_REQUEST = new Set([
  'EEXIST',
  'EINVAL',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'EPERM',
]);

/** `ok`, or the first failure. */
export type CopyResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly errno: string;
      readonly side: string;
      readonly failures: number;
      readonly step: string;
      readonly path: string;
    };

/** `undefined` or anything odd: the process ended without a word. */
export function parseCopyResult(bytes: Uint8Array | undefined): CopyResult {
  const fields = bytes === undefined ? [] : decodeBytes(bytes).split('\0');
  if (fields[0] === 'ok') return { ok: true };
  const [kind, number, side, failures, step, path] = fields;
  if (kind !== 'error' || step === undefined || path === undefined) {
    return { ok: false, errno: 'EPIPE', side: 'host', failures: 1, step: 'run warden-copy', path: '' };
  }
  const errno = ERRNO_NAMES[Number(number)] ?? `errno ${number}`;
  return { ok: false, errno, side: side!, failures: Number(failures), step, path };
}

/** Errors of a copy: see `RunningCopy.ended`. */
export function copyError(
  spec: CopySpec,
  result: Exclude<CopyResult, { ok: true }>,
  complaint: string,
): WardenError {
  const { errno, side, failures, step, path } = result;
  const object = step === 'find owner' ? spec.owner : path;
  const where = side === 'host' ? 'on the host' : 'in the container';
  const more = failures > 1 ? `, and ${failures - 1} more failures` : '';
  const text =
    errno === 'ECONNRESET'
      ? 'the side in the container ended: it was stopped or destroyed, or ran out of memory'
      : `${step} ${object} ${where}: ${errno}${more}`;
  return new WardenError(codeOf(result), `${PREFIX}: ${text}`, {
    fields: {
      operation: operationOf(spec),
      step,
      object,
      side,
      errno,
      failures,
      ...(side === 'container' && adviceIfDenied(errno, spec.user)),
      ...(complaint === '' ? {} : { stderr: complaint }),
    },
  });
}

/** The host's rights are the daemon's own, no matter of who may do something inside. */
function codeOf({ errno, side, step }: Exclude<CopyResult, { ok: true }>): ErrorCode {
  if (side === 'container' && isDenied(errno)) return 'FORBIDDEN';
  return REQUESTED.has(step) && WRONG_REQUEST.has(errno) ? 'INVALID_SPEC' : 'COMMAND_FAILED';
}

/** The copy was ended by `abort`. */
export function abortedError(spec: CopySpec): WardenError {
  return new WardenError('ABORTED', `${PREFIX}: the copy was ended before it was complete`, {
    fields: { operation: operationOf(spec), object: spec.hostPath },
  });
}

function operationOf({ direction }: CopySpec): string {
  return direction === 'in' ? 'copy in' : 'copy out';
}
