/**
 * The init driver without isolation (spec behaviour.md 16): the same program, as plain processes of whoever
 * runs the daemon.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  DriverComponents,
  DriverFactory,
  Failpoints,
  Init,
  InitDriver,
  InitSpec,
  JobSpec,
  LaunchedInit,
  Logger,
  ProbeResult,
} from '@warden/interface';
import { NO_FAILPOINTS } from '@warden/interface';
import { fileFailure, makeDirectory } from './container-directory.ts';
import { type CopyMeans, startPlainCopy } from './copy.ts';
import { CopyProgram } from './copy-program.ts';
import { openPlainFiles } from './files.ts';
import { type ContainerKind, connectInit } from './init.ts';
import { KEEPER_END } from './init-process.ts';
import { launchInit } from './launch.ts';
import {
  binariesDirectory,
  checkBinaries,
  linkSkeleton,
  type StagedFile,
  stageBinaries,
} from './skeleton.ts';

/** Options of {@link insecureInit}. */
export interface InsecureInitOptions {
  /**
   * Where `wshd`, `wsh` and `warden-copy` are. Default: `WARDEN_WSHD_DIRECTORY` of the environment, else the
   * package's own build.
   */
  readonly binariesDirectory?: string;
}

const OPTIONS = ['--insecure', '--run', './run', '--root', './root'];
/** `root` is where jobs start; whoever reaches the socket in `run` may start one. */
const DIRECTORIES: readonly (readonly [name: string, mode: number])[] = [
  ['bin', 0o755],
  ['jobs', 0o755],
  ['pids', 0o755],
  ['root', 0o755],
  ['run', 0o700],
  ['tmp', 0o755],
];

/** The driver for containers that isolate nothing and need no rights. */
export function insecureInit(options: InsecureInitOptions = {}): DriverFactory<InitDriver> {
  return ({ logger, failpoints = NO_FAILPOINTS }: DriverComponents) =>
    new InsecureDriver(options, logger.child('insecure'), failpoints);
}

class InsecureDriver implements InitDriver {
  readonly role = 'init';
  readonly name = 'insecure';
  readonly supports = { isolation: false, interactive: true, files: true, live: true };
  readonly #options: InsecureInitOptions;
  readonly #logger: Logger;
  readonly #failpoints: Failpoints;
  readonly #kind: ContainerKind;
  #skeleton: readonly StagedFile[] | undefined;

  constructor(options: InsecureInitOptions, logger: Logger, failpoints: Failpoints) {
    this.#options = options;
    this.#logger = logger;
    this.#failpoints = failpoints;
    this.#kind = insecureKind({ program: new CopyProgram(options.binariesDirectory), failpoints });
  }

  async probe(): Promise<ProbeResult> {
    let directory: string | undefined;
    try {
      const binaries = binariesDirectory(this.#options.binariesDirectory);
      checkBinaries(binaries);
      directory = mkdtempSync(join(tmpdir(), 'warden-probe-'));
      prepareInsecureDirectory(directory, []);
      const launched = await this.#launch(
        { directory, id: '00000000000' },
        join(binaries, 'wshd'),
        NO_FAILPOINTS,
      );
      await (await launched.proceed()).kill();
      return { ok: true, detail: binaries };
    } catch (error) {
      return { ok: false, reason: error instanceof Error ? error.message : String(error) };
    } finally {
      if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
    }
  }

  async setup(depot: string): Promise<void> {
    this.#skeleton = stageBinaries(depot, binariesDirectory(this.#options.binariesDirectory));
  }

  async prepare(spec: InitSpec): Promise<void> {
    if (this.#skeleton === undefined) throw new TypeError('setup must be called before prepare');
    prepareInsecureDirectory(spec.directory, this.#skeleton);
  }

  launch(spec: InitSpec): Promise<LaunchedInit> {
    return this.#launch(spec, `${spec.directory}/bin/wshd`, this.#failpoints);
  }

  connect(directory: string): Promise<Init | undefined> {
    return connectInit(directory, this.#kind);
  }

  #launch(
    { directory, id }: Pick<InitSpec, 'directory' | 'id'>,
    program: string,
    failpoints: Failpoints,
  ): Promise<LaunchedInit> {
    return launchInit(
      {
        directory,
        program,
        options: OPTIONS,
        title: `wshd: ${id}`,
        environment: {},
        hookTimeout: 0,
        kind: this.#kind,
        failpoints,
      },
      this.#logger.child('init', { id }),
    );
  }
}

/** LANG comes from the daemon; what is left is what the client has asked for. */
function withoutDefaults({ LANG: _, ...others }: JobSpec['environment']): JobSpec['environment'] {
  return others;
}

function insecureKind(means: CopyMeans): ContainerKind {
  return {
    end: KEEPER_END,
    // the original sets neither environment nor limits here (spec behaviour.md 6.3)
    adapt: (spec) => ({ ...spec, environment: withoutDefaults(spec.environment), rlimits: [] }),
    // and takes the first character away, whatever it is (16 copy)
    startCopy: (spec, directory) =>
      startPlainCopy(
        { ...spec, containerPath: `/${spec.containerPath.slice(1)}` },
        `${directory}/root`,
        means,
      ),
    openFiles: (task, directory) => openPlainFiles(task, means.program, `${directory}/root`),
  };
}

function prepareInsecureDirectory(directory: string, skeleton: readonly StagedFile[]): void {
  try {
    makeDirectory(directory, 0o755);
    for (const [name, mode] of DIRECTORIES) makeDirectory(`${directory}/${name}`, mode);
    linkSkeleton(directory, skeleton);
  } catch (error) {
    throw fileFailure(error);
  }
}
