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
  const fields = { operation: 'find job', object: box.handle };
  if (jobIds.length + endedJobs.length === 0)
    throw new WardenError('INVALID_SPEC', `there is no job in ${box.handle}`, {
      fields: {
        ...fields,
        advice: 'start one, by warden exec -d HANDLE -- PROGRAM; a job is gone when its result was taken',
      },
    });
  const running = jobIds.length === 0 ? 'no job runs' : `jobs ${numbers(jobIds)} run`;
  const ended = numbers(endedJobs.slice(-MANY).map(({ id }) => id));
  const told = `${running} in ${box.handle}${ended && ` (ended: ${ended})`}: name one`;
  throw new WardenError('INVALID_SPEC', told, {
    fields: {
      ...fields,
      advice:
        'a job that has ended is named by its id; warden inspect lists those whose result nobody has taken',
    },
  });
}

/** So that no id is read as how many they are. */
function numbers(ids: readonly number[]): string {
  return ids.map((id) => `no. ${id}`).join(', ');
}
