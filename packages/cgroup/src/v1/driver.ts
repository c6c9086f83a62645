/** Groups in the hierarchies of cgroup v1: one directory per hierarchy, all of the same name. */
import fs from 'node:fs';
import path from 'node:path';
import {
  type CgroupDriver,
  type CgroupSpec,
  type CgroupSupports,
  type DriverComponents,
  type DriverState,
  type Failpoints,
  isContainerId,
  type Logger,
  NO_FAILPOINTS,
  type OpenStatistics,
  type PressureStat,
  type ProbeResult,
  type ProcessCount,
  type ProcessReserve,
  WardenError,
} from '@warden/interface';
import { devicesOf } from '../device-rules.ts';
import type { CgroupsOptions } from '../driver.ts';
import { groupOf, hasGroup } from '../group-of.ts';
import {
  fileError,
  innerGroups,
  killProcess,
  makeGroup,
  OpenControls,
  processesOf,
  readControl,
  readProcessCount,
  writeControl,
} from '../kernel-file.ts';
import { removeParents, standingGroups } from '../parents.ts';
import { removeGroup } from '../remove-group.ts';
import { hasReserve, JOBS, processLimits, wantsReserve } from '../reserve.ts';
import { throwFirst } from '../settled.ts';
import { moveStrangers } from '../strangers.ts';
import { trialGroup } from '../trial-group.ts';
import { untilEmpty, untilStill } from '../until.ts';
import * as controllers from './controllers.ts';
import { idOf, PREFIX } from './group-names.ts';
import * as memory from './memory.ts';
import { MemoryGroups } from './memory-groups.ts';

/** Without these there is no container worth the name. */
const NEEDED = ['cpu', 'cpuacct', 'memory', 'devices'];
/** Makes the driver. `mounts` is the mount point by controller. */
export function v1Driver(
  mounts: ReadonlyMap<string, string>,
  options: Pick<CgroupsOptions, 'prefix' | 'reusesGroups'>,
  components: DriverComponents,
): CgroupDriver {
  return new V1Driver(mounts, options, components);
}

class V1Driver implements CgroupDriver {
  readonly role = 'cgroup';
  readonly name = 'cgroup-v1';
  readonly #mounts: ReadonlyMap<string, string>;
  readonly #prefix: string;
  /** Each hierarchy once, however many controllers it has. */
  readonly #hierarchies: readonly string[];
  readonly #logger: Logger;
  readonly #failpoints: Failpoints;
  readonly #reusesGroups: boolean;
  readonly #memory: MemoryGroups;
  #supports: CgroupSupports | undefined;
  #hasWarnedOfSwap = false;

  constructor(
    mounts: ReadonlyMap<string, string>,
    { prefix, reusesGroups = true }: Pick<CgroupsOptions, 'prefix' | 'reusesGroups'>,
    { logger, failpoints = NO_FAILPOINTS }: DriverComponents,
  ) {
    this.#mounts = mounts;
    this.#prefix = prefix;
    this.#logger = logger;
    this.#failpoints = failpoints;
    this.#memory = new MemoryGroups({ logger, failpoints, remove: (group) => this.#remove(group) });
    this.#reusesGroups = reusesGroups && this.#isAlone('memory');
    // a cpuset hierarchy of its own has nothing to set; sharing one with another controller it must be fed
    this.#hierarchies = [
      ...new Set([...mounts].filter(([name]) => name !== 'cpuset').map(([, mount]) => mount)),
    ];
  }

  get supports(): CgroupSupports {
    this.#supports ??= this.#look();
    return this.#supports;
  }

  /** None of it changes while the kernel runs. */
  #look(): CgroupSupports {
    const has = (name: string): boolean => this.#mounts.has(name);
    const swap = has('memory') && memory.countsSwap(this.#parent('memory'));
    return {
      version: 1,
      memory: has('memory'),
      swap,
      cpu: has('cpu'),
      devices: has('devices'),
      pids: has('pids'),
      freezer: has('freezer'),
      pressure: false,
    };
  }

  async probe(): Promise<ProbeResult> {
    const missing = NEEDED.filter((name) => !this.#mounts.has(name));
    if (missing.length > 0) return { ok: false, reason: `cgroup v1 without ${missing.join(', ')}` };
    for (const mount of this.#hierarchies) {
      try {
        const trial = await trialGroup(mount, this.#prefix);
        makeGroup(trial);
        await removeGroup(trial);
      } catch (error) {
        return { ok: false, reason: (error as Error).message };
      }
    }
    return { ok: true, detail: `v1: ${[...this.#mounts.keys()].sort().join(' ')}` };
  }

  async setup(): Promise<void> {
    const missing = NEEDED.filter((name) => !this.#mounts.has(name));
    if (missing.length > 0) {
      throw new WardenError('UNSUPPORTED', `cgroup v1 controllers are missing: ${missing.join(', ')}`, {
        fields: { operation: 'set up cgroups', missing },
      });
    }
    for (const mount of this.#hierarchies) {
      const parent = path.join(mount, this.#prefix);
      makeGroup(parent);
      controllers.copyCpuset(parent);
    }
    if (this.#reusesGroups) this.#memory.open();
  }

  plan(spec: CgroupSpec): DriverState {
    const group = path.join(this.#prefix, `${PREFIX}${spec.id}`);
    // a level more in a hierarchy that counts something else too would split what that counts
    const isReserved = wantsReserve(spec) && this.#isAlone('pids');
    return isReserved ? { group, reserve: true } : { group };
  }

  async create(spec: CgroupSpec, state: DriverState): Promise<DriverState> {
    const made: string[] = [];
    let found = state;
    try {
      for (const group of this.#groups(state)) {
        const spent = this.#takeSpare(spec, group);
        if (spent !== undefined) found = { ...state, spent };
        if (spent !== undefined || makeGroup(group)) made.push(group);
        this.#failpoints.passSync('cgroup.make');
        if (this.#hasCpuset(group)) controllers.copyCpuset(group);
      }
      controllers.writeDevicePolicy(this.#group(state, 'devices'), devicesOf(spec));
      this.#failpoints.passSync('cgroup.policy');
      if (this.#mounts.has('pids') || spec.pidsLimit !== undefined) this.#limitProcesses(spec, state, made);
      return found;
    } catch (error) {
      for (const group of made.reverse()) {
        this.#memory.forget(group);
        await removeGroup(group).catch(() => {}); // the first error is what matters
      }
      throw error;
    }
  }

  /**
   * `undefined`: the group is to be made, or is there. A warden inside reaches the control files of its
   * groups, and where another controller shares the hierarchy it cannot be known here what that counts: such
   * groups come from nobody and go to nobody. Where somebody else may still have descriptors of a container,
   * its group goes to nobody: what is queued behind them would be charged to the next one, who could be
   * killed for it.
   */
  #takeSpare(spec: CgroupSpec, group: string): memory.Spent | undefined {
    if (!this.#reusesGroups || !this.#isMemory(group) || spec.allowAllDevices || fs.existsSync(group))
      return undefined;
    return this.#memory.take(group, spec.sharesDescriptors !== true);
  }

  joinFiles(state: DriverState): readonly string[] {
    const pids = hasReserve(state) ? this.#group(state, 'pids') : undefined;
    return this.#groups(state).map((group) =>
      group === pids ? path.join(group, JOBS, 'tasks') : path.join(group, 'tasks'),
    );
  }

  reserve(state: DriverState): ProcessReserve | undefined {
    if (!hasReserve(state)) return undefined;
    const group = this.#group(state, 'pids');
    return { outside: path.join(group, 'tasks'), inside: path.join(group, JOBS, 'tasks') };
  }

  async processCount(state: DriverState): Promise<ProcessCount> {
    const group = this.#group(state, 'pids');
    return readProcessCount(hasReserve(state) ? path.join(group, JOBS) : group);
  }

  async setCpuShares(state: DriverState, shares: bigint): Promise<bigint> {
    return controllers.writeShares(this.#group(state, 'cpu'), shares);
  }

  async cpuShares(state: DriverState): Promise<bigint> {
    return controllers.readShares(this.#group(state, 'cpu'));
  }

  async setMemoryLimit(state: DriverState, bytes: bigint): Promise<bigint> {
    const group = this.#group(state, 'memory');
    if (!this.#hasWarnedOfSwap && fs.existsSync(group) && !memory.countsSwap(group)) {
      this.#hasWarnedOfSwap = true;
      this.#logger.warn('swap-not-limited', {
        reason: 'the kernel does not count swap (swapaccount=0): memory limits leave swap unlimited',
      });
    }
    return memory.writeMemoryLimit(group, bytes);
  }

  async memoryLimit(state: DriverState): Promise<bigint> {
    return memory.readMemoryLimit(this.#group(state, 'memory'));
  }

  async memoryStat(state: DriverState): ReturnType<CgroupDriver['memoryStat']> {
    return memory.readMemoryStat(this.#group(state, 'memory'), { spent: spentOf(state) });
  }

  async cpuStat(state: DriverState): ReturnType<CgroupDriver['cpuStat']> {
    return controllers.readCpuStat(this.#group(state, 'cpuacct'));
  }

  openStatistics(state: DriverState): OpenStatistics | undefined {
    if (!hasGroup(state)) return undefined; // whoever asks is told why
    const [memoryGroup, cpuGroup] = [this.#group(state, 'memory'), this.#group(state, 'cpuacct')];
    let open: { readonly memory: OpenControls; readonly cpu: OpenControls };
    try {
      open = openBoth(memoryGroup, cpuGroup);
    } catch {
      return undefined; // whoever asks is told why
    }
    const close = (): void => {
      open.memory.close();
      open.cpu.close();
      noteClosed();
    };
    const noteClosed = this.#memory.noteOpen(memoryGroup, close);
    return {
      memoryStat: () => memory.readMemoryStat(memoryGroup, { open: open.memory, spent: spentOf(state) }),
      cpuStat: () => controllers.readCpuStat(cpuGroup, open.cpu),
      close,
    };
  }

  /** The kernel measures pressure per group on v2 only. */
  async pressureStat(_state: DriverState): Promise<PressureStat> {
    throw new WardenError('UNSUPPORTED', 'cgroup v1 measures no pressure', {
      fields: { operation: 'read pressure' },
    });
  }

  async freeze(state: DriverState, timeoutMs: number): Promise<void> {
    const group = this.#group(state, 'freezer');
    // Written again each time: what forked meanwhile can keep the kernel at FREEZING.
    const isStill = (): boolean => {
      this.#setFreezer(group, 'FROZEN');
      return readFreezer(group) === 'FROZEN';
    };
    await untilStill(group, { isStill, thaw: () => this.#setFreezer(group, 'THAWED'), timeoutMs });
  }

  async thaw(state: DriverState): Promise<void> {
    this.#setFreezer(this.#group(state, 'freezer'), 'THAWED');
  }

  async isFrozen(state: DriverState): Promise<boolean> {
    return readFreezer(this.#group(state, 'freezer')) !== 'THAWED';
  }

  async watchOutOfMemory(
    state: DriverState,
    listener: () => void,
    seen?: bigint,
  ): ReturnType<CgroupDriver['watchOutOfMemory']> {
    return memory.watchKills(this.#group(state, 'memory'), listener, seen);
  }

  async outOfMemoryKills(state: DriverState): Promise<bigint> {
    return memory.killCount(this.#group(state, 'memory')) ?? 0n;
  }

  async pids(state: DriverState): Promise<readonly number[]> {
    return hasGroup(state) ? processesOf(this.#group(state, 'cpu')) : [];
  }

  /**
   * v1 has no way to kill a group: everything is signalled again until nobody is left. That ends, because the
   * container's init is inside, and with it the kernel ends its pid namespace, in which nobody can fork any
   * more.
   */
  async killAll(state: DriverState, timeoutMs: number): Promise<void> {
    if (!hasGroup(state)) return;
    let isTold = false;
    const end = (pids: readonly number[]): void => {
      if (!isTold) this.#logger.warn('processes-left', { group: state.group, pids });
      isTold = true;
      pids.forEach(killProcess);
      // A frozen process takes no signal, not even this one.
      this.#thawIfFrozen(state);
    };
    await untilEmpty(this.#group(state, 'cpu'), { end, timeoutMs });
  }

  async release(state: DriverState): Promise<void> {
    if (!hasGroup(state)) return;
    const memoryGroup = this.#group(state, 'memory');
    const removals = await Promise.allSettled([
      ...(this.#memory.takeRetired(memoryGroup) ? [] : [this.#removeOthers(state)]),
      ...this.#memory.emptyLeft(memoryGroup),
    ]);
    await this.#memory.empty(memoryGroup);
    throwFirst(removals);
  }

  /**
   * Without the memory group, whose pages the kernel throws away for 1 to 100 ms: longest where all that it
   * finds are dirty, as those of files that are about to be removed are. Where it cannot be called otherwise,
   * it goes now.
   */
  async retire(state: DriverState): Promise<void> {
    if (!hasGroup(state)) return;
    const removals = await Promise.allSettled([this.#removeOthers(state)]);
    await this.#memory.retire(this.#group(state, 'memory'), removals[0].status === 'fulfilled');
    throwFirst(removals);
  }

  async #removeOthers(state: DriverState): Promise<void> {
    const memoryGroup = this.#group(state, 'memory');
    const [first, ...rest] = this.#groups(state).filter((group) => group !== memoryGroup);
    if (first === undefined) return;
    // whoever is dying is in a group of each hierarchy: one is tried until it has left, not all of them
    const removals = await Promise.allSettled([this.#remove(first)]);
    if (hasReserve(state)) tryRemoving(path.join(this.#group(state, 'pids'), JOBS));
    throwFirst([...removals, ...(await Promise.allSettled(rest.map((group) => this.#remove(group))))]);
  }

  /** Who is in there still was never part of the container. */
  #remove(group: string): Promise<void> {
    const mount = path.dirname(path.dirname(group));
    return removeGroup(group, () => moveStrangers(mount, group, this.#logger));
  }

  async list(): Promise<readonly string[]> {
    const ids = new Set<string>();
    for (const mount of this.#hierarchies) {
      for (const group of innerGroups(path.join(mount, this.#prefix))) {
        const id = idOf(path.basename(group));
        if (id !== undefined && isContainerId(id) && !this.#memory.isKept(group)) ids.add(id);
      }
    }
    return [...ids].sort();
  }

  async standing(): Promise<readonly string[]> {
    return standingGroups(this.#parents());
  }

  async dismantle(): Promise<void> {
    removeParents(this.#parents());
  }

  async close(): Promise<void> {
    await this.#memory.close();
  }

  #parents(): readonly string[] {
    return this.#hierarchies.map((mount) => path.join(mount, this.#prefix));
  }

  #limitProcesses(spec: CgroupSpec, state: DriverState, made: string[]): void {
    const group = this.#group(state, 'pids');
    const isReserved = hasReserve(state);
    const { whole, jobs } = processLimits(spec, isReserved);
    controllers.writePidsLimit(group, whole);
    if (!isReserved) return;
    const inner = path.join(group, JOBS);
    if (makeGroup(inner)) made.push(inner);
    controllers.writePidsLimit(inner, jobs);
  }

  /** A hierarchy without it has no files of it, and looking for what is not there costs as much as a read. */
  #hasCpuset(group: string): boolean {
    const mount = this.#mounts.get('cpuset');
    return mount !== undefined && group.startsWith(`${mount}/`);
  }

  #isMemory(group: string): boolean {
    return group.startsWith(`${this.#mounts.get('memory')}/`);
  }

  #isAlone(controller: string): boolean {
    const mount = this.#mounts.get(controller);
    return mount !== undefined && [...this.#mounts.values()].filter((one) => one === mount).length === 1;
  }

  #thawIfFrozen(state: DriverState): void {
    if (!this.#mounts.has('freezer')) return;
    const group = this.#group(state, 'freezer');
    // absent: groups that an older daemon made
    if (fs.existsSync(group) && readFreezer(group) !== 'THAWED') this.#setFreezer(group, 'THAWED');
  }

  #setFreezer(group: string, value: 'FROZEN' | 'THAWED'): void {
    try {
      writeControl(group, 'freezer.state', value);
    } catch (cause) {
      throw fileError(value === 'FROZEN' ? 'freeze cgroup' : 'thaw cgroup', group, cause);
    }
  }

  #parent(controller: string): string {
    const mount = this.#mounts.get(controller)!;
    const parent = path.join(mount, this.#prefix);
    return fs.existsSync(parent) ? parent : mount;
  }

  #groups(state: DriverState): string[] {
    return this.#hierarchies.map((mount) => path.join(mount, groupOf(state)));
  }

  #group(state: DriverState, controller: string): string {
    const mount = this.#mounts.get(controller);
    if (mount === undefined)
      throw new WardenError('UNSUPPORTED', `this host has no ${controller} controller`, {
        fields: { operation: 'cgroup', object: controller },
      });
    return path.join(mount, groupOf(state));
  }
}

/** What is in the way is met where the group around it is removed. */
function tryRemoving(group: string): void {
  try {
    fs.rmdirSync(group);
  } catch {
    // it is gone, or somebody is in there
  }
}

/** `THAWED`, `FREEZING` or `FROZEN`. */
function readFreezer(group: string): string {
  try {
    return readControl(group, 'freezer.state');
  } catch (cause) {
    throw fileError('read whether frozen', group, cause);
  }
}

/** Both or none. */
function openBoth(memoryGroup: string, cpuGroup: string): { memory: OpenControls; cpu: OpenControls } {
  const ofMemory = new OpenControls(memoryGroup, [memory.MEMORY_STAT]);
  try {
    return { memory: ofMemory, cpu: new OpenControls(cpuGroup, controllers.CPU_STAT) };
  } catch (error) {
    ofMemory.close();
    throw error;
  }
}

function spentOf({ spent }: DriverState): memory.Spent | undefined {
  return typeof spent === 'string' ? spent : undefined;
}
