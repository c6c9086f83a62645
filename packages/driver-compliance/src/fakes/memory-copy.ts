/**
 * Copies of the fake init: a container's root is the directory `inside` of its own. Only files and trees,
 * which is all the kit copies.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type CopySpec, type RunningCopy, WardenError } from '@warden/interface';

/** Starts a copy that `gone` ends. */
export function memoryCopy(spec: CopySpec, directory: string, gone: Promise<void>): RunningCopy {
  let isAborted = false;
  let abort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => {
      isAborted = true;
      reject(failure('ABORTED', spec, 'the copy was ended', 'ECANCELED'));
    };
  });
  void gone.then(abort);
  // a process never ends before its parent has returned from starting it
  const done = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
    if (!isAborted) perform(spec, directory);
  });
  const ended = Promise.race([done, aborted]);
  for (const promise of [done, aborted, ended]) promise.catch(() => {});
  return { ended, abort: () => abort() };
}

function perform(spec: CopySpec, directory: string): void {
  const inside = path.join(directory, 'inside', path.resolve('/', spec.containerPath));
  fs.mkdirSync(path.join(directory, 'inside/tmp'), { recursive: true });
  const [from, to] = spec.direction === 'in' ? [spec.hostPath, inside] : [inside, spec.hostPath];
  const source = spec.direction === 'in' ? spec.hostPath : spec.containerPath;
  if (!fs.existsSync(from)) throw failure('INVALID_SPEC', spec, `open source ${source}`, 'ENOENT');
  const isInto = !source.endsWith('/') && fs.statSync(to, { throwIfNoEntry: false })?.isDirectory() === true;
  fs.cpSync(from, isInto ? path.join(to, path.basename(source)) : to, { recursive: true });
}

function failure(code: 'ABORTED' | 'INVALID_SPEC', spec: CopySpec, text: string, errno: string): WardenError {
  return new WardenError(code, `command exited with failure: ${text}: ${errno}`, {
    fields: { operation: `copy ${spec.direction}`, object: spec.hostPath, errno, failures: 1 },
  });
}
