/**
 * A copy: the outside role as a process of the host, the inside role in the container or, where there is no
 * container to speak of, below a directory. Both belong to the daemon and end with it; the data never pass
 * through Node.
 */
import type { CopySpec, Failpoints, RunningCopy } from '@warden/interface';
import { closeDescriptor, makeSocketPair, spawnProcess } from '@warden/native';
import type { CopyProgram } from './copy-program.ts';
import { abortedError, copyError, parseCopyResult } from './copy-result.ts';
import { HelperProcess } from './helper-process.ts';
import { InsideHelper } from './inside-helper.ts';

const RESULT_FD = 3;
const OUTSIDE_SOCKET_FD = 4;
const PROGRAM_NAME = 'warden-copy';

/** What every copy takes. */
export interface CopyMeans {
  readonly program: CopyProgram;
  readonly failpoints: Failpoints;
}

/** The side that runs where the container's files are. */
interface Inside {
  /** What it left on its standard error. */
  complaint(): string;
  /** Ends it if it has not ended, and waits, not for ever. */
  end(): Promise<void>;
}

/**
 * Copies to or from the container whose init listens at `socketPath`. Errors: `NATIVE_FAILED`, `UNAVAILABLE`,
 * `TIMEOUT`.
 */
export function startCopy(spec: CopySpec, means: CopyMeans, socketPath: string): Promise<RunningCopy> {
  const argv = [PROGRAM_NAME, 'inside', spec.direction, spec.containerPath];
  return start(spec, means, (socket) =>
    InsideHelper.start({
      socketPath,
      argv,
      user: spec.user,
      socket,
      openProgram: () => means.program.open(),
    }),
  );
}

/**
 * Copies to or from the directory `root`, which acts as `/` and whose files belong to the daemon's user.
 * Errors: `NATIVE_FAILED`.
 */
export function startPlainCopy(spec: CopySpec, root: string, means: CopyMeans): Promise<RunningCopy> {
  const argv = [PROGRAM_NAME, 'inside', spec.direction, spec.containerPath, root];
  const { program } = means;
  return start(spec, means, async (socket) => {
    try {
      const helper = new HelperProcess(
        spawnProcess({ path: program.path, argv, environment: {}, cwd: '/', descriptors: [[socket, 0]] }),
      );
      return { complaint: () => '', end: () => helper.end() };
    } finally {
      closeDescriptor(socket);
    }
  });
}

/** `startInside` owns the socket. */
async function start(
  spec: CopySpec,
  { program, failpoints }: CopyMeans,
  startInside: (socket: number) => Promise<Inside>,
): Promise<RunningCopy> {
  const [ours, theirs] = makeSocketPair('stream');
  let inside: Inside | undefined;
  let outside: HelperProcess | undefined;
  try {
    inside = await startInside(theirs);
    await failpoints.pass('copy.inside');
    outside = startOutside(spec, program, ours);
    await failpoints.pass('copy.outside');
    return watchCopy(spec, outside, inside);
  } catch (error) {
    outside?.terminate();
    await outside?.end();
    await inside?.end();
    throw error;
  } finally {
    closeDescriptor(ours);
  }
}

function startOutside(spec: CopySpec, program: CopyProgram, socket: number): HelperProcess {
  const [ours, theirs] = makeSocketPair('seqpacket');
  try {
    const pid = spawnProcess({
      path: program.path,
      argv: [PROGRAM_NAME, 'outside', spec.direction, spec.hostPath, spec.owner, ...spec.forbidden],
      environment: {},
      cwd: process.cwd(),
      descriptors: [
        [theirs, RESULT_FD],
        [socket, OUTSIDE_SOCKET_FD],
      ],
      newSession: true,
    });
    return new HelperProcess(pid, ours);
  } catch (error) {
    closeDescriptor(ours);
    throw error;
  } finally {
    closeDescriptor(theirs);
  }
}

function watchCopy(spec: CopySpec, outside: HelperProcess, inside: Inside): RunningCopy {
  let isAborted = false;
  let giveUp = (): void => {};
  // one that hangs in a file system of the host keeps its end of the channel, and never says a word
  const givenUp = new Promise<undefined>((resolve) => {
    giveUp = () =>
      void outside
        .end()
        .catch(() => {}) // `run` tells it
        .then(() => resolve(undefined));
  });
  const run = async (): Promise<void> => {
    const result = parseCopyResult(await Promise.race([outside.result, givenUp]));
    await Promise.all([outside.end(), inside.end()]);
    if (result.ok) return;
    throw isAborted ? abortedError(spec) : copyError(spec, result, inside.complaint());
  };
  const ended = run();
  ended.catch(() => {}); // whoever is interested awaits it
  return {
    ended,
    abort: () => {
      isAborted = true;
      outside.terminate();
      giveUp(); // it is killed a moment later
    },
  };
}
