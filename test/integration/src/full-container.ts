/** Containers that have all the processes they may have. */
import type { ClientContainer } from '@warden/client';
import { until } from './until.ts';

type Job = Awaited<ReturnType<ClientContainer['spawn']>>;

/**
 * Starts jobs that stay until one is refused, in a container that somebody inside fills: until the reserve,
 * from which each job and each copy takes a process, is used up too.
 */
export async function startUntilRefused(
  box: ClientContainer,
): Promise<{ readonly started: readonly Job[]; readonly refusal: unknown }> {
  const started: Job[] = [];
  let refusal: unknown;
  await until(async () => {
    await box.spawn('exec sleep 1000').then(
      (job) => started.push(job),
      (error: unknown) => {
        refusal = error;
      },
    );
    return refusal !== undefined;
  });
  return { started, refusal };
}
