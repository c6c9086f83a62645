/** Memory limits below what a group holds already. */
import { WardenError } from '@warden/interface';

const ADVICE =
  'what the container holds cannot be made less than that: set a higher limit (info tells its usage), or end jobs and remove files of /dev/shm and tmpfs first';

/**
 * The kernel, or a look at what it would have to kill for, refuses the limit; nothing has changed. `used`:
 * bytes that stay; `undefined`: not known.
 */
export function limitTooSmall(
  group: string,
  bytes: bigint,
  { used, cause }: { readonly used: bigint | undefined; readonly cause?: unknown },
): WardenError {
  const usage = used === undefined ? 'more is in use' : `${used} are in use`;
  return new WardenError(
    'NATIVE_FAILED',
    `Failed setting memory limit: ${group}: EBUSY: ${bytes} bytes are too few for what is there already, ${usage}`,
    {
      cause,
      fields: {
        operation: 'set memory limit',
        object: group,
        errno: 'EBUSY',
        limit: String(bytes),
        ...(used !== undefined && { used: String(used) }),
        advice: ADVICE,
      },
    },
  );
}
