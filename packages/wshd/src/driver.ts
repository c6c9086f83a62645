/** The init driver: wires directory, launcher and connection together. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type DriverComponents,
  type DriverFactory,
  type Failpoints,
  type Init,
  type InitDriver,
  type InitSpec,
  type LaunchedInit,
  type Logger,
  NO_FAILPOINTS,
  type ProbeResult,
  type ReusableEntry,
  UNCONFINED,
} from '@warden/interface';
import { closeDescriptor, openReadOnly } from '@warden/native';
import { prepareDirectory, reusableSkeleton } from './container-directory.ts';
import { startCopy } from './copy.ts';
import { CopyProgram } from './copy-program.ts';
import { openFiles } from './files.ts';
import { findHookShell } from './hook-shell.ts';
import { type ContainerKind, connectInit } from './init.ts';
import { NAMESPACE_END } from './init-process.ts';
import { type LaunchSpec, launchInit, startEarly } from './launch.ts';
import type { Launcher } from './launcher.ts';
import {
  binariesDirectory,
  checkBinaries,
  isHookInForce,
  STAGING_DIRECTORY,
  type StagedFile,
  stageSkeleton,
} from './skeleton.ts';
import { DEFAULT_HOOK_SETTINGS, type HookSettings } from './wshd-conf.ts';

/** Options of {@link wshd}. */
export interface WshdOptions {
  /** The operator's hooks, used instead of the shipped ones of the same name. Only executable ones are run. */
  readonly hooksDirectory?: string;
  /** Seconds a hook may take before it is killed and the creation fails. Default 30. */
  readonly hookTimeout?: number;
  /**
   * Static shell of the host that reads `hook-child-after-pivot.sh`. Default: busybox or bash-static, where
   * Debian puts them.
   */
  readonly hookShell?: string;
  /**
   * Where `wshd`, `wsh`, `warden-copy` and `warden-unpack` are. Default: `WARDEN_WSHD_DIRECTORY` of the
   * environment, else the package's own build.
   */
  readonly binariesDirectory?: string;
}

const OPTIONS = ['--run', './run', '--lib', './lib', '--root', './mnt'];

/** The driver that runs warden's own init. */
export function wshd(options: WshdOptions = {}): DriverFactory<InitDriver> {
  return ({ logger, failpoints = NO_FAILPOINTS }: DriverComponents) =>
    new WshdDriver(options, logger.child('wshd'), failpoints);
}

class WshdDriver implements InitDriver {
  readonly role = 'init';
  readonly name = 'wshd';
  readonly supports = { isolation: true, interactive: true, files: true, live: true };
  readonly #options: WshdOptions;
  readonly #logger: Logger;
  readonly #failpoints: Failpoints;
  readonly #kind: ContainerKind;
  #skeleton: readonly StagedFile[] | undefined;
  #hooks: HookSettings = DEFAULT_HOOK_SETTINGS;
  /**
   * The staged program as a read-only mount: init, which must not run from a file that can be written, so
   * starts once and not twice.
   */
  #image: number | undefined;
  /** By directory: launchers that wait for it to be complete. */
  readonly #early = new Map<string, Promise<Launcher>>();

  constructor(options: WshdOptions, logger: Logger, failpoints: Failpoints) {
    this.#options = options;
    this.#logger = logger;
    this.#failpoints = failpoints;
    const program = new CopyProgram(options.binariesDirectory);
    this.#kind = {
      end: NAMESPACE_END,
      adapt: (spec) => spec,
      startCopy: (spec, directory) => startCopy(spec, { program, failpoints }, `${directory}/run/wshd.sock`),
      openFiles: (task, directory) => openFiles(task, program, `${directory}/run/wshd.sock`),
    };
  }

  async probe(): Promise<ProbeResult> {
    try {
      const binaries = binariesDirectory(this.#options.binariesDirectory);
      checkBinaries(binaries);
      await this.#tryContainer(join(binaries, 'wshd'));
      return { ok: true, detail: binaries };
    } catch (error) {
      return { ok: false, reason: error instanceof Error ? error.message : String(error) };
    }
  }

  async setup(depot: string): Promise<void> {
    const binaries = binariesDirectory(this.#options.binariesDirectory);
    this.#skeleton = stageSkeleton(depot, binaries, this.#options.hooksDirectory);
    const needsShell = isHookInForce(this.#skeleton, 'hook-child-after-pivot.sh');
    this.#hooks = {
      timeout: this.#options.hookTimeout ?? DEFAULT_HOOK_SETTINGS.timeout,
      shell: needsShell ? findHookShell(this.#options.hookShell) : undefined,
    };
    this.#openImage(join(depot, STAGING_DIRECTORY, 'bin/wshd'));
    this.#logger.debug?.('skeleton-staged', { depot, binaries, files: this.#skeleton.length });
  }

  #openImage(program: string): void {
    if (this.#image !== undefined) closeDescriptor(this.#image);
    this.#image = undefined;
    try {
      this.#image = openReadOnly(program);
    } catch (error) {
      this.#logger.debug?.('image-not-open', { error }); // each init then does it for itself
    }
  }

  begin(spec: InitSpec): () => Promise<void> {
    const { directory } = spec;
    // without the staged program at hand there is nothing to start yet
    if (this.#image === undefined || this.#early.has(directory)) return async () => undefined;
    const early = startEarly(...this.#launchOf(spec));
    early.catch(() => undefined); // `launch` tells it
    this.#early.set(directory, early);
    return async () => {
      if (this.#early.get(directory) !== early) return;
      this.#early.delete(directory);
      await early.then(
        (launcher) => launcher.end(),
        () => undefined,
      );
    };
  }

  async prepare(spec: InitSpec): Promise<void> {
    if (this.#skeleton === undefined) throw new TypeError('setup must be called before prepare');
    prepareDirectory(spec, this.#skeleton, { hooks: this.#hooks, failpoints: this.#failpoints });
  }

  reusable(): readonly ReusableEntry[] {
    if (this.#skeleton === undefined) throw new TypeError('setup must be called before reusable');
    return reusableSkeleton(this.#skeleton);
  }

  launch(spec: InitSpec): Promise<LaunchedInit> {
    const early = this.#early.get(spec.directory);
    this.#early.delete(spec.directory);
    return launchInit(...this.#launchOf(spec), early);
  }

  async connect(directory: string): Promise<Init | undefined> {
    const init = await connectInit(directory, this.#kind);
    // written last of all: without it the container was never complete, or somebody has given it up
    if (init === undefined || isThere(init, join(directory, 'etc/config'))) return init;
    this.#logger.warn('directory-incomplete', { directory, missing: 'etc/config' });
    await init.kill();
    return undefined;
  }

  #launchOf(
    spec: InitSpec,
    program = `${spec.directory}/bin/wshd`,
    failpoints = this.#failpoints,
  ): [LaunchSpec, Logger] {
    const { directory, id, hookEnvironment: environment } = spec;
    return [
      {
        directory,
        program,
        image: this.#image === undefined ? undefined : `/proc/${process.pid}/fd/${this.#image}`,
        options: OPTIONS,
        title: `wshd: ${id}`,
        environment,
        hookTimeout: this.#hooks.timeout,
        kind: this.#kind,
        failpoints,
      },
      this.#logger.child('init', { id }),
    ];
  }

  /** The real thing, all namespaces and mounts, on an empty root in memory. */
  async #tryContainer(program: string): Promise<void> {
    const directory = mkdtempSync(join(tmpdir(), 'warden-probe-'));
    try {
      const spec = probeSpec(directory);
      prepareDirectory(spec, []);
      const launched = await launchInit(...this.#launchOf(spec, program, NO_FAILPOINTS));
      const init = await launched.proceed();
      await init.kill();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

/** Errors: those of stat(2): what cannot be looked at now is no reason to end anything. */
function isThere(init: Init, file: string): boolean {
  try {
    return statSync(file, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    init.disconnect();
    throw error;
  }
}

function probeSpec(directory: string): InitSpec {
  return {
    id: '00000000000',
    directory,
    hostname: 'probe',
    config: [],
    hookEnvironment: {},
    mounts: [{ type: 'tmpfs', source: 'none', target: '/', options: ['size=64k'] }],
    bindMounts: [],
    network: undefined,
    cgroupJoinFiles: [],
    user: { name: 'vcap', uid: 10000, gid: 10000, home: '/home/vcap', shell: '/bin/sh' },
    hosts: '',
    resolvConf: '',
    confinement: UNCONFINED,
    nice: 0,
  };
}
