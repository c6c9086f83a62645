/**
 * One daemon per name (`drivers.name`): control groups, links and rules are found by it, and whoever starts
 * removes those that belong to none of its containers. An flock(2) on a file of that name, which the kernel
 * drops when the daemon ends in whatever way. In the file stands what the daemon has taken of this host, for
 * those that start beside it.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WardenError } from '@warden/interface';
import { closeDescriptor, lockFile } from '@warden/native';
import type { OwnerLock } from './owner-lock.ts';

/** Root's own to write. Others may pass, since a socket for clients may stand there, too. */
const DIRECTORY = '/run/warden';
const SUFFIX = '.lock';
/**
 * Whoever holds it may look at the locks of others, which takes them for a moment. No daemon has a name that
 * begins with a dot.
 */
const TURN = '.turn';
/** A turn takes some milliseconds: it is held longer only by a process that has been stopped. */
const PATIENCE_MS = 10_000;

/** A name that is held. */
export interface NameLock extends OwnerLock {
  /**
   * In turn with all other daemons of this host: answers the living ones, then notes what `take` answers as
   * this daemon's. Errors: those of `take`, nothing has changed then; `UNAVAILABLE`.
   */
  note(take: (others: readonly NotedDaemon[]) => string): Promise<void>;
}

/** Another daemon that lives on this host. */
export interface NotedDaemon {
  readonly name: string;
  /** As it has noted it; empty while it starts, and of one that only cleans up. */
  readonly text: string;
}

/** Takes the lock. Errors: `ALREADY_EXISTS` naming the key to change, `UNAVAILABLE`. */
export async function lockName(name: string, directory: string = DIRECTORY): Promise<NameLock> {
  fs.mkdirSync(directory, { recursive: true, mode: 0o755 });
  const file = path.join(directory, `${name}${SUFFIX}`);
  return await inTurn(directory, () => {
    for (;;) {
      const descriptor = lockFile(file);
      if (descriptor === undefined) throw taken(name, file);
      if (isStillThere(file, descriptor)) {
        fs.ftruncateSync(descriptor); // what stands there is of a daemon that was killed
        return heldBy(descriptor, file);
      }
      closeDescriptor(descriptor); // its owner has removed it since
    }
  });
}

function isStillThere(file: string, descriptor: number): boolean {
  return fs.statSync(file, { throwIfNoEntry: false })?.ino === fs.fstatSync(descriptor).ino;
}

function heldBy(descriptor: number, file: string): NameLock {
  let held = true;
  const directory = path.dirname(file);
  return {
    note: async (take) =>
      await inTurn(directory, () => {
        const text = take(othersIn(directory, path.basename(file)));
        // in place: another inode would not be the one that is locked
        fs.ftruncateSync(descriptor);
        fs.writeSync(descriptor, text, 0);
      }),
    release: () => {
      if (!held) return;
      held = false;
      fs.rmSync(file, { force: true }); // while it is locked: nobody else can have taken it
      closeDescriptor(descriptor);
    },
  };
}

/** Whose lock can be had lives no more. In turn only. */
function othersIn(directory: string, own: string): NotedDaemon[] {
  const files = fs.readdirSync(directory).filter((file) => file.endsWith(SUFFIX) && file !== own);
  return files.flatMap((file) => {
    const at = path.join(directory, file);
    try {
      const descriptor = lockFile(at);
      if (descriptor === undefined)
        return [{ name: file.slice(0, -SUFFIX.length), text: fs.readFileSync(at, 'utf8') }];
      // a file that looking has made, since its owner went meanwhile, must not stay
      if (fs.fstatSync(descriptor).size === 0) fs.rmSync(at, { force: true });
      closeDescriptor(descriptor);
      return [];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []; // it has just ended
      throw error;
    }
  });
}

async function inTurn<T>(directory: string, action: () => T): Promise<T> {
  const file = path.join(directory, TURN);
  const deadline = Date.now() + PATIENCE_MS;
  let descriptor = lockFile(file);
  for (; descriptor === undefined; descriptor = lockFile(file)) {
    if (Date.now() > deadline)
      throw new WardenError(
        'UNAVAILABLE',
        `another wardend has been starting for ${PATIENCE_MS / 1_000} s and holds ${file}; look for one that is stopped (fuser ${file}), continue or end it`,
        { fields: { operation: 'take turn', object: file, errno: 'EAGAIN' } },
      );
    await delay(5);
  }
  try {
    return action();
  } finally {
    closeDescriptor(descriptor);
  }
}

function taken(name: string, file: string): WardenError {
  return new WardenError(
    'ALREADY_EXISTS',
    `another wardend with the name ${name} is running on this host; stop it or configure another drivers.name`,
    { fields: { operation: 'lock name', object: file, name } },
  );
}
