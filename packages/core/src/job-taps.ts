/** Chooses who listens to a job's output: sockets for other programs, syslog. */
import type { Engine } from './engine.ts';
import type { KnownOutput } from './job.ts';
import { JobLog, partialLine } from './job-log.ts';
import { JobSockets, readCursors } from './job-sockets.ts';
import type { OnPressure, OutputTap } from './output-tap.ts';
import type { JobNote } from './record.ts';
import type { PerStream } from './stream-name.ts';

/** The job as it concerns its listeners. */
export interface TappedJob {
  readonly directory: string;
  readonly note: JobNote;
  readonly isDiscarded: boolean;
}

/** Makes them. `known`: output of an earlier daemon's time. */
export function makeTaps(
  { options, logger }: Engine,
  { directory, note, isDiscarded }: TappedJob,
  from: {
    readonly known: PerStream<KnownOutput>;
    readonly onPressure: (who: object) => OnPressure;
  },
): readonly OutputTap[] {
  const taps: OutputTap[] = [];
  const { known } = from;
  if (note.hasSockets && options.jobSockets) {
    // of discarded output the positions are known, nothing else
    const before = isDiscarded ? readCursors(directory) : { stdout: 0, stderr: 0 };
    taps.push(
      new JobSockets({
        directory,
        mode: options.jobSockets.mode,
        logger,
        onPressure: from.onPressure({}),
        known: {
          stdout: { before: before.stdout + known.stdout.lost, content: known.stdout.content },
          stderr: { before: before.stderr + known.stderr.lost, content: known.stderr.content },
        },
        isDiscarded,
      }),
    );
  }
  if (note.logTag !== undefined) {
    if (options.syslog) {
      const partial = {
        stdout: partialLine(known.stdout.content),
        stderr: partialLine(known.stderr.content),
      };
      taps.push(new JobLog(options.syslog, note.logTag, { onPressure: from.onPressure({}), partial }));
    } else {
      logger.warn('log-tag-ignored', { logTag: note.logTag });
    }
  }
  return taps;
}
