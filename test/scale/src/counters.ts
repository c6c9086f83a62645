/**
 * What a daemon and the kernel hold, as numbers that must not grow with the number of containers that have
 * come and gone. Those of the daemon and of its namespaces are its own; those of the kernel are everybody's
 * on the machine.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { patience, processesOf, type TestDaemon, type VitalsProbe } from '@warden/test-harness';

/** One kind of thing that could grow. */
export interface Kind {
  readonly name: string;
  /** So many more at the end than at the beginning are no growth: the machine does other things, too. */
  readonly allowance: number;
  /** Growth per cycle that is still none: a thing that is lost once in ten cycles would be more. */
  readonly perCycle: number;
}

const MEBI = 1 << 20;

/** What is watched. */
export const KINDS = [
  { name: 'daemon: descriptors', allowance: 2, perCycle: 0 },
  { name: 'daemon: threads', allowance: 2, perCycle: 0 },
  { name: 'daemon: heap after collection, bytes', allowance: MEBI, perCycle: 40 },
  { name: 'daemon: memory outside the heap, bytes', allowance: MEBI, perCycle: 40 },
  { name: 'daemon: resident, bytes', allowance: 24 * MEBI, perCycle: 400 },
  { name: 'daemon: what keeps its loop', allowance: 2, perCycle: 0 },
  { name: 'own: processes', allowance: 0, perCycle: 0 },
  { name: 'own: links', allowance: 2, perCycle: 0 },
  { name: 'own: nftables, lines of the rule set', allowance: 2, perCycle: 0 },
  { name: 'own: mounts of the host namespace', allowance: 0, perCycle: 0 },
  { name: 'own: connections tracked', allowance: 8, perCycle: 0 },
  { name: 'own: entries of the depot', allowance: 0, perCycle: 0 },
  { name: 'machine: memory groups that linger', allowance: 150, perCycle: 0.1 },
  { name: 'machine: process groups that linger', allowance: 150, perCycle: 0.1 },
  { name: 'machine: network namespaces', allowance: 150, perCycle: 0.1 },
  { name: 'machine: process namespaces', allowance: 150, perCycle: 0.1 },
  { name: 'machine: processes', allowance: 300, perCycle: 0.1 },
  { name: 'machine: open files', allowance: 3_000, perCycle: 0.1 },
  { name: 'machine: loop devices', allowance: 2, perCycle: 0 },
  { name: 'machine: slab that cannot be reclaimed, bytes', allowance: 128 * MEBI, perCycle: 4_096 },
  { name: 'machine: per-processor memory, bytes', allowance: 16 * MEBI, perCycle: 1_024 },
] as const satisfies readonly Kind[];

/** Numbers by the name of their kind. */
export type Counts = ReadonlyMap<string, number>;

/** Counts everything. What the kernel still takes down has been waited for: of two looks the second is the same. */
export async function count(daemon: TestDaemon, vitals: VitalsProbe): Promise<Counts> {
  await settled(daemon);
  const { pid, place } = daemon;
  const { heapUsed, external, rss, resources } = await vitals.read(pid);
  const { host } = place.network;
  const lines = (...command: string[]): number =>
    host
      .run(...command)
      .split('\n')
      .filter(Boolean).length;
  return new Map<(typeof KINDS)[number]['name'], number>([
    ['daemon: descriptors', fs.readdirSync(`/proc/${pid}/fd`).length],
    ['daemon: threads', fs.readdirSync(`/proc/${pid}/task`).length],
    ['daemon: heap after collection, bytes', heapUsed],
    ['daemon: memory outside the heap, bytes', external],
    ['daemon: resident, bytes', rss],
    ['daemon: what keeps its loop', resources],
    ['own: processes', processesOf(place).length],
    ['own: links', lines('ip', '-o', 'link')],
    ['own: nftables, lines of the rule set', lines('nft', 'list', 'ruleset')],
    ['own: mounts of the host namespace', lines('cat', '/proc/self/mountinfo')],
    ['own: connections tracked', Number(host.run('cat', '/proc/sys/net/netfilter/nf_conntrack_count'))],
    ['own: entries of the depot', fs.readdirSync(place.depot).length],
    ['machine: memory groups that linger', lingering('memory')],
    ['machine: process groups that linger', lingering('pids')],
    ['machine: network namespaces', slabObjects('net_namespace')],
    ['machine: process namespaces', slabObjects('pid_namespace')],
    ['machine: processes', fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length],
    ['machine: open files', Number(read('/proc/sys/fs/file-nr').split(/\s+/)[0])],
    ['machine: loop devices', attachedLoops()],
    ['machine: slab that cannot be reclaimed, bytes', memory('SUnreclaim')],
    ['machine: per-processor memory, bytes', memory('Percpu')],
  ]);
}

/** Links go with their namespaces, which the kernel ends behind the answer. */
async function settled({ place }: TestDaemon): Promise<void> {
  const links = (): number =>
    place.network.host
      .run('ip', '-o', 'link')
      .split('\n')
      .filter((line) => / w-/.test(line)).length;
  const deadline = Date.now() + patience(15_000);
  while (links() > 0 && Date.now() < deadline) await delay(50);
}

/** Groups that nobody can see any more and that the kernel still holds, for what was charged to them. */
function lingering(controller: string): number {
  const known = new RegExp(`^${controller}\\s+\\d+\\s+(\\d+)`, 'm').exec(read('/proc/cgroups'))?.[1];
  const mount = new RegExp(`^(?:\\S+ ){4}(\\S+) .* - cgroup \\S+ \\S*\\b${controller}\\b`, 'm').exec(
    read('/proc/self/mountinfo'),
  )?.[1];
  if (known === undefined || mount === undefined) return 0;
  return Math.max(0, Number(known) - directories(mount));
}

function directories(directory: string): number {
  let count = 1;
  try {
    for (const entry of fs.readdirSync(directory, { withFileTypes: true }))
      if (entry.isDirectory()) count += directories(path.join(directory, entry.name));
  } catch {
    // it has just been removed
  }
  return count;
}

function slabObjects(name: string): number {
  return Number(new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(read('/proc/slabinfo'))?.[1] ?? 0);
}

function memory(name: string): number {
  return 1_024 * Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(read('/proc/meminfo'))?.[1] ?? 0);
}

function attachedLoops(): number {
  return fs.readdirSync('/sys/block').filter((name) => read(`/sys/block/${name}/loop/backing_file`) !== '')
    .length;
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
