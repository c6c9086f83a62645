/** From a prepared directory to a listening init. Whatever fails, no process of it remains. */
import { type Init, type LaunchedInit, type Logger, WardenError } from '@warden/interface';
import { connectInit } from './init.ts';
import { InitProcess } from './init-process.ts';
import { Launcher, type LauncherSpec } from './launcher.ts';

/** Hooks of the operator run in it; a hook that hangs must not hang the daemon's create for ever. */
const STAGE_TIMEOUT_MS = 120_000;
const KILL_TIMEOUT_MS = 10_000;

/** Starts the launcher and answers when init is cloned and waits. Errors: as the launcher reports them, `TIMEOUT`. */
export async function launchInit(spec: LauncherSpec, logger: Logger): Promise<LaunchedInit> {
  const launcher = new Launcher(spec, logger);
  try {
    const { pid } = await withinStage('clone', launcher.expect('cloned'));
    // the launcher, its parent, reaps it only after our word or the channel's end, so the number is init's
    return new Launched(spec.directory, launcher, new InitProcess(pid));
  } catch (error) {
    await launcher.end();
    throw error;
  }
}

class Launched implements LaunchedInit {
  readonly #directory: string;
  readonly #launcher: Launcher;
  readonly #process: InitProcess;
  #proceeding: Promise<Init> | undefined;
  #init: Init | undefined;
  #aborting: Promise<void> | undefined;

  constructor(directory: string, launcher: Launcher, process: InitProcess) {
    this.#directory = directory;
    this.#launcher = launcher;
    this.#process = process;
  }

  get pid(): number {
    return this.#process.pid;
  }

  proceed(): Promise<Init> {
    this.#proceeding ??= this.#proceed();
    return this.#proceeding;
  }

  abort(): Promise<void> {
    this.#aborting ??= this.#abort();
    return this.#aborting;
  }

  async #proceed(): Promise<Init> {
    try {
      this.#launcher.go();
      await withinStage('proceed', this.#launcher.expect('ready'));
      const init = await connectInit(this.#directory);
      if (init === undefined) throw deadAfterReady(this.#directory);
      if (init.pid !== this.pid) {
        init.disconnect();
        throw new WardenError(
          'NATIVE_FAILED',
          `process ${init.pid} listens in the place of init ${this.pid}`,
          {
            fields: { operation: 'connect', object: `${this.#directory}/run/wshd.sock`, errno: 'EPERM' },
          },
        );
      }
      await this.#launcher.end();
      this.#init = init;
      this.#process.release();
      return init;
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  async #abort(): Promise<void> {
    if (this.#init !== undefined) {
      await this.#init.kill(KILL_TIMEOUT_MS);
      return;
    }
    // init first: while its parent lives, its end is collected by that
    await this.#process.kill(KILL_TIMEOUT_MS).finally(() => this.#launcher.end());
  }
}

function deadAfterReady(directory: string): WardenError {
  return new WardenError('NATIVE_FAILED', 'init died right after it was ready', {
    fields: { operation: 'connect', object: `${directory}/run/wshd.sock`, errno: 'ECONNREFUSED' },
  });
}

async function withinStage<T>(stage: string, step: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new WardenError('TIMEOUT', `init did not get through ${stage} within ${STAGE_TIMEOUT_MS} ms`, {
          fields: { operation: 'launch', stage, timeoutMs: STAGE_TIMEOUT_MS },
        }),
      );
    }, STAGE_TIMEOUT_MS);
  });
  try {
    return await Promise.race([step, limit]);
  } finally {
    clearTimeout(timer);
  }
}
