/**
 * What groups of a container are called: a hierarchy of v1 lets them have other names later, and a memory
 * group has one for each part of its life.
 */
import path from 'node:path';

export const PREFIX = 'instance-';
/** Of a memory group that is only waited for. */
export const RETIRED_PREFIX = 'removed-';
/** Of one that waits for its next container. */
export const SPARE_PREFIX = 'spare-';
/** Of one to which pages are charged that others read, too. */
export const CACHE_PREFIX = 'cache-';

/** The same group in another part of its life. */
export function renamed(group: string, prefix: string): string {
  return path.join(path.dirname(group), `${prefix}${idOf(path.basename(group))}`);
}

export function isCalled(group: string, prefix: string): boolean {
  return path.basename(group).startsWith(prefix);
}

/** Of a group by its name, that of a container or what is left of one. */
export function idOf(name: string): string | undefined {
  return (
    [PREFIX, RETIRED_PREFIX, SPARE_PREFIX, CACHE_PREFIX].find((prefix) => name.startsWith(prefix)) &&
    name.slice(name.indexOf('-') + 1)
  );
}
