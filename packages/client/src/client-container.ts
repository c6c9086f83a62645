/** A container, seen through the socket. */
import {
  type Container,
  type ContainerInfo,
  type DiskLimitSpec,
  type DiskLimits,
  isWardenError,
  type NetOutSpec,
  type NetRules,
  type NetRulesRemoval,
  type Properties,
  type SpawnOptions,
  WardenError,
} from '@warden/interface';
import {
  type InfoResponse,
  type LimitCpuResponse,
  type LimitDiskResponse,
  type LimitMemoryResponse,
  MessageType,
  type NetInResponse,
  type NetRulesResponse,
  type PropertiesResponse,
  type RunResponse,
  type SpawnResponse,
} from '@warden/protocol';
import {
  containerInfo,
  diskLimits,
  jobResult,
  netRules,
  portMapping,
  propertiesOf,
} from './answer-values.ts';
import * as args from './arguments.ts';
import { demand } from './check.ts';
import { ClientFiles } from './client-files.ts';
import { ClientJob, killJob } from './client-job.ts';
import { requireFeature } from './features.ts';
import { type ClientJobResult, requireSuccess } from './job-result.ts';
import { ShellCommand, type ShellValue, sh } from './shell-command.ts';
import {
  limitDiskRequest,
  netOutRequest,
  netRule,
  onContainer,
  propertyMessages,
  spawnRequest,
} from './spec-messages.ts';
import type { Transport } from './transport.ts';
import {
  enterWithin,
  hasLimits,
  type KillReason,
  throwIfAborted,
  type WaitLimits,
  Watchdog,
} from './watchdog.ts';

/** What `/bin/bash` reads. */
export type Script = string | Uint8Array | ShellCommand;

/** Throws a `TypeError` for what is none: programs without types come here too. */
function textOf(script: Script): string | Uint8Array {
  if (script instanceof ShellCommand) return script.toString();
  if (typeof script === 'string' || script instanceof Uint8Array) return script;
  throw new TypeError(
    Array.isArray(script)
      ? 'a script is a string, bytes or a command of sh, not a list: exec takes a program and its arguments, and so does the option argv'
      : `a script is a string, bytes or a command of sh, not ${script === null ? 'null' : typeof script}`,
  );
}

/** How to start a job from a program. With limits, `trackTree` is on. */
export interface ClientSpawnOptions extends SpawnOptions, WaitLimits {}

/** How to run a script to its end. */
export interface RunOptions extends ClientSpawnOptions {
  /** Throw `COMMAND_FAILED` when the exit status is not 0. */
  readonly check?: boolean | undefined;
}

/** A reference to a container; `await using` destroys it at the end of the block. */
export class ClientContainer implements Container {
  readonly handle: string;
  readonly #session: Transport;

  constructor(session: Transport, handle: string) {
    this.#session = session;
    this.handle = handle;
  }

  /** See {@link Container.info}. */
  async info(): Promise<ContainerInfo> {
    return containerInfo(await this.#call<InfoResponse>(MessageType.Info));
  }

  /**
   * Runs a script and waits for its end. A status other than 0 is a result, not an error, unless `check` is
   * set. With `signal` or `timeoutMs` the whole process tree is killed in the container before the promise
   * rejects. Not with `output: 'live'` or `stdin: 'pipe'`, which are for a job that is at hand: {@link spawn}.
   *
   * Errors: `ABORTED`, `TIMEOUT` (`fields.isEnded` is false when the daemon could not end the job),
   * `COMMAND_FAILED`.
   */
  async run(script: Script, options: RunOptions = {}): Promise<ClientJobResult> {
    demand('run', 'options', args.runOptions, options);
    if (options.output === 'live') {
      throw new WardenError('INVALID_SPEC', 'live output is for a job that is streamed: spawn it', {
        fields: { operation: 'run', object: 'output' },
      });
    }
    if (options.stdin === 'pipe') {
      throw new WardenError('INVALID_SPEC', 'an open input is for a job that is written to: spawn it', {
        fields: { operation: 'run', object: 'stdin' },
      });
    }
    await this.#requireCommand(options);
    const result = await this.#runInTurn(script, options);
    if (options.check) requireSuccess(this.handle, result);
    return result;
  }

  /**
   * See {@link Container.spawn}. The limits count from this call and end the job even if nobody waits for it.
   */
  async spawn(script: Script, options: ClientSpawnOptions = {}): Promise<ClientJob> {
    demand('spawn', 'options', args.spawnOptions, options);
    await this.#requireCommand(options);
    return this.#start(script, options);
  }

  async #runInTurn(script: Script, options: ClientSpawnOptions): Promise<ClientJobResult> {
    const begun = performance.now();
    const { runs } = this.#session;
    const leave = await enterWithin(runs, options);
    try {
      if (hasLimits(options)) {
        const job = await this.#start(script, options, performance.now() - begun);
        return await job.result();
      }
      const request = spawnRequest(this.handle, textOf(script), options);
      const lane = { handle: this.handle, use: 'wait' } as const;
      return jobResult(await this.#session.call<RunResponse>(MessageType.Run, request, lane));
    } finally {
      leave();
    }
  }

  /** Of its time limit so much has passed. */
  async #start(script: Script, options: ClientSpawnOptions, passedMs = 0): Promise<ClientJob> {
    const isLive = options.output === 'live';
    const hasInput = options.stdin === 'pipe' || options.terminal !== undefined;
    if (!hasLimits(options)) {
      const id = await this.#spawn(script, options);
      return new ClientJob(this.#session, this.handle, id, { isLive, hasInput });
    }
    throwIfAborted(options.signal);
    const started = this.#spawn(script, { ...options, trackTree: true });
    const watchdog = new Watchdog(options, (reason) => this.#killStarted(started, reason), passedMs);
    try {
      const id = await watchdog.guardStart(started);
      return new ClientJob(this.#session, this.handle, id, { watchdog, isLive, hasInput });
    } catch (error) {
      watchdog.settle();
      throw error;
    }
  }

  /**
   * Runs a program with its arguments, without a shell, and waits for its end; `input` is its whole standard
   * input. Errors: as {@link run}.
   */
  async exec(
    argv: readonly string[],
    options: RunOptions & { readonly input?: string | Uint8Array | undefined } = {},
  ): Promise<ClientJobResult> {
    demand('exec', 'argv', args.argv, argv);
    demand('exec', 'options', args.execOptions, options);
    const { input = '', ...others } = options;
    return this.run(input, { ...others, argv });
  }

  /**
   * Runs a command whose values are quoted, see {@link sh}, and throws `COMMAND_FAILED` when it does not end with 0.
   *
   * @example
   * const { stdoutText } = await box.sh`grep -c -- ${pattern} ${files}`;
   */
  async sh(texts: TemplateStringsArray, ...values: readonly ShellValue[]): Promise<ClientJobResult> {
    return this.run(sh(texts, ...values), { check: true });
  }

  /** See {@link Container.job}. */
  job(id: number): ClientJob {
    demand('job', 'id', args.jobId, id);
    return new ClientJob(this.#session, this.handle, id);
  }

  /** See {@link Container.stop}. Never waits behind other requests of this client. */
  async stop(
    options: { readonly background?: boolean | undefined; readonly kill?: boolean | undefined } = {},
  ): Promise<void> {
    demand('stop', 'options', args.stopOptions, options);
    await this.#send(MessageType.Stop, onContainer(this.handle, options), true);
  }

  /** See {@link Container.destroy}. Never waits behind other requests of this client. */
  async destroy(): Promise<void> {
    await this.#send(MessageType.Destroy, onContainer(this.handle), true);
    this.#session.forget(this.handle);
  }

  /** See {@link Container.netIn}. */
  async netIn(
    spec: { readonly hostPort?: number | undefined; readonly containerPort?: number | undefined } = {},
  ): Promise<{ readonly hostPort: number; readonly containerPort: number }> {
    demand('net in', 'spec', args.netInSpec, spec);
    const fields = { host_port: spec.hostPort, container_port: spec.containerPort };
    return portMapping(await this.#call<NetInResponse>(MessageType.NetIn, fields));
  }

  /** See {@link Container.netOut}. */
  async netOut(spec: NetOutSpec): Promise<void> {
    demand('net out', 'spec', args.netOutSpec, spec);
    // a daemon that skips the field would open more than was asked for
    if (spec.domain !== undefined) await requireFeature(this.#session, 'egress-domain', 'net out');
    await this.#send(MessageType.NetOut, netOutRequest(this.handle, spec));
  }

  /** See {@link Container.netRules}. */
  async netRules(): Promise<NetRules> {
    return this.removeNetRules({});
  }

  /** See {@link Container.removeNetRules}. */
  async removeNetRules(removal: NetRulesRemoval): Promise<NetRules> {
    demand('net rules', 'removal', args.netRulesRemoval, removal);
    const { ports = [], egress = [] } = removal;
    await requireFeature(this.#session, 'net-rules', 'net rules');
    const fields = { remove_ports: ports, remove_egress: egress.map(netRule) };
    return netRules(await this.#call<NetRulesResponse>(MessageType.NetRules, fields));
  }

  /** See {@link Container.copyIn}. Both paths are on the daemon's host. */
  async copyIn(source: string, target: string): Promise<void> {
    demand('copy in', 'source', args.path, source);
    demand('copy in', 'target', args.path, target);
    await this.#call(MessageType.CopyIn, { src_path: source, dst_path: target });
  }

  /** See {@link Container.copyOut}. */
  async copyOut(source: string, target: string, owner?: string): Promise<void> {
    demand('copy out', 'source', args.path, source);
    demand('copy out', 'target', args.path, target);
    await this.#call(MessageType.CopyOut, { src_path: source, dst_path: target, owner });
  }

  /** See {@link Container.limitMemory}. */
  async limitMemory(bytes?: bigint): Promise<bigint> {
    demand('limit memory', 'bytes', args.amount, bytes);
    const answer = await this.#call<LimitMemoryResponse>(MessageType.LimitMemory, { limit_in_bytes: bytes });
    return answer.limit_in_bytes ?? 0n;
  }

  /** See {@link Container.limitCpu}. */
  async limitCpu(shares?: bigint): Promise<bigint> {
    demand('limit cpu', 'shares', args.amount, shares);
    const answer = await this.#call<LimitCpuResponse>(MessageType.LimitCpu, { limit_in_shares: shares });
    return answer.limit_in_shares ?? 0n;
  }

  /** See {@link Container.limitDisk}. */
  async limitDisk(spec: DiskLimitSpec = {}): Promise<DiskLimits | undefined> {
    demand('limit disk', 'spec', args.diskLimit, spec);
    return diskLimits(
      await this.#send<LimitDiskResponse>(MessageType.LimitDisk, limitDiskRequest(this.handle, spec)),
    );
  }

  /** See {@link Container.limitBandwidth}. */
  async limitBandwidth(limit: { readonly rate: bigint; readonly burst: bigint }): Promise<void> {
    demand('limit bandwidth', 'limit', args.bandwidthLimit, limit);
    await this.#call(MessageType.LimitBandwidth, { rate: limit.rate, burst: limit.burst });
  }

  /** See {@link Container.properties}. */
  async properties(): Promise<Properties> {
    return this.setProperties({});
  }

  /** See {@link Container.setProperties}. */
  async setProperties(changes: Readonly<Record<string, string | undefined>>): Promise<Properties> {
    demand('properties', 'changes', args.propertyChanges, changes);
    await requireFeature(this.#session, 'properties', 'properties');
    const set: Record<string, string> = Object.create(null) as Record<string, string>;
    const remove: string[] = [];
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) remove.push(name);
      else set[name] = value;
    }
    const fields = { set: propertyMessages(set), remove };
    const answer = await this.#call<PropertiesResponse>(MessageType.Properties, fields);
    return propertiesOf(answer.properties);
  }

  /** See {@link Container.pause}. */
  async pause(): Promise<void> {
    await requireFeature(this.#session, 'pause', 'pause');
    await this.#call(MessageType.Pause);
  }

  /** See {@link Container.resume}. Never waits behind other requests of this client. */
  async resume(): Promise<void> {
    await requireFeature(this.#session, 'pause', 'resume');
    await this.#send(MessageType.Resume, onContainer(this.handle), true);
  }

  /** See {@link Container.files}. */
  get files(): ClientFiles {
    return new ClientFiles(this.#session, this.handle);
  }

  /** Destroys the container; one that is gone already is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.destroy();
    } catch (error) {
      if (!isWardenError(error, 'UNKNOWN_HANDLE')) throw error;
    }
  }

  async #spawn(script: Script, options: SpawnOptions): Promise<number> {
    const request = spawnRequest(this.handle, textOf(script), options);
    return (await this.#send<SpawnResponse>(MessageType.Spawn, request)).job_id;
  }

  /** An old daemon would run something else than what was asked for. */
  async #requireCommand({
    argv,
    environment,
    workingDirectory,
    stdin,
    terminal,
    output,
  }: SpawnOptions): Promise<void> {
    if (argv?.length === 0) {
      throw new WardenError('INVALID_SPEC', 'a program is needed', {
        fields: { operation: 'spawn', object: 'argv' },
      });
    }
    if (argv !== undefined || environment !== undefined || workingDirectory !== undefined)
      await requireFeature(this.#session, 'job-command', 'spawn');
    if (stdin !== undefined || terminal !== undefined)
      await requireFeature(this.#session, 'job-input', 'spawn');
    if (output !== undefined) await requireFeature(this.#session, 'live-output', 'spawn');
  }

  /** Ends a job that may not have an id yet. */
  async #killStarted(started: Promise<number>, reason: KillReason): Promise<void> {
    let id: number;
    try {
      id = await started;
    } catch (error) {
      // Refused: nothing was started. A lost connection leaves that open.
      if (isWardenError(error, 'UNAVAILABLE')) throw error;
      return;
    }
    await killJob(this.#session, this.handle, id, reason === undefined ? {} : { reason });
  }

  #call<T extends object>(type: number, fields: Record<string, unknown> = {}): Promise<T> {
    return this.#send<T>(type, onContainer(this.handle, fields));
  }

  #send<T extends object>(type: number, value: object, isUrgent = false): Promise<T> {
    return this.#session.call<T>(type, value, { handle: this.handle, isUrgent });
  }
}
