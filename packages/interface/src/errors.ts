/**
 * Errors of the whole system: one class, one closed list of codes.
 *
 * A code says what the caller can *do*; it never changes within a major version. The message may. Facts
 * (operation, object, errno, exit status, pool name …) travel in `fields`, the original failure in `cause`.
 * Wrong use of an API from TypeScript is a plain `TypeError` without a code: it is a bug, not to be caught.
 */

/**
 * Every code, with the sentence that `docs/errors.md` prints for it.
 *
 * The class of a kernel failure is chosen by what helps the caller: a missing bind source is
 * `INVALID_SPEC` although the kernel said ENOENT.
 */
export const ERROR_CODES = {
  UNKNOWN_HANDLE: 'no container has this handle; list the containers or create it',
  UNKNOWN_JOB: 'the container has no such job; its result was already taken or it never existed',
  ALREADY_EXISTS: 'the handle, port or object is taken; choose another or remove the owner',
  BAD_STATE: 'the container is in a state that does not admit this operation',
  INVALID_SPEC: 'an argument is malformed or refers to something that does not exist; correct it and repeat',
  MALFORMED_REQUEST:
    'the bytes of the request could not be understood; the client has a bug or speaks another protocol, or asks for more than one request may hold (10,000 values, 128 KiB of text)',
  POOL_EXHAUSTED:
    'a pool (network, port, uid, the processes of a container) has nothing left; free some of it or enlarge it',
  UNSUPPORTED: 'this host, backend or driver cannot do this; the fields say what is missing',
  COMMAND_FAILED:
    'a program or hook that was started failed; the fields hold its exit status and last output',
  NATIVE_FAILED: 'a kernel call failed; the fields hold operation, object and errno',
  FORBIDDEN:
    "the daemon's policy, or inside a container the permissions of a path, do not admit this; ask its operator, or do it as another user",
  UNAVAILABLE: 'the other side cannot be reached or is going away; connect again and repeat if it is safe',
  ABORTED:
    'the caller gave up (AbortSignal); what the call had started was ended, a job that it only waited for goes on',
  TIMEOUT:
    'the operation did not end within its time limit; what it had started was ended, unless the message or the field isEnded says otherwise',
  REMOTE: 'the daemon answered with an error that carries no known code; the message is its text',
  INTERNAL: 'a defect in warden; report it with the fields and the cause',
} as const;

/** One of the closed list of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Facts attached to an error. Values must survive `JSON.stringify`; `bigint` becomes a decimal string on the wire. */
export type ErrorFields = Readonly<Record<string, unknown>>;

const BRAND: unique symbol = Symbol.for('@warden/error') as never;

/** Options of the {@link WardenError} constructor. */
export interface WardenErrorOptions {
  /**
   * Facts: `operation`, `object` (path, interface, handle), `errno` (its name, as `ENOENT`), `pool`, `used`,
   * `limit` …
   */
  readonly fields?: ErrorFields;
  /** The failure underneath, kept unchanged. */
  readonly cause?: unknown;
  /** Failures of the clean-up that followed. The first error is never masked by them. */
  readonly suppressed?: readonly unknown[];
}

/**
 * The only error class that crosses a package border.
 *
 * Match `code`, by {@link isWardenError}; never the message, and never by `instanceof` (two copies of this
 * package may be loaded). Messages are lower-case without a full stop, except where the original daemon's
 * text is contract.
 */
export class WardenError extends Error {
  readonly code: ErrorCode;
  readonly fields: ErrorFields;
  readonly suppressed: readonly unknown[];

  constructor(code: ErrorCode, message: string, options: WardenErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'WardenError';
    this.code = code;
    this.fields = options.fields ?? {};
    this.suppressed = options.suppressed ?? [];
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** Tells whether `error` is a {@link WardenError} of any copy of this package, and of `code` if one is given. */
export function isWardenError(error: unknown, code?: ErrorCode): error is WardenError {
  return (
    typeof error === 'object' &&
    error !== null &&
    (error as Record<symbol, unknown>)[BRAND] === true &&
    (code === undefined || (error as WardenError).code === code)
  );
}

/**
 * Wraps anything thrown: a WardenError passes unchanged, an error of the kernel becomes `NATIVE_FAILED`, the
 * rest `INTERNAL`, each with its cause.
 */
export function toWardenError(error: unknown, operation?: string): WardenError {
  if (isWardenError(error)) return error;
  const text = error instanceof Error ? error.message : String(error);
  const { code, syscall, path } = (error ?? {}) as Readonly<Record<'code' | 'syscall' | 'path', unknown>>;
  // as Node's own modules throw it
  if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) && typeof syscall === 'string') {
    const fields = {
      operation: operation ?? syscall,
      errno: code,
      ...(path === undefined ? {} : { object: path }),
    };
    return new WardenError('NATIVE_FAILED', text, { cause: error, fields });
  }
  return new WardenError('INTERNAL', text, { cause: error, ...(operation ? { fields: { operation } } : {}) });
}
