/**
 * Where tests have put their daemons, for whoever comes after a run that was killed: its daemons die with it,
 * its containers do not. Each place is a file that names the process it belongs to; what belongs to nobody
 * alive is removed by the next run.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const REGISTRY = '/tmp/warden-test-places';

interface Entry {
  readonly name: string;
  readonly directory: string;
  readonly pid: number;
  /** Tells the process from a later one with its number. */
  readonly birth: string;
}

/** Notes a place as this process's. The answer takes the note back. */
export function registerPlace(
  place: { readonly name: string; readonly directory: string },
  registry: string = REGISTRY,
): () => void {
  fs.mkdirSync(registry, { recursive: true, mode: 0o700 });
  const file = path.join(registry, `${place.name}.json`);
  const { pid } = process;
  const entry: Entry = { name: place.name, directory: place.directory, pid, birth: birthOf(pid)! };
  fs.writeFileSync(`${file}.new`, JSON.stringify(entry));
  fs.renameSync(`${file}.new`, file);
  return () => fs.rmSync(file, { force: true });
}

/** Removes what runs that are no more have left: processes, groups, directories. Answers the names of their places. */
export async function reapPlaces(registry: string = REGISTRY): Promise<readonly string[]> {
  const reaped: string[] = [];
  for (const file of listing(registry).filter((name) => name.endsWith('.json'))) {
    const entry = readEntry(path.join(registry, file));
    if (entry === undefined || birthOf(entry.pid) === entry.birth) continue;
    for (const pid of processesOf({ name: entry.name, depot: path.join(entry.directory, 'depot') })) end(pid);
    await sweepGroups(entry.name);
    fs.rmSync(entry.directory, { recursive: true, force: true, maxRetries: 10 });
    fs.rmSync(path.join(registry, file), { force: true });
    reaped.push(entry.name);
  }
  return reaped;
}

/**
 * Ends what still runs in the groups of a daemon's name, and removes them. For places whose daemon is gone
 * for good.
 */
export async function sweepGroups(name: string): Promise<void> {
  // all at once: they end together, and not one after the other
  for (const group of cgroupParents(name).flatMap((parent) => [parent, ...groupsIn(parent)])) endAll(group);
  for (const parent of cgroupParents(name)) {
    for (const group of [...groupsIn(parent), parent]) {
      for (let tries = 0; tries < 100 && fs.existsSync(group); tries++) {
        endAll(group);
        forceEmpty(group);
        try {
          fs.rmdirSync(group);
        } catch {
          await delay(50); // they are on their way out
        }
      }
    }
  }
}

/** The parent groups a daemon of that name makes, in every hierarchy. */
export function cgroupParents(name: string): string[] {
  const mounts = fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return mounts
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => path.join(line.split(' ')[4]!, name))
    .filter((parent) => fs.existsSync(parent));
}

/** Processes that belong to a place: by cgroup, by a program below its depot, or by working there. */
export function processesOf({
  name,
  depot,
}: {
  readonly name: string;
  readonly depot: string;
}): readonly string[] {
  return listing('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return false;
    const isBelow = (link: string): boolean => readLink(`/proc/${pid}/${link}`).startsWith(depot);
    return isBelow('exe') || isBelow('cwd') || read(`/proc/${pid}/cgroup`).includes(`/${name}/`);
  });
}

/** When a process began, by a clock that no other process shares; `undefined`: there is none. */
function birthOf(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === '') return undefined;
  const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return `${read('/proc/sys/kernel/random/boot_id').trim()} ${ticks}`;
}

function readEntry(file: string): Entry | undefined {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as Entry;
  } catch {
    return undefined; // somebody else has just removed it
  }
}

/** Without it the kernel of a v1 hierarchy keeps removed memory groups for what was charged to them. */
function forceEmpty(group: string): void {
  const file = path.join(group, 'memory.force_empty');
  try {
    if (fs.existsSync(file)) fs.writeFileSync(file, '0');
  } catch {
    // somebody is still in there
  }
}

/** All groups below, the innermost first: a container's group can hold another one. */
function groupsIn(parent: string): string[] {
  return listing(parent)
    .map((name) => path.join(parent, name))
    .filter((file) => fs.statSync(file, { throwIfNoEntry: false })?.isDirectory())
    .flatMap((group) => [...groupsIn(group), group]);
}

/** Also of what is frozen, which would die only when it is thawed. */
function endAll(group: string): void {
  thaw(group);
  for (const pid of read(path.join(group, 'cgroup.procs')).split('\n').filter(Boolean)) end(pid);
}

function thaw(group: string): void {
  const [v1, v2] = [path.join(group, 'freezer.state'), path.join(group, 'cgroup.freeze')];
  try {
    if (fs.existsSync(v1)) fs.writeFileSync(v1, 'THAWED');
    if (fs.existsSync(v2)) fs.writeFileSync(v2, '0');
  } catch {
    // it has just gone
  }
}

function end(pid: string): void {
  try {
    process.kill(Number(pid), 'SIGKILL');
  } catch {
    // it has just ended
  }
}

function listing(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return ''; // the process ended meanwhile
  }
}

function readLink(link: string): string {
  try {
    return fs.readlinkSync(link);
  } catch {
    return ''; // a kernel thread, or gone
  }
}
