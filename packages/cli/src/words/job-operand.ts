/** The operand JOB: an id, or the only job that runs. */
import type { ClientContainer } from '@warden/client';
import { WardenError } from '@warden/interface';
import { parseWhole } from '../human/units.ts';

/** More of those that have ended make no line that anybody reads. */
const MANY = 10;

/** Errors: `INVALID_SPEC` when none is named and there is not just one. */
export async function findJobId(box: ClientContainer, text: string | undefined): Promise<number> {
  if (text !== undefined) return parseWhole(text, 'JOB', [1, 2 ** 32 - 1]);
  const { jobIds, endedJobs = [] } = await box.info();
  if (jobIds.length === 1) return jobIds[0]!;
  const running = jobIds.length === 0 ? 'no job runs' : `jobs ${jobIds.join(', ')} run`;
  const ids = endedJobs.slice(-MANY).map(({ id }) => id);
  const ended = ids.length === 0 ? '' : `, ${ids.join(', ')} ended`;
  throw new WardenError('INVALID_SPEC', `${running} in ${box.handle}${ended}: name one`, {
    fields: {
      operation: 'find job',
      object: box.handle,
      advice:
        'a job that has ended is named by its id; warden inspect lists those whose result nobody has taken',
    },
  });
}
