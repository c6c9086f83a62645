/**
 * Looks at paths that clients name. A file system that does not answer (a network's, FUSE's) holds whoever
 * looks in the kernel: not the event loop, on which everybody waits, but one of the few threads that libuv
 * has for files, and so not more than some at a time.
 */
import fs from 'node:fs';
import { WardenError } from '@warden/interface';

/** Half of libuv's threads (`UV_THREADPOOL_SIZE` is 4). */
const MOST_AT_A_TIME = 2;
const ANSWER_MS = 10_000;

/**
 * What is at the operator's own `path`, which is looked at at once. Answers and errors: as
 * {@link PathLooks.look}, without its time limit.
 */
export function lookNow(path: string): fs.Stats | undefined {
  try {
    return fs.statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    return nothingThere(error);
  }
}

/** Throws where it is the disk that cannot tell. */
function nothingThere(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EIO' || code === 'ENOMEM') throw error;
}

/** See the file's head. */
export class PathLooks {
  readonly #stat: (path: string | Buffer) => Promise<fs.Stats>;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(stat: (path: string | Buffer) => Promise<fs.Stats> = fs.promises.stat) {
    this.#stat = stat;
  }

  /**
   * What is there; `undefined`: nothing, or no path at all (it holds a zero, is too long, leads in a circle).
   * Errors: `TIMEOUT` when it is not known within ten seconds; where the disk cannot tell, its own.
   */
  look(path: string | Buffer): Promise<fs.Stats | undefined> {
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        reject(silence(String(path)));
      }, ANSWER_MS);
      const begin = (): void => {
        if (isLate) this.#next();
        else {
          this.#stat(path)
            .catch(nothingThere)
            .then(resolve, reject)
            .finally(() => {
              clearTimeout(timer);
              this.#next();
            });
        }
      };
      if (this.#running === MOST_AT_A_TIME) this.#waiting.push(begin);
      else {
        this.#running++;
        begin();
      }
    });
  }

  /** One has ended: its place is the next one's. */
  #next(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}

function silence(object: string): WardenError {
  return new WardenError(
    'TIMEOUT',
    `${object}: its file system, or that of a path asked for before, does not answer`,
    {
      fields: {
        operation: 'create',
        object,
        errno: 'ETIMEDOUT',
        advice: 'see what holds it: a server of NFS that has gone, a program behind FUSE',
      },
    },
  );
}
