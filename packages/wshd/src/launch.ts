/** From a prepared directory to a listening init. Whatever fails, no process of it remains. */
import { writeFileSync } from 'node:fs';
import {
  type Failpoints,
  type Init,
  isWardenError,
  type LaunchedInit,
  type Logger,
  NO_FAILPOINTS,
  WardenError,
} from '@warden/interface';
import { fileFailure } from './container-directory.ts';
import { WSHD_PREFIX } from './failpoints.ts';
import { type ContainerKind, connectInit } from './init.ts';
import { InitProcess } from './init-process.ts';
import { Launcher, type LauncherSpec } from './launcher.ts';
import { within } from './within.ts';

/**
 * What init itself may take for a stage; its hooks, at most three in one, have limits of their own, which
 * init enforces.
 */
const STAGE_TIMEOUT_MS = 60_000;
const HOOKS_PER_STAGE = 3;
const KILL_TIMEOUT_MS = 10_000;
/** A launcher whose init has died says so at once. */
const REPORT_TIMEOUT_MS = 2_000;
/** In the launcher's environment only; neither a hook nor anything in the container sees it. */
const WSHD_VARIABLE = 'WSHD_FAILPOINT';

/** What to start, and what kind of container that is. */
export interface LaunchSpec extends LauncherSpec {
  readonly kind: ContainerKind;
  readonly failpoints?: Failpoints;
}

/**
 * Starts a launcher that looks at nothing of the directory until it is told to: between start and
 * `launchInit` passes what exec(2) takes. It is the caller's to `end`. Errors: `NATIVE_FAILED`.
 */
export function startEarly(spec: LaunchSpec, logger: Logger): Promise<Launcher> {
  return start({ ...spec, options: [...spec.options, '--early'] }, logger);
}

function start(spec: LaunchSpec, logger: Logger): Promise<Launcher> {
  const own = (spec.failpoints ?? NO_FAILPOINTS).forProgram(WSHD_PREFIX);
  const environment = { ...spec.environment, ...(own === undefined ? {} : { [WSHD_VARIABLE]: own }) };
  return Launcher.start({ ...spec, environment }, logger);
}

/**
 * Starts the launcher, or takes over the one that was started early for this directory, and answers when init
 * is cloned and waits. Errors: as the launcher reports them, `TIMEOUT`.
 */
export async function launchInit(
  spec: LaunchSpec,
  logger: Logger,
  early?: Promise<Launcher>,
): Promise<LaunchedInit> {
  const { failpoints = NO_FAILPOINTS } = spec;
  const launcher = await (early ?? start(spec, logger));
  try {
    await failpoints.pass('init.start');
    if (early !== undefined) launcher.prepared();
    const { pid } = await withinStage('clone', spec.hookTimeout, launcher.expect('cloned'));
    await failpoints.pass('init.cloned');
    // for operators and old tools; nobody here trusts a number from a file
    writePid(`${spec.directory}/run/wshd.pid`, pid);
    await failpoints.pass('init.pid-file');
    // the launcher, its parent, reaps it only after our word or the channel's end, so the number is init's
    return new Launched(spec, launcher, new InitProcess(pid, spec.kind.end), logger);
  } catch (error) {
    const reason = await reportedReason(launcher, error);
    await launcher.end();
    throw reason;
  }
}

function writePid(file: string, pid: number): void {
  try {
    writeFileSync(file, `${pid}\n`);
  } catch (error) {
    throw fileFailure(error, file);
  }
}

/**
 * Between its report and our look, init may have died: then what the launcher says of it is worth more than
 * that it is not there.
 */
async function reportedReason(launcher: Launcher, error: unknown): Promise<unknown> {
  if (!isWardenError(error) || error.fields.errno !== 'ESRCH') return error;
  return (await reported(launcher)) ?? error;
}

/** What the launcher reports of an init that has died, within a moment. It looks only when it is told to go on. */
async function reported(launcher: Launcher): Promise<unknown> {
  launcher.go();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), REPORT_TIMEOUT_MS);
  });
  const failure = launcher.expect('ready').then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const reason = await Promise.race([failure, late]);
  clearTimeout(timer);
  return reason;
}

class Launched implements LaunchedInit {
  readonly #directory: string;
  readonly #hookTimeout: number;
  readonly #launcher: Launcher;
  readonly #process: InitProcess;
  readonly #kind: ContainerKind;
  readonly #logger: Logger;
  readonly #failpoints: Failpoints;
  #proceeding: Promise<Init> | undefined;
  #init: Init | undefined;
  #aborting: Promise<void> | undefined;

  constructor(spec: LaunchSpec, launcher: Launcher, process: InitProcess, logger: Logger) {
    this.#directory = spec.directory;
    this.#hookTimeout = spec.hookTimeout;
    this.#kind = spec.kind;
    this.#failpoints = spec.failpoints ?? NO_FAILPOINTS;
    this.#launcher = launcher;
    this.#process = process;
    this.#logger = logger;
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

  async whyDead(): Promise<unknown> {
    return (await this.#process.hasEnded(REPORT_TIMEOUT_MS)) ? reported(this.#launcher) : undefined;
  }

  async #proceed(): Promise<Init> {
    try {
      this.#launcher.go();
      await this.#failpoints.pass('init.go');
      await withinStage('proceed', this.#hookTimeout, this.#launcher.expect('ready'));
      await this.#failpoints.pass('init.ready');
      const init = await connectInit(this.#directory, this.#kind);
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
      this.#init = init;
      this.#process.release();
      // init has answered, so the launcher has said its last word: nobody has to wait for its exit
      this.#launcher.end().catch((error: unknown) => this.#logger.error('launcher-end-failed', { error }));
      await this.#failpoints.pass('init.connected');
      return init;
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  async #abort(): Promise<void> {
    if (this.#init !== undefined) {
      await this.#init.kill(KILL_TIMEOUT_MS).finally(() => this.#launcher.end());
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

function withinStage<T>(stage: string, hookTimeout: number, step: Promise<T>): Promise<T> {
  const timeoutMs = STAGE_TIMEOUT_MS + HOOKS_PER_STAGE * hookTimeout * 1_000;
  return within(timeoutMs, step, () => {
    const text = `init did not get through ${stage} within ${timeoutMs} ms`;
    return new WardenError('TIMEOUT', text, { fields: { operation: 'launch', stage, timeoutMs } });
  });
}
