/** Which hierarchies this host has: the one place that decides between v1, v2 and hybrid. */
import fs from 'node:fs';

/** Where controllers are. */
export type Hierarchies =
  | { readonly version: 1 /** Mount point by controller. */; readonly mounts: ReadonlyMap<string, string> }
  | { readonly version: 2; readonly mount: string; readonly controllers: ReadonlySet<string> };

/** Files to read; others in tests. */
export interface DetectSources {
  readonly mountInfo?: string;
}

/** Controllers of v1 that warden uses where they exist. */
export const V1_CONTROLLERS = ['cpu', 'cpuacct', 'memory', 'devices', 'pids', 'cpuset'] as const;

/**
 * Reads the mount table. A unified hierarchy that has the memory controller is v2, also where empty v1 mounts lie beside it; a unified one
 * without controllers beside v1 mounts is the hybrid layout, which is v1. `undefined`: none is mounted.
 */
export function detectHierarchies(sources: DetectSources = {}): Hierarchies | undefined {
  const table = fs.readFileSync(sources.mountInfo ?? '/proc/self/mountinfo', 'utf8');
  const mounts = new Map<string, string>();
  let unified: string | undefined;
  for (const line of table.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const target = decodeField(left.split(' ')[4] ?? '');
    const [type, , superOptions = ''] = right.split(' ');
    if (type === 'cgroup2') unified ??= target;
    else if (type === 'cgroup')
      for (const word of superOptions.split(','))
        if (isController(word) && !mounts.has(word)) mounts.set(word, target);
  }
  if (unified !== undefined) {
    const controllers = new Set(readWords(`${unified}/cgroup.controllers`));
    if (controllers.has('memory') || mounts.size === 0) return { version: 2, mount: unified, controllers };
  }
  return mounts.size > 0 ? { version: 1, mounts } : undefined;
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
