/** What is refused for want of a process says so by the limit, with what can be done. */
import { isWardenError, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';

/**
 * The failure of a start inside, as `POOL_EXHAUSTED` of the pool `processes` when that is why; else as it is.
 * In a full container a few are started all the same, from init's reserve: this is when that is used up too.
 */
export async function explainRefusal(
  { drivers }: Engine,
  { record }: ManagedContainer,
  failure: unknown,
): Promise<unknown> {
  if (!isWardenError(failure) || failure.fields.errno !== 'EAGAIN') return failure;
  const count = await drivers.cgroup.processCount?.(record.drivers.cgroup).catch(() => undefined);
  if (count?.limit === undefined || count.used < count.limit) return failure;
  const { used, limit } = count;
  return new WardenError(
    'POOL_EXHAUSTED',
    `the container has all the processes it may have (${used} of ${limit}): kill or stop some of them, or raise drivers.pids_limit`,
    { cause: failure, fields: { ...failure.fields, pool: 'processes', used, limit } },
  );
}
