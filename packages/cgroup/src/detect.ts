/** Which hierarchies this host has: the one place that decides between v1, v2 and hybrid. */
import fs from 'node:fs';
import path from 'node:path';

/** Where controllers are. */
export type Hierarchies =
  | {
      readonly version: 1 /** Where to make groups, by controller. */;
      readonly mounts: ReadonlyMap<string, string>;
    }
  | { readonly version: 2; readonly mount: string; readonly controllers: ReadonlySet<string> };

/** Files to read; others in tests. */
export interface DetectSources {
  readonly mountInfo?: string;
  /** Default: `/proc/self/cgroup`. */
  readonly ownGroups?: string;
}

/** Controllers of v1 that warden uses where they exist. */
export const V1_CONTROLLERS = ['cpu', 'cpuacct', 'memory', 'devices', 'pids', 'freezer', 'cpuset'] as const;

/**
 * Reads the mount table. A unified hierarchy that has the memory controller is v2, also where empty v1 mounts
 * lie beside it; a unified one without controllers beside v1 mounts is the hybrid layout, which is v1.
 * `undefined`: none is mounted.
 */
export function detectHierarchies(sources: DetectSources = {}): Hierarchies | undefined {
  const table = fs.readFileSync(sources.mountInfo ?? '/proc/self/mountinfo', 'utf8');
  const containers = containerGroups(fs.readFileSync(sources.ownGroups ?? '/proc/self/cgroup', 'utf8'));
  const mounts = new Map<string, string>();
  let unified: string | undefined;
  for (const line of table.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , root = '', target = ''] = left.split(' ').map(decodeField);
    const [type, , superOptions = ''] = right.split(' ');
    if (type === 'cgroup2') unified ??= target;
    else if (type === 'cgroup')
      for (const word of superOptions.split(','))
        if (isController(word) && !mounts.has(word))
          mounts.set(word, path.join(target, pathBelow(root, containers.get(word))));
  }
  if (unified !== undefined) {
    const controllers = new Set(readWords(`${unified}/cgroup.controllers`));
    if (controllers.has('memory') || mounts.size === 0) return { version: 2, mount: unified, controllers };
  }
  return mounts.size > 0 ? { version: 1, mounts } : undefined;
}

/**
 * For a warden in a container of another one: the container's group by controller. A v1 mount made inside
 * shows the whole hierarchy of the host, where groups of ours would lie outside the container's limits and
 * among the other daemon's.
 */
function containerGroups(ownGroups: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of ownGroups.split('\n')) {
    const [, controllers = '', group = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const container = /^.*\/instance-[0-9a-v]{11}(?=\/|$)/.exec(group)?.[0];
    if (container !== undefined) for (const name of controllers.split(',')) found.set(name, container);
  }
  return found;
}

/** `group` as seen in a mount that shows the hierarchy from `root` on; nothing when it is not to be seen there. */
function pathBelow(root: string, group = '/'): string {
  const relative = path.relative(root, group);
  return relative.startsWith('..') ? '' : relative;
}

function isController(word: string): boolean {
  return (V1_CONTROLLERS as readonly string[]).includes(word);
}

/** Octal escapes of proc(5). */
function decodeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function readWords(file: string): string[] {
  try {
    return fs
      .readFileSync(file, 'utf8')
      .split(/\s+/)
      .filter((word) => word !== '');
  } catch {
    return []; // not readable: no controller of it can be used
  }
}
