/**
 * The shell of the base in memory that is no container's.
 *
 * The kernel charges each page of a file to the memory group of whoever reads it first, and counts there
 * whenever it is mapped. Left to themselves, the pages of the shell, with which every job begins, come to
 * belong to hundreds of containers that are gone, one here and one there: each start of a shell then goes
 * through the counters of all of them, and where a container's memory is taken back, as on v1 in the end, the
 * next one reads its part from the disk again. So the daemon reads the shell itself, and what the shell
 * loads, soon after its start and again from time to time, since memory that others need is taken from these
 * files as well, and comes back to whoever starts the next job.
 */
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Logger } from '@warden/interface';
import { closeDescriptor, openInside, rereadFile } from '@warden/native';
import { neededFiles } from './elf.ts';

const SHELL = '/bin/bash';
/** A shell is some megabytes. What is larger is none, and not for us to keep in memory. */
const MOST_BYTES = 16 * 1024 * 1024;
/** Behind the first answers. */
const FIRST_MS = 1_000;
const AGAIN_MS = 60 * 60 * 1_000;

const TRIPLETS: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: 'x86_64-linux-gnu',
  arm64: 'aarch64-linux-gnu',
};

const readFile = promisify(fs.readFile);

/** Begins, and goes on until the answer is called. `root` is asked each time. Never fails. */
export function keepShellInMemory(root: () => string, logger: Logger): () => void {
  const read = (): void => {
    rereadShell(root()).then(
      (files) => logger.debug?.('shell-read', { root: root(), files }),
      (error: unknown) => logger.debug?.('shell-not-read', { root: root(), error }),
    );
  };
  const first = setTimeout(read, FIRST_MS).unref();
  const others = setInterval(read, AGAIN_MS).unref();
  return () => {
    clearTimeout(first);
    clearInterval(others);
  };
}

/** Answers what was read. Errors: `NATIVE_FAILED`, as for a root that is not there. */
export async function rereadShell(root: string): Promise<readonly string[]> {
  let needed: readonly (readonly string[])[] = [];
  const done: string[] = [];
  await withFile(root, [SHELL], async (descriptor) => {
    await rereadFile(descriptor);
    done.push(SHELL);
    const { interpreter, libraries } = neededFiles(await readFile(descriptor));
    needed = [...(interpreter === undefined ? [] : [[interpreter]]), ...libraries.map(placesOf)];
  });
  for (const places of needed) {
    await withFile(root, places, async (descriptor, name) => {
      await rereadFile(descriptor);
      done.push(name);
    });
  }
  return done;
}

/** Where a dynamic linker would look without a configuration of its own. */
function placesOf(library: string): readonly string[] {
  if (library.startsWith('/')) return [library];
  if (library.includes('/')) return [];
  const triplet = TRIPLETS[process.arch];
  const directories = ['/lib', '/usr/lib', '/lib64', '/usr/lib64'];
  if (triplet !== undefined) directories.unshift(`/lib/${triplet}`, `/usr/lib/${triplet}`);
  return directories.map((directory) => path.join(directory, library));
}

/** The first of `places` that is there. */
async function withFile(
  root: string,
  places: readonly string[],
  action: (descriptor: number, name: string) => Promise<void>,
): Promise<void> {
  for (const name of places) {
    const descriptor = openInside(root, name);
    if (descriptor === undefined) continue;
    try {
      if (fs.fstatSync(descriptor).size <= MOST_BYTES) await action(descriptor, name);
      return;
    } finally {
      closeDescriptor(descriptor);
    }
  }
}
