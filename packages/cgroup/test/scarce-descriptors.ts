/** Has the reading of control files fail as it does when no descriptor is left. */
import type * as KernelFile from '../src/kernel-file.ts';

/** A test sets it; each begins with true. */
export const descriptors = { areFree: true };

/** For `vi.mock`, in the place of `kernel-file.ts`. */
export function withScarceDescriptors(real: typeof KernelFile): typeof KernelFile {
  const readControl: typeof real.readControl = (...what) => {
    if (!descriptors.areFree) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
    return real.readControl(...what);
  };
  return { ...real, readControl };
}
