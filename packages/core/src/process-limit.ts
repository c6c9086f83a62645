/** What is refused for want of a process says so by the limit, with what can be done. */
import { isWardenError, toWardenError, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';

/**
 * The error to tell of a start inside that failed: its reason behind the original's `words`, and what it was
 * for.
 */
export async function refusal(
  engine: Engine,
  container: ManagedContainer,
  failure: unknown,
  { words, operation }: { readonly words: string; readonly operation: string },
): Promise<WardenError> {
  const cause = await explained(engine, container, failure);
  const { code, message, fields } = toWardenError(cause);
  return new WardenError(code, `${words}: ${message}`, {
    cause,
    fields: { ...fields, operation, handle: container.handle },
  });
}

/**
 * The failure as `POOL_EXHAUSTED` of the pool `processes` when that is why; else as it is. In a full container
 * a few are started all the same, from init's reserve: this is when that is used up too.
 */
async function explained(
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
