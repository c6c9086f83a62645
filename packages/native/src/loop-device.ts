import { checkPath } from './argument-checks.ts';
import { native } from './load-library.ts';
import { checked } from './native-failure.ts';

/**
 * Binds a free loop device to an image file. The device frees itself with its last user: keep `fd` open until
 * the device is mounted. Errors: `EBUSY` when other processes kept taking the free device, `ENOENT` without
 * loop support.
 */
export function attachLoopDevice(imagePath: string): { path: string; fd: number } {
  const index = new Int32Array(1);
  const fd = checked(
    native().warden_loop_attach(checkPath(imagePath, 'imagePath'), index),
    'loop-attach',
    imagePath,
  );
  return { path: `/dev/loop${index[0]}`, fd };
}

/** Makes the loop device at `path` as large as its image file has become. */
export function growLoopDevice(path: string): void {
  checked(native().warden_loop_grow(checkPath(path)), 'loop-grow', path);
}
