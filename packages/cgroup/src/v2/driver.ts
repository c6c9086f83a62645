/** Groups in the unified hierarchy: `<mount>/<prefix>/instance-<id>`. */
import fs from 'node:fs';
import path from 'node:path';
import {
  type CgroupDriver,
  type CgroupSpec,
  type CgroupSupports,
  type CpuStat,
  type DriverState,
  type Failpoints,
  isContainerId,
  type Logger,
  NO_FAILPOINTS,
  type PressureStat,
  type ProbeResult,
  type ProcessCount,
  type ProcessReserve,
  WardenError,
} from '@warden/interface';
import { attachDeviceProgram } from '@warden/native';
import { DEVICE_RULES, devicesOf } from '../device-rules.ts';
import { groupOf, hasGroup } from '../group-of.ts';
import {
  errnoOf,
  fileError,
  innerGroups,
  killProcess,
  makeGroup,
  parseKeyed,
  processesOf,
  readControl,
  readProcessCount,
  writeControl,
} from '../kernel-file.ts';
import { clampShares } from '../limits.ts';
import { removeParents, standingGroups } from '../parents.ts';
import { removeGroup } from '../remove-group.ts';
import { hasReserve, JOBS, OUTSIDE, processLimits, wantsReserve } from '../reserve.ts';
import { trialGroup } from '../trial-group.ts';
import { untilEmpty, untilStill } from '../until.ts';
import { sharesOf, weightOf } from './cpu-weight.ts';
import { deviceProgram } from './device-program.ts';
import * as memory from './memory.ts';
import { measuresPressure, readPressure } from './pressure.ts';

const NEEDED = ['cpu', 'memory', 'pids'];
const PREFIX = 'instance-';
/** Microseconds of one clock tick at USER_HZ 100. */
const TICK_US = 10_000n;

/** What a test replaces. */
export interface V2Options {
  readonly mount: string;
  readonly prefix: string;
  readonly controllers: ReadonlySet<string>;
  /** Default: the real one. */
  readonly attachProgram?: (group: string, program: Uint8Array) => void;
  readonly logger: Logger;
  readonly failpoints?: Failpoints | undefined;
}

/** Makes the driver. */
export function v2Driver(options: V2Options): CgroupDriver {
  return new V2Driver(options);
}

class V2Driver implements CgroupDriver {
  readonly role = 'cgroup';
  readonly name = 'cgroup-v2';
  readonly #mount: string;
  readonly #parent: string;
  readonly #controllers: ReadonlySet<string>;
  readonly #attachProgram: (group: string, program: Uint8Array) => void;
  /** The kernel keeps a weight; what was asked for in shares is kept here and, over restarts, by core. */
  readonly #shares = new Map<string, bigint>();

  readonly #logger: Logger;
  readonly #failpoints: Failpoints;
  #hasWarnedOfSwap = false;

  constructor(options: V2Options) {
    const { mount, prefix, controllers, logger, attachProgram = attachDeviceProgram } = options;
    this.#failpoints = options.failpoints ?? NO_FAILPOINTS;
    this.#logger = logger;
    this.#mount = mount;
    this.#parent = path.join(mount, prefix);
    this.#controllers = controllers;
    this.#attachProgram = attachProgram;
  }

  get supports(): CgroupSupports {
    const has = (name: string): boolean => this.#controllers.has(name);
    const swap = has('memory') && memory.countsSwap(this.#parent);
    return {
      version: 2,
      memory: has('memory'),
      swap,
      cpu: has('cpu'),
      devices: true,
      pids: has('pids'),
      freezer: true,
      pressure: measuresPressure(this.#parent),
    };
  }

  async probe(): Promise<ProbeResult> {
    const missing = NEEDED.filter((name) => !this.#controllers.has(name));
    if (missing.length > 0) return { ok: false, reason: `cgroup v2 without ${missing.join(', ')}` };
    let trial: string | undefined;
    try {
      trial = await trialGroup(this.#mount, path.basename(this.#parent));
      makeGroup(trial);
      this.#attachProgram(trial, deviceProgram(DEVICE_RULES));
      return { ok: true, detail: `v2: ${[...this.#controllers].sort().join(' ')}` };
    } catch (error) {
      return { ok: false, reason: (error as Error).message };
    } finally {
      if (trial !== undefined) await removeGroup(trial).catch(() => {}); // the probe's own failure is the answer
    }
  }

  async setup(): Promise<void> {
    const missing = NEEDED.filter((name) => !this.#controllers.has(name));
    if (missing.length > 0) {
      throw new WardenError('UNSUPPORTED', `cgroup v2 controllers are missing: ${missing.join(', ')}`, {
        fields: { operation: 'set up cgroups', missing },
      });
    }
    this.#enable(this.#mount);
    makeGroup(this.#parent);
    this.#enable(this.#parent);
  }

  plan(spec: CgroupSpec): DriverState {
    const group = `${PREFIX}${spec.id}`;
    return wantsReserve(spec) ? { group, reserve: true } : { group };
  }

  async create(spec: CgroupSpec, state: DriverState): Promise<DriverState> {
    const group = this.#group(state);
    const isNew = makeGroup(group);
    try {
      this.#failpoints.passSync('cgroup.make');
      this.#attachProgram(group, deviceProgram(devicesOf(spec)));
      this.#failpoints.passSync('cgroup.policy');
      this.#limitProcesses(spec, group, hasReserve(state));
      return state;
    } catch (cause) {
      if (isNew) await removeGroup(group).catch(() => {}); // the first error is what matters
      throw cause instanceof WardenError ? cause : fileError('create cgroup', group, cause);
    }
  }

  joinFiles(state: DriverState): readonly string[] {
    const group = this.#group(state);
    return [path.join(hasReserve(state) ? path.join(group, JOBS) : group, 'cgroup.procs')];
  }

  reserve(state: DriverState): ProcessReserve | undefined {
    if (!hasReserve(state)) return undefined;
    const [outside, inside] = [OUTSIDE, JOBS].map((name) =>
      path.join(this.#group(state), name, 'cgroup.procs'),
    );
    return { outside: outside!, inside: inside! };
  }

  async processCount(state: DriverState): Promise<ProcessCount> {
    const group = this.#group(state);
    return readProcessCount(hasReserve(state) ? path.join(group, JOBS) : group);
  }

  async setCpuShares(state: DriverState, shares: bigint): Promise<bigint> {
    const group = this.#group(state);
    try {
      writeControl(group, 'cpu.weight', String(weightOf(shares)));
    } catch (cause) {
      throw fileError('set cpu shares', group, cause, 'Failed setting cpu shares');
    }
    const inForce = clampShares(shares);
    this.#shares.set(group, inForce);
    return inForce;
  }

  async cpuShares(state: DriverState): Promise<bigint> {
    const group = this.#group(state);
    try {
      const weight = Number(readControl(group, 'cpu.weight'));
      const asked = this.#shares.get(group);
      // an earlier daemon's shares, or an operator's weight, are told by the kernel alone
      return asked !== undefined && weightOf(asked) === weight ? asked : sharesOf(weight);
    } catch (cause) {
      throw fileError('read cpu shares', group, cause);
    }
  }

  async setMemoryLimit(state: DriverState, bytes: bigint): Promise<bigint> {
    const group = this.#group(state);
    if (!this.#hasWarnedOfSwap && fs.existsSync(group) && !memory.countsSwap(group)) {
      this.#hasWarnedOfSwap = true;
      this.#logger.warn('swap-not-limited', {
        reason: 'the kernel does not count swap: memory limits leave swap unlimited',
      });
    }
    return memory.writeMemoryLimit(group, bytes);
  }

  async memoryLimit(state: DriverState): Promise<bigint> {
    return memory.readMemoryLimit(this.#group(state));
  }

  async memoryStat(state: DriverState): ReturnType<CgroupDriver['memoryStat']> {
    return memory.readMemoryStat(this.#group(state), this.#mount);
  }

  async cpuStat(state: DriverState): Promise<CpuStat> {
    const group = this.#group(state);
    try {
      const values = parseKeyed(readControl(group, 'cpu.stat'));
      const get = (key: string): bigint => values.get(key) ?? 0n;
      return {
        usage: get('usage_usec') * 1_000n,
        user: get('user_usec') / TICK_US,
        system: get('system_usec') / TICK_US,
      };
    } catch (cause) {
      throw fileError('read cpu stats', group, cause, 'Failed getting cpu stats');
    }
  }

  async pressureStat(state: DriverState): Promise<PressureStat> {
    if (!measuresPressure(this.#parent))
      throw new WardenError('UNSUPPORTED', 'the kernel does not measure pressure (PSI)', {
        fields: { operation: 'read pressure' },
      });
    return readPressure(this.#group(state));
  }

  async freeze(state: DriverState, timeoutMs: number): Promise<void> {
    const group = this.#group(state);
    this.#setFrozen(group, '1');
    await untilStill(group, {
      isStill: () => isFrozen(group),
      thaw: () => this.#setFrozen(group, '0'),
      timeoutMs,
    });
  }

  async thaw(state: DriverState): Promise<void> {
    this.#setFrozen(this.#group(state), '0');
  }

  async isFrozen(state: DriverState): Promise<boolean> {
    return isFrozen(this.#group(state));
  }

  async watchOutOfMemory(
    state: DriverState,
    listener: () => void,
    seen?: bigint,
  ): ReturnType<CgroupDriver['watchOutOfMemory']> {
    return memory.watchKills(this.#group(state), listener, seen);
  }

  async outOfMemoryKills(state: DriverState): Promise<bigint> {
    return memory.killCount(this.#group(state)) ?? 0n;
  }

  async pids(state: DriverState): Promise<readonly number[]> {
    return hasGroup(state) ? processesOf(this.#group(state)) : [];
  }

  /**
   * cgroup.kill (Linux 5.14) reaches everything below without a race. Before, everything is signalled again
   * until nobody is left, as on v1; what is frozen dies too.
   */
  async killAll(state: DriverState, timeoutMs: number): Promise<void> {
    if (!hasGroup(state)) return;
    const group = this.#group(state);
    const isKilled = killGroup(group);
    let isTold = false;
    const end = (pids: readonly number[]): void => {
      if (!isTold) this.#logger.warn('processes-left', { group, pids });
      isTold = true;
      if (!isKilled) pids.forEach(killProcess);
    };
    await untilEmpty(group, { end, timeoutMs });
  }

  async release(state: DriverState): Promise<void> {
    if (!hasGroup(state)) return;
    const group = this.#group(state);
    this.#shares.delete(group);
    await removeGroup(group);
  }

  async list(): Promise<readonly string[]> {
    return innerGroups(this.#parent)
      .map((group) => path.basename(group))
      .filter((name) => name.startsWith(PREFIX) && isContainerId(name.slice(PREFIX.length)))
      .map((name) => name.slice(PREFIX.length))
      .sort();
  }

  async standing(): Promise<readonly string[]> {
    return standingGroups([this.#parent]);
  }

  async dismantle(): Promise<void> {
    removeParents([this.#parent]);
  }

  /** Only the count of processes is handed on: everything else is the container's as a whole. */
  #limitProcesses(spec: CgroupSpec, group: string, isReserved: boolean): void {
    const { whole, jobs } = processLimits(spec, isReserved);
    writeControl(group, 'pids.max', whole);
    if (!isReserved) return;
    writeControl(group, 'cgroup.subtree_control', '+pids');
    for (const name of [JOBS, OUTSIDE]) makeGroup(path.join(group, name));
    writeControl(path.join(group, JOBS), 'pids.max', jobs);
  }

  /** Hands the controllers to what is inside. All at once, else one by one: a host may hold one back. */
  #enable(group: string): void {
    const wanted = ['cpu', 'memory', 'pids', 'io', 'cpuset'].filter((name) => this.#controllers.has(name));
    try {
      writeControl(group, 'cgroup.subtree_control', wanted.map((name) => `+${name}`).join(' '));
    } catch {
      for (const name of wanted) {
        try {
          writeControl(group, 'cgroup.subtree_control', `+${name}`);
        } catch (cause) {
          if (NEEDED.includes(name)) throw fileError(`enable the ${name} controller`, group, cause);
        }
      }
    }
  }

  #setFrozen(group: string, value: '0' | '1'): void {
    try {
      writeControl(group, 'cgroup.freeze', value);
    } catch (cause) {
      throw fileError(value === '1' ? 'freeze cgroup' : 'thaw cgroup', group, cause);
    }
  }

  #group(state: DriverState): string {
    return path.join(this.#parent, groupOf(state));
  }
}

/** Answers false where there is no cgroup.kill, or no group. */
function killGroup(group: string): boolean {
  try {
    writeControl(group, 'cgroup.kill', '1');
    return true;
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return false;
    throw fileError('kill cgroup', group, cause);
  }
}

function isFrozen(group: string): boolean {
  try {
    return parseKeyed(readControl(group, 'cgroup.events')).get('frozen') === 1n;
  } catch (cause) {
    throw fileError('read whether frozen', group, cause);
  }
}
