/** `warden logs`: what a job has printed, as far as the daemon keeps it. */
import { isWardenError } from '@warden/interface';
import { exitText } from '../exit-text.ts';
import { formatJson } from '../format-answer.ts';
import { OutputWriter } from '../human/output-writer.ts';
import { shown } from '../human/shown.ts';
import { tell } from '../human/write-answer.ts';
import { write } from '../terminal.ts';
import { findJobId } from './job-operand.ts';
import type { Word } from './word.ts';

/** Without -f: what comes no longer than this after the last piece was there already. */
const QUIET_MS = 500;
/** So long behind an answer of the daemon, which may have stood still. */
const ANSWERED_MS = 100;
/** A piece that was waited for so long has most likely just been printed. */
const FRESH_MS = 20;
/** Without -f: so long such pieces are waited for in all. A job that prints all the time is not followed for ever. */
const FRESH_IN_ALL_MS = 5_000;

/** See the file's head. */
export const logs: Word = {
  name: 'logs',
  summary: 'Show what a job has printed, from its beginning.',
  details: [
    'The daemon keeps the output of a job until its result is taken. With -f the word follows the job to its end; reading the end of a job takes its result, as link and stream do, and how it ended is told on standard error. Without -f it ends when nothing has come for half a second, of a job that prints all the time after some seconds, and a job that runs keeps everything; of one that has ended it takes the result, too, and says so.',
    'A job that was started with output discarded has none. Without JOB it is the only one that runs.',
  ],
  operands: [
    { name: 'HANDLE', kind: 'handle' },
    { name: 'JOB', kind: 'plain', isOptional: true },
  ],
  flags: [
    { name: 'follow', short: 'f', text: 'Go on until the job ends.' },
    { name: 'raw', text: 'Write to a terminal as it is, control characters included.' },
  ],
  examples: [
    ['warden logs -f box', 'of the job that runs'],
    ['warden logs box 7 --jsonl', 'pieces with the name of their stream'],
  ],
  async run(given, context) {
    const { terminal } = context;
    const client = await context.connect();
    const box = client.container(given.operands[0]!);
    const job = box.job(await findJobId(box, given.operands[1]));
    const left = new AbortController();
    const patience = given.has('follow') ? undefined : new Patience(() => client.ping(), left);
    const writer = new OutputWriter(terminal, given.has('raw'));
    const chunks = job.stream({ signal: left.signal });
    try {
      for (;;) {
        patience?.begin();
        const step = await chunks.next();
        // a slow reader is no silence of the job
        patience?.end();
        if (step.done) {
          const { exitStatus, verdict } = step.value;
          const text =
            exitText(verdict) ?? `job ${job.id} of ${shown(box.handle)} ended with ${exitStatus}\n`;
          // the daemon hands out an end only once; whoever did not ask for it is told
          const taken = given.has('follow')
            ? ''
            : '\nits result is taken by that, and its output is not kept any more';
          await tell(context, `${text.trimEnd()}${taken}`);
          return 0;
        }
        if (context.format === 'text') await writer.write(step.value.stream, step.value.data);
        else await write(terminal.stdout, formatJson(step.value));
        if (patience?.isOver) return 0;
      }
    } catch (error) {
      if (left.signal.aborted && isWardenError(error, 'ABORTED')) return 0;
      throw error;
    } finally {
      patience?.end();
      await chunks.return(undefined as never);
      await writer.end();
    }
  },
};

/** Tells what was there already from what is being printed. */
class Patience {
  readonly #ask: () => Promise<unknown>;
  readonly #left: AbortController;
  #timer: NodeJS.Timeout | undefined;
  #begun: number | undefined;
  #waited = 0;

  /** Aborts `left` when nothing comes any more although the daemon answers. */
  constructor(ask: () => Promise<unknown>, left: AbortController) {
    this.#ask = ask;
    this.#left = left;
  }

  /** What comes now is being printed, and there is no end to it. */
  get isOver(): boolean {
    return this.#waited >= FRESH_IN_ALL_MS;
  }

  /** The next piece is waited for. */
  begin(): void {
    const begun = performance.now();
    this.#begun = begun;
    this.#timer = setTimeout(() => void this.#doubt(begun), QUIET_MS);
  }

  /** It has come, or nobody waits any more. */
  end(): void {
    clearTimeout(this.#timer);
    if (this.#begun === undefined) return;
    const waited = performance.now() - this.#begun;
    if (waited >= FRESH_MS) this.#waited += waited;
    this.#begun = undefined;
  }

  /** The daemon, or this program, may have stood still: whatever was there comes with an answer, or right behind it. */
  async #doubt(begun: number): Promise<void> {
    await this.#ask().catch(() => undefined);
    if (this.#begun === begun) this.#timer = setTimeout(() => this.#left.abort(), ANSWERED_MS);
  }
}
