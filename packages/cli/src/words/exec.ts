/** `warden exec`: a program in a container that is there. */
import { writeOne } from '../human/write-answer.ts';
import { Interruption } from '../jobs/signals.ts';
import { followJob, JOB_FLAGS, OUTPUT_LIMIT_HELP, planJob, startJob } from '../jobs/start-job.ts';
import type { Word } from './word.ts';

/** See the file's head. */
export const exec: Word = {
  name: 'exec',
  summary: 'Run a program in a container, with its input and output here, and exit with its status.',
  details: [
    'The program is started without a shell, so that its arguments arrive as they are. Without one, -it opens a shell and -i feeds a script to it.',
    "Ctrl-C, and other signals to this program, go to the job and all that it has started; the second one kills them, and a third ends this program, whatever became of them. With -t every key is the job's, except those of --detach-keys.",
    OUTPUT_LIMIT_HELP,
    'Exit status: that of the job; 128+n when signal n ended it, 141 when nobody reads the standard output of this program any more (the job is then ended, by SIGTERM), 124 when its time was over, 127 when there is no such program, 126 when it cannot be run, 125 when warden itself failed.',
  ],
  operands: [{ name: 'HANDLE', kind: 'handle' }],
  command: 'optional',
  flags: [...JOB_FLAGS, { name: 'detach', short: 'd', text: 'Start the job, write its id, and leave it.' }],
  examples: [
    ['warden exec box -- ls -l /tmp', 'a program and its arguments'],
    ['warden exec -it box', 'a shell; exit or Ctrl-D ends it, Ctrl-P Ctrl-Q leaves it'],
    ['tar c . | warden exec -i box -- tar x -C /tmp', 'input through a pipe'],
    ['warden exec --timeout 10s box -- make test', 'ends with 124 when it takes longer'],
  ],
  async run(given, context) {
    const plan = planJob(given, context);
    const box = (await context.connect()).container(given.operands[0]!);
    using interruption = new Interruption(context.terminal);
    const job = await startJob(box, plan);
    if (!given.has('detach')) return await followJob(job, plan, context, interruption);
    await writeOne(context, { handle: box.handle, jobId: job.id }, () => [String(job.id)]);
    return 0;
  },
};
