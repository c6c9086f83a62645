/**
 * A helper of ours inside a container: a process that init starts on a connection of its own, as an
 * operator's. So it is none of the container's jobs, no later daemon is handed it, and init ends it when the
 * connection ends, however the daemon came to its end.
 */
import { decodeBytes, WardenError } from '@warden/interface';
import { closeDescriptor, connectUnix, readDescriptor } from '@warden/native';
import { Connection, unavailable } from './connection.ts';
import { MESSAGE, type MessageReader, type MessageWriter, ROLE, SPAWN_FLAG } from './protocol.ts';
import { within } from './within.ts';

/** Init answers at once; longer than this it hangs, is stopped or frozen. */
const ANSWER_TIMEOUT_MS = 5_000;
/** A frozen container ends nothing: nobody waits for it. */
const EXIT_TIMEOUT_MS = 2_000;
const COMPLAINT_BYTES = 2_000;

/** What to start. */
export interface InsideHelperSpec {
  readonly socketPath: string;
  readonly argv: readonly string[];
  readonly user: string;
  /** Its standard input. The descriptor belongs to the helper, whatever happens. */
  readonly socket: number;
  /** Opens what is executed as it is. May throw. */
  readonly openProgram: () => number;
}

export class InsideHelper {
  readonly #connection: Connection;
  readonly #exited: Promise<void>;
  #resolveExited!: () => void;
  #errors: number | undefined;
  #complaint = '';

  /**
   * Errors: `UNAVAILABLE`, `TIMEOUT`, `NATIVE_FAILED` (no process or descriptor left inside ...). Nothing
   * runs then.
   */
  static async start(spec: InsideHelperSpec): Promise<InsideHelper> {
    let owned = [spec.socket];
    let helper: InsideHelper | undefined;
    try {
      const program = spec.openProgram();
      owned.push(program);
      helper = new InsideHelper(connect(spec.socketPath));
      await helper.#hello();
      const spawned = helper.#spawn(spec, program);
      owned = [];
      await spawned;
      return helper;
    } catch (error) {
      owned.forEach(closeDescriptor);
      await helper?.end();
      throw error;
    }
  }

  private constructor(fd: number) {
    this.#exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
    this.#connection = new Connection(fd, {
      onEvent: (message, fds) => {
        fds.forEach(closeDescriptor);
        if (message.type === MESSAGE.EXIT) this.#resolveExited();
      },
      onClosed: () => this.#resolveExited(),
    });
  }

  /** What it left on its standard error, once it has ended. */
  complaint(): string {
    return this.#complaint;
  }

  /** Waits for its end a moment, then makes init end it. Idempotent. */
  async end(): Promise<void> {
    const timer = setTimeout(this.#resolveExited, EXIT_TIMEOUT_MS);
    if (this.#errors !== undefined) await this.#exited;
    clearTimeout(timer);
    this.#readErrors();
    this.#connection.close();
  }

  #hello(): Promise<void> {
    return inTime(
      this.#connection.request(
        'hello',
        (w, sequence) => w.begin(MESSAGE.HELLO, sequence).u32(ROLE.OPERATOR).finish(),
        MESSAGE.WELCOME,
        () => {},
      ),
    );
  }

  #spawn(spec: InsideHelperSpec, program: number): Promise<void> {
    return inTime(
      this.#connection.request(
        'spawn',
        (writer, sequence) => writeHelper(writer, sequence, spec),
        MESSAGE.SPAWNED,
        (_message: MessageReader, [output, errors]) => {
          if (output !== undefined) closeDescriptor(output);
          this.#errors = errors;
        },
        { fds: [spec.socket, program] },
      ),
    );
  }

  #readErrors(): void {
    if (this.#errors === undefined) return;
    const buffer = Buffer.alloc(COMPLAINT_BYTES);
    const length = readDescriptor(this.#errors, buffer);
    this.#complaint = length > 0 ? decodeBytes(buffer.subarray(0, length)).trimEnd() : '';
    closeDescriptor(this.#errors);
    this.#errors = undefined;
  }
}

function connect(socketPath: string): number {
  const fd = connectUnix(socketPath, 'seqpacket');
  if (typeof fd === 'string') throw unavailable('connect');
  return fd;
}

function writeHelper(writer: MessageWriter, sequence: number, spec: InsideHelperSpec): Buffer {
  writer
    .begin(MESSAGE.SPAWN, sequence)
    .u32(0)
    .u32(SPAWN_FLAG.STDIN_FD | SPAWN_FLAG.PROGRAM_FD)
    .u16(0)
    .u16(0)
    .string(spec.user)
    .u32(spec.argv.length);
  for (const argument of spec.argv) writer.string(argument);
  return writer.u32(0).u32(0).bytes(new Uint8Array()).finish();
}

function inTime<T>(answer: Promise<T>): Promise<T> {
  return within(ANSWER_TIMEOUT_MS, answer, () => {
    const text = `init did not answer within ${ANSWER_TIMEOUT_MS} ms`;
    return new WardenError('TIMEOUT', text, {
      fields: { operation: 'start helper', timeoutMs: ANSWER_TIMEOUT_MS },
    });
  });
}
