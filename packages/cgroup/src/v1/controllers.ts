/** The v1 controllers except memory, each as the few files it is. */
import fs from 'node:fs';
import path from 'node:path';
import type { CpuStat } from '@warden/interface';
import { type DeviceRule, formatRule } from '../device-rules.ts';
import {
  errnoOf,
  fileError,
  type OpenControls,
  parseKeyed,
  readControl,
  writeControl,
} from '../kernel-file.ts';

/** cpu: `cpu.shares`. */
export function readShares(group: string): bigint {
  try {
    return BigInt(readControl(group, 'cpu.shares'));
  } catch (cause) {
    throw fileError('read cpu shares', group, cause);
  }
}

/** Answers what the kernel made of it. Errors: text `Failed setting cpu shares`. */
export function writeShares(group: string, shares: bigint): bigint {
  try {
    writeControl(group, 'cpu.shares', shares);
    return BigInt(readControl(group, 'cpu.shares'));
  } catch (cause) {
    throw fileError('set cpu shares', group, cause, 'Failed setting cpu shares');
  }
}

/** What {@link readCpuStat} reads. */
export const CPU_STAT: readonly string[] = ['cpuacct.stat', 'cpuacct.usage'];

/** cpuacct: nanoseconds and clock ticks. Errors: text `Failed getting cpu stats`. */
export function readCpuStat(group: string, open?: OpenControls): CpuStat {
  const read = (file: string): string => open?.read(file) ?? readControl(group, file);
  try {
    const ticks = parseKeyed(read('cpuacct.stat'));
    return {
      usage: BigInt(read('cpuacct.usage')),
      user: ticks.get('user') ?? 0n,
      system: ticks.get('system') ?? 0n,
    };
  } catch (cause) {
    throw fileError('read cpu stats', group, cause, 'Failed getting cpu stats');
  }
}

/**
 * devices: everything denied, then the list. A policy in force is not written again: those inside would be
 * without devices for a moment, and the kernel refuses to deny everything once there are groups inside.
 */
export function writeDevicePolicy(group: string, devices: readonly DeviceRule[] | 'all'): void {
  const wanted = devices === 'all' ? ['a *:* rwm'] : devices.map(formatRule);
  try {
    const inForce = readControl(group, 'devices.list').split('\n');
    if (inForce.length === wanted.length && wanted.every((rule) => inForce.includes(rule))) return;
    writeControl(group, 'devices.deny', 'a');
    writeControl(group, 'devices.allow', ...wanted);
  } catch (cause) {
    throw fileError('set device policy', group, cause);
  }
}

/** pids: highest number of processes and threads, or `max`. */
export function writePidsLimit(group: string, limit: string): void {
  try {
    writeControl(group, 'pids.max', limit);
  } catch (cause) {
    throw fileError('set process limit', group, cause);
  }
}

/**
 * cpuset, where it shares a hierarchy with another controller: an empty one takes no process, so it copies
 * its parent.
 */
export function copyCpuset(group: string): void {
  try {
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (fs.existsSync(path.join(group, file)) && readControl(group, file) === '')
        writeControl(group, file, readControl(path.dirname(group), file));
    }
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw fileError('copy cpuset', group, cause);
  }
}
