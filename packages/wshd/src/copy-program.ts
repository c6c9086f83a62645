/** `warden-copy` as a program of the host, and as one that is nowhere in a container and still runs there. */
import { fchmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { closeDescriptor, makeSealedMemfd } from '@warden/native';
import { binariesDirectory, COPY_PROGRAM } from './skeleton.ts';

export class CopyProgram {
  readonly #directory: string | undefined;
  #content: Buffer | undefined;

  /** `directory`: see {@link binariesDirectory}. */
  constructor(directory?: string) {
    this.#directory = directory;
  }

  get path(): string {
    return join(binariesDirectory(this.#directory), COPY_PROGRAM);
  }

  /**
   * A new descriptor that can be executed by anybody, read by nobody but root and changed by no one. What
   * cannot be read the kernel does not let be looked at while it runs, from its first instruction on.
   */
  open(): number {
    this.#content ??= readFileSync(this.path);
    const fd = makeSealedMemfd(COPY_PROGRAM, this.#content);
    try {
      fchmodSync(fd, 0o111);
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
    return fd;
  }
}
