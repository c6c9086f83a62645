/** The result of a job with its output as text. */
import {
  type ContainerInfo,
  decodeBytes,
  type ExitVerdict,
  type JobResult,
  WardenError,
} from '@warden/interface';

/** Bytes of each stream that a {@link requireSuccess} error carries. */
const TAIL_BYTES = 4096;

/** A {@link JobResult} that also gives its output as text. */
export class ClientJobResult implements JobResult {
  readonly exitStatus: number;
  readonly verdict: ExitVerdict | undefined;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly info: ContainerInfo;

  constructor(result: JobResult) {
    this.exitStatus = result.exitStatus;
    this.verdict = result.verdict;
    this.stdout = result.stdout;
    this.stderr = result.stderr;
    this.info = result.info;
  }

  /**
   * `stdout` as text; bytes that are not UTF-8 become lone surrogates, as everywhere in warden (`encodeBytes`
   * gives them back).
   */
  get stdoutText(): string {
    return decodeBytes(this.stdout);
  }

  /** `stderr` as text; see {@link stdoutText}. */
  get stderrText(): string {
    return decodeBytes(this.stderr);
  }
}

/** Throws `COMMAND_FAILED` with exit status and the last output unless the job ended with 0. */
export function requireSuccess(handle: string, result: ClientJobResult): void {
  if (result.exitStatus === 0) return;
  throw new WardenError('COMMAND_FAILED', `the script ended with status ${result.exitStatus}`, {
    fields: {
      operation: 'run',
      object: handle,
      exitStatus: result.exitStatus,
      verdict: result.verdict,
      stdout: tail(result.stdout),
      stderr: tail(result.stderr),
    },
  });
}

function tail(bytes: Uint8Array): string {
  return decodeBytes(bytes.subarray(Math.max(0, bytes.length - TAIL_BYTES)));
}
