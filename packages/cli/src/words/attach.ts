/** `warden attach`: back to a job that was left. */
import { isWardenError } from '@warden/interface';
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../jobs/detach-keys.ts';
import { terminalSize } from '../jobs/foreground.ts';
import { Interruption } from '../jobs/signals.ts';
import { followJob, JOB_FLAGS } from '../jobs/start-job.ts';
import { findJobId } from './job-operand.ts';
import type { Word } from './word.ts';

/** See the file's head. */
export const attach: Word = {
  name: 'attach',
  summary: 'Come back to a job: its output from the beginning, and what is typed for it.',
  details: [
    "Where this program's input is a terminal and the job has one too, the terminal is the job's as with exec -t. Without -i and a terminal, output is shown and nothing is passed on.",
    'The end of the job is reported once, here as anywhere: its status is then taken.',
  ],
  operands: [
    { name: 'HANDLE', kind: 'handle' },
    { name: 'JOB', kind: 'plain', isOptional: true },
  ],
  flags: JOB_FLAGS.filter(({ name }) => ['interactive', 'detach-keys', 'raw'].includes(name)),
  examples: [['warden attach box 7', 'job 7, as exec -d or the detach keys have named it']],
  async run(given, context) {
    const detachKeys = parseDetachKeys(given.value('detach-keys') ?? DEFAULT_DETACH_KEYS);
    const box = (await context.connect()).container(given.operands[0]!);
    // the job was there before, and goes on without this program's output
    using interruption = new Interruption();
    const job = box.job(await findJobId(box, given.operands[1]));
    const { terminal } = context;
    let isTerminal = terminal.stdin.isTTY === true;
    if (isTerminal) {
      try {
        await job.resize(terminalSize(terminal));
      } catch (error) {
        if (!isWardenError(error, 'BAD_STATE')) throw error;
        isTerminal = false;
      }
    }
    const plan = {
      isTerminal,
      isInteractive: given.has('interactive'),
      isRaw: given.has('raw'),
      timeoutMs: undefined,
      detachKeys,
      command: [],
    };
    return await followJob(job, plan, context, interruption);
  },
};
