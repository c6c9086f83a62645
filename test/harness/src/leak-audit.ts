/**
 * The leak audit: an inventory of everything a daemon and its containers can leave on a host, taken before and after.
 * Compared as multisets; what is new and not expected is a leak.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestPlace } from './daemon.ts';
import { patience } from './patience.ts';
import { processesOf } from './places.ts';

/** Category to entries. */
export type Inventory = ReadonlyMap<string, readonly string[]>;

/** Takes an inventory of the place's namespaces and of the whole machine. */
export function takeInventory(place: TestPlace, daemonPid?: number): Inventory {
  const { host } = place.network;
  const inventory = new Map<string, readonly string[]>([
    ['processes', processes(place)],
    ['mounts of this namespace', ownMounts(place)],
    ['mounts of the host namespace', mounts(`/proc/${host.pid}/mountinfo`)],
    ['cgroups', cgroups(place)],
    ['namespaces', namespaces(place)],
    [
      'links',
      host
        .run('ip', '-o', 'link')
        .split('\n')
        .map((line) => line.split(': ')[1] ?? '')
        .filter((name) => name.startsWith('w-')),
    ],
    [
      'neighbours',
      host
        .run('ip', 'neighbour', 'show', 'nud', 'permanent')
        .split('\n')
        .filter((line) => line !== ''),
    ],
    ['nftables', rules(place)],
    ['unix sockets', unixSockets(host.pid, place.directory)],
    ['loop devices', loopDevices(place.directory)],
    ['depot', read0(place.depot).filter((name) => !name.startsWith('.'))],
    ['what destroyed containers have left', read0(path.join(place.depot, '.removed'))],
  ]);
  if (daemonPid !== undefined) inventory.set('descriptors of the daemon', descriptors(daemonPid));
  return inventory;
}

/** What `after` has and `before` has not, as `category: entry` lines. */
export function leaks(before: Inventory, after: Inventory): string[] {
  const found: string[] = [];
  for (const [category, entries] of after) {
    const rest = [...(before.get(category) ?? [])];
    for (const entry of entries) {
      const at = rest.indexOf(entry);
      if (at === -1) found.push(`${category}: ${entry}`);
      else rest.splice(at, 1);
    }
  }
  return found;
}

/**
 * Waits until nothing is left beyond `before`; answers what still is after `withinMs`. Network namespaces and their
 * interfaces are torn down by the kernel after the answer, so a leak is what stays.
 */
export async function remainingLeaks(
  place: TestPlace,
  before: Inventory,
  options: { daemonPid?: number; withinMs?: number } = {},
): Promise<string[]> {
  const deadline = Date.now() + patience(options.withinMs ?? 10_000);
  for (;;) {
    const found = leaks(before, takeInventory(place, options.daemonPid));
    if (found.length === 0 || Date.now() > deadline) return found;
    await delay(50);
  }
}

/**
 * Processes in the namespace of the place's host, whoever's they are: behind the daemon's end there is none.
 * Answers those that are still there after `withinMs`.
 */
export async function remainingStrangers(
  { network: { host } }: { readonly network: { readonly host: { readonly pid: number } } },
  withinMs = 10_000,
): Promise<string[]> {
  const deadline = Date.now() + patience(withinMs);
  for (;;) {
    const found = strangers(host.pid);
    if (found.length === 0 || Date.now() > deadline) return found;
    await delay(50);
  }
}

function strangers(holder: number): string[] {
  const own = fs.readlinkSync(`/proc/${holder}/ns/net`);
  return pids()
    .filter((pid) => pid !== String(holder) && networkOf(pid) === own)
    .map((pid) => `${pid} ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()}`);
}

function networkOf(pid: string): string | undefined {
  try {
    return fs.readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined; // it ended meanwhile
  }
}

function pids(): string[] {
  return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return ''; // the process ended meanwhile
  }
}

/** Processes that belong to the place. */
function processes(place: TestPlace): string[] {
  return processesOf(place).map((pid) => `${pid} ${read(`/proc/${pid}/comm`).trim()}`);
}

function mounts(file: string): string[] {
  return read(file)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' ').slice(3).join(' '));
}

/**
 * Of the namespace that all tests of a run share: without those that others, at work at the same time, have
 * below directories of their own, and the kit for control groups on its groups.
 */
export function ownMounts({ directory }: Pick<TestPlace, 'directory'>): string[] {
  const isOthers = /^(?:\/tmp\/warden-|\/sys\/fs\/cgroup\/.*\/warden-kit-)/;
  return mounts('/proc/self/mountinfo').filter((line) => {
    const point = line.split(' ')[1]!;
    return !isOthers.test(point) || point.startsWith(directory);
  });
}

/**
 * So many memory groups may a daemon keep (cgroup v1): for its next containers, and for what others read,
 * too; none where no daemon is.
 */
const MOST_KEPT_GROUPS = { 'spare-': 32, 'cache-': 16 };

function cgroups(place: TestPlace): string[] {
  const groups = groupsOf(place.name);
  // a daemon's socket keeps the name that it was bound to, beside the one it has now
  const isServed = read(`/proc/${place.network.host.pid}/net/unix`).includes(
    path.join(path.dirname(place.socket), '.w'),
  );
  const kept = Object.entries(MOST_KEPT_GROUPS).flatMap(([prefix, most]) =>
    groups.filter((group) => path.basename(group).startsWith(prefix)).slice(0, most),
  );
  const allowed = new Set(isServed ? kept : []);
  return groups.filter((group) => !allowed.has(group));
}

function groupsOf(name: string): string[] {
  const found: string[] = [];
  for (const line of mounts('/proc/self/mountinfo').filter((one) => / - cgroup2? /.test(one))) {
    const parent = path.join(line.split(' ')[1]!, name);
    for (const group of read0(parent))
      if (fs.statSync(path.join(parent, group), { throwIfNoEntry: false })?.isDirectory())
        found.push(path.join(parent, group));
  }
  return found;
}

function read0(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}

/**
 * Namespaces that live by a process of the place or by one this process started. (Those kept by a mount are
 * among the mounts; others on the machine are somebody else's, who may be working at the same time.)
 */
function namespaces(place: TestPlace): string[] {
  const found = new Set<string>();
  const own = new Set(processes(place).map((line) => line.split(' ')[0]!));
  for (const pid of pids().filter((one) => own.has(one) || isDescendant(one))) {
    for (const kind of ['net', 'mnt', 'pid', 'uts', 'ipc', 'user', 'cgroup']) {
      try {
        found.add(fs.readlinkSync(`/proc/${pid}/ns/${kind}`));
      } catch {
        // gone
      }
    }
  }
  return [...found];
}

function isDescendant(pid: string): boolean {
  for (let at = pid; at !== '0' && at !== '1' && at !== ''; ) {
    if (at === String(process.pid)) return true;
    const stat = read(`/proc/${at}/stat`);
    at = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? '';
  }
  return false;
}

function rules(place: TestPlace): string[] {
  return place.network.host
    .run('nft', 'list', 'ruleset')
    .split('\n')
    .filter((line) => /w-[0-9a-v]{11}|[ci]-[0-9a-v]{11}|10\.254\.\d+\.\d+ \./.test(line));
}

function unixSockets(pid: number, directory: string): string[] {
  return read(`/proc/${pid}/net/unix`)
    .split('\n')
    .map((line) => line.split(' ').at(-1) ?? '')
    .filter((name) => name.startsWith(directory) && name.includes('/run/'));
}

function loopDevices(directory: string): string[] {
  return read0('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => read(`/sys/block/${name}/loop/backing_file`).startsWith(directory));
}

/** Kinds of open descriptors with their numbers, as `N × kind`; sockets of clients come and go with the test. */
function descriptors(pid: number): string[] {
  const counts = new Map<string, number>();
  for (const name of read0(`/proc/${pid}/fd`)) {
    let target: string;
    try {
      target = fs.readlinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      continue;
    }
    const kind = target.replace(/:\[\d+\]$/, '').replace(/[0-9a-v]{11}/, '<id>');
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].flatMap(([kind, count]) => Array.from({ length: count }, () => kind));
}
