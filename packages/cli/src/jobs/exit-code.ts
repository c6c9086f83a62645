/** Exit statuses of words that run something: the job's own, or one that says what came in its way. */
import type { JobEnd } from '@warden/interface';

/** Its time was over. */
export const EXIT_TIMEOUT = 124;
/** Warden itself could not do what was asked for, or did not understand it. */
export const EXIT_OWN = 125;
/** The program is there and cannot be run. */
export const EXIT_NOT_RUNNABLE = 126;
/** There is no such program. */
export const EXIT_NOT_FOUND = 127;
/** A signal n ended it: this and n. */
export const EXIT_SIGNAL = 128;
/** Nobody reads standard output any more; a shell's number for a program that SIGPIPE has ended. */
export const EXIT_OUTPUT_GONE = 141;
/** A job that was ended without a status of its own. */
const NO_STATUS = 255;

/** Status for the end of a job. */
export function exitCodeOf({ exitStatus, verdict }: JobEnd, startFailure?: StartFailure): number {
  if (startFailure !== undefined && exitStatus === NO_STATUS) return startFailure.exitCode;
  if (verdict === undefined || verdict.reason === 'exited') return exitStatus;
  if (verdict.reason === 'timeout') return EXIT_TIMEOUT;
  if (verdict.signal !== undefined) return EXIT_SIGNAL + verdict.signal;
  // init or the daemon lost it: nobody knows how it ended
  return exitStatus === NO_STATUS ? EXIT_OWN : exitStatus;
}

/** A program that was never started. */
export interface StartFailure {
  readonly exitCode: number;
}

/** More than init ever writes when it cannot start a program: a path and an error. */
const LONGEST = 8192;

/**
 * Looks at a job's output from its beginning. Init says on the job's own standard error that a program could
 * not be started, and the original's number for that is 255, which programs use too; so it counts only when
 * nothing else was printed at all.
 */
export class StartWatch {
  readonly #program: string;
  #text = '';
  #isOver = false;

  constructor(program: string) {
    this.#program = program;
  }

  take(data: Uint8Array): void {
    if (this.#isOver) return;
    this.#text += Buffer.from(data).toString('utf8');
    this.#isOver = this.#text.length > LONGEST;
  }

  /** What it says, once the job has ended. */
  get failure(): StartFailure | undefined {
    if (this.#isOver) return undefined;
    const line = this.#text.replaceAll('\r\n', '\n');
    const program = Buffer.from(this.#program).toString('utf8');
    if (/^chdir: [^\n]*\n$/.test(line)) return { exitCode: EXIT_NOT_RUNNABLE };
    if (!line.startsWith(`execvpe: ${program}: `) || line.indexOf('\n') !== line.length - 1) return undefined;
    const isMissing = line.endsWith(': No such file or directory\n');
    return { exitCode: isMissing ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE };
  }
}
