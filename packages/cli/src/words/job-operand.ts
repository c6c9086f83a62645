/** The operand JOB: an id, or the only job that runs. */
import type { ClientContainer } from '@warden/client';
import { WardenError } from '@warden/interface';
import { parseWhole } from '../human/units.ts';

/** Errors: `INVALID_SPEC` when none is named and there is not just one. */
export async function findJobId(box: ClientContainer, text: string | undefined): Promise<number> {
  if (text !== undefined) return parseWhole(text, 'JOB', [1, 2 ** 32 - 1]);
  const { jobIds } = await box.info();
  if (jobIds.length === 1) return jobIds[0]!;
  const found = jobIds.length === 0 ? 'no job runs' : `jobs ${jobIds.join(', ')} run`;
  throw new WardenError('INVALID_SPEC', `${found} in ${box.handle}: name one`, {
    fields: {
      operation: 'find job',
      object: box.handle,
      advice: 'a job that has ended is named by its id, which --detach has shown',
    },
  });
}
