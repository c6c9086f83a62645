/** Faults of init drivers. */
import fs from 'node:fs';
import path from 'node:path';
import type { ByteSource, Init, InitDriver, InitJob, LaunchedInit } from '@warden/interface';
import { type Fault, overlaid } from './fault.ts';

/** Members of every connection. */
function eachInit(driver: InitDriver, members: (init: Init) => Partial<Init>): Partial<InitDriver> {
  const spoil = (init: Init): Init => overlaid(init, members(init));
  return {
    launch: async (spec) => {
      const launched = await driver.launch(spec);
      return overlaid<LaunchedInit>(launched, { proceed: async () => spoil(await launched.proceed()) });
    },
    connect: async (directory) => {
      const init = await driver.connect(directory);
      return init && spoil(init);
    },
  };
}

/** Members of every job, spawned or handed over. */
function eachJob(driver: InitDriver, members: (job: InitJob) => Partial<InitJob>): Partial<InitDriver> {
  const spoil = (job: InitJob): InitJob => overlaid(job, members(job));
  return eachInit(driver, (init) => ({
    spawn: async (spec) => spoil(await init.spawn(spec)),
    recoveredJobs: init.recoveredJobs.map(spoil),
  }));
}

function eachChunk(source: ByteSource, change: (chunk: Buffer) => Buffer): ByteSource {
  return overlaid<ByteSource>(source, {
    start: (onChunk, onEnd, skipKept) => source.start((chunk) => onChunk(change(chunk)), onEnd, skipKept),
  });
}

function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Each is caught by the kit for init drivers. */
export const INIT_FAULTS: readonly Fault<'init'>[] = [
  {
    name: 'the probe starts something',
    members: (driver, { spec }) => ({
      probe: async () => {
        const one = spec();
        await driver.prepare(one);
        await (await driver.launch(one)).proceed();
        return driver.probe();
      },
    }),
  },
  {
    name: 'prepare fails the second time',
    members: (driver) => ({
      prepare: async (spec) => {
        if (fs.existsSync(path.join(spec.directory, 'etc'))) throw new Error('it is there');
        await driver.prepare(spec);
      },
    }),
  },
  {
    name: 'prepare writes no configuration',
    members: (driver) => ({ prepare: (spec) => driver.prepare({ ...spec, config: [] }) }),
  },
  {
    name: 'what cannot start fails with an error of another kind',
    members: (driver) => ({
      launch: async (spec) => {
        const launched = await driver.launch(spec);
        return overlaid<LaunchedInit>(launched, {
          proceed: () =>
            launched.proceed().catch(() => {
              throw new Error('it did not work');
            }),
        });
      },
    }),
  },
  {
    name: 'what cannot start is left alive',
    members: (driver) => ({
      launch: async (spec) => {
        const launched = await driver.launch(spec);
        return overlaid<LaunchedInit>(launched, {
          proceed: () =>
            launched.proceed().catch(async (error: unknown) => {
              const whole = { ...spec, hostname: 'box' };
              await (await driver.launch(whole)).proceed();
              throw error;
            }),
        });
      },
    }),
  },
  {
    name: 'what was begun and given up lives on',
    isOfOptional: true,
    members: (driver) => ({
      begin: (spec) => {
        driver.begin?.(spec);
        return async () => {};
      },
    }),
  },
  {
    name: 'abort does not end it',
    members: (driver) => ({
      launch: async (spec) => {
        const launched = await driver.launch(spec);
        return overlaid<LaunchedInit>(launched, {
          abort: async () => {
            await launched.proceed().catch(() => {});
          },
        });
      },
    }),
  },
  {
    name: 'kill kills nobody',
    members: (driver) => eachInit(driver, (init) => ({ kill: async () => init.disconnect() })),
  },
  {
    name: 'an exit status is lost',
    members: (driver) =>
      eachJob(driver, (job) => ({ exited: quiet(job.exited.then(() => ({ exitCode: 0 }))) })),
  },
  {
    name: 'a signal is told as an exit status',
    members: (driver) =>
      eachJob(driver, (job) => ({
        exited: quiet(
          job.exited.then(({ exitCode, signal }) => ({ exitCode: exitCode ?? 128 + (signal ?? 0) })),
        ),
      })),
  },
  {
    name: 'standard error comes as standard output',
    members: (driver) => eachJob(driver, (job) => ({ stdout: job.stderr, stderr: job.stdout })),
  },
  {
    name: 'output is text, not bytes',
    members: (driver) =>
      eachJob(driver, (job) => ({
        stdout: eachChunk(job.stdout, (chunk) => Buffer.from(chunk.toString('utf8'))),
      })),
  },
  {
    name: 'a chunk is cut at a page',
    members: (driver) =>
      eachJob(driver, (job) => ({ stdout: eachChunk(job.stdout, (chunk) => chunk.subarray(0, 4096)) })),
  },
  {
    name: 'input is cut at 64 KiB',
    members: (driver) =>
      eachInit(driver, (init) => ({
        spawn: (spec) => init.spawn({ ...spec, stdin: spec.stdin.subarray(0, 65_536) }),
      })),
  },
  {
    name: 'a signal to one goes to all',
    members: (driver) => eachInit(driver, (init) => ({ signalJob: (_id, signal) => init.signalAll(signal) })),
  },
  {
    name: 'a signal to all goes to nobody',
    members: (driver) => eachInit(driver, () => ({ signalAll: async () => {} })),
  },
  {
    name: 'a signal to all ends init',
    members: (driver) => eachInit(driver, (init) => ({ signalAll: () => init.kill() })),
  },
  {
    name: 'it says too early that it is empty',
    members: (driver) => eachInit(driver, () => ({ waitEmpty: async () => true })),
  },
  {
    name: 'it never says that it is empty',
    members: (driver) => eachInit(driver, () => ({ waitEmpty: async () => false })),
  },
  { name: 'jobs are not handed over', members: (driver) => eachInit(driver, () => ({ recoveredJobs: [] })) },
  { name: 'nobody is found again', members: () => ({ connect: async () => undefined }) },
  {
    name: 'output kept for the next daemon is dropped when it comes',
    members: (driver) => ({
      connect: async (directory) => {
        const init = await driver.connect(directory);
        init?.acknowledge();
        return init;
      },
    }),
  },
  {
    name: 'kept output is never dropped',
    members: (driver) => eachInit(driver, () => ({ acknowledge: () => {} })),
  },
  {
    name: 'ended jobs are never forgotten',
    members: (driver) => eachInit(driver, () => ({ forget: () => {} })),
  },
  {
    name: 'output to be discarded is delivered',
    members: (driver) =>
      eachInit(driver, (init) => ({
        spawn: async (spec) =>
          overlaid<InitJob>(await init.spawn({ ...spec, discardOutput: false }), { discardOutput: true }),
      })),
  },
  {
    name: 'output is not put into the file',
    members: (driver) =>
      eachJob(driver, (job) => ({ stdout: overlaid<ByteSource>(job.stdout, { keepIn: () => {} }) })),
  },
  {
    name: 'who waits for a job never hears of a lost connection',
    members: (driver) => eachJob(driver, (job) => ({ exited: job.exited.catch(() => ({ exitCode: 0 })) })),
  },
  {
    name: 'what is asked after the end waits for ever',
    members: (driver) =>
      eachInit(driver, (init) => ({ spawn: (spec) => init.spawn(spec).catch(() => new Promise(() => {})) })),
  },
  {
    name: 'a copy that failed says nothing',
    members: (driver) =>
      eachInit(driver, (init) => ({
        copy: async (spec) => {
          const copy = await init.copy(spec);
          return overlaid(copy, { ended: copy.ended.catch(() => {}) });
        },
      })),
  },
  {
    name: 'copies lose their modes',
    members: (driver) =>
      eachInit(driver, (init) => ({
        copy: async (spec) => {
          const copy = await init.copy(spec);
          const then = async (): Promise<void> => {
            await copy.ended;
            const file = path.join(spec.hostPath, 'sub/file');
            if (spec.direction === 'out' && fs.existsSync(file)) fs.chmodSync(file, 0o600);
          };
          return overlaid(copy, { ended: quiet(then()) });
        },
      })),
  },
  {
    name: 'the init of an incomplete directory is left alive',
    members: (driver) => ({
      connect: async (directory) =>
        fs.existsSync(path.join(directory, 'etc/config')) ? driver.connect(directory) : undefined,
    }),
  },
];
