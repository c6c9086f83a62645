import type { Properties } from '@warden/interface';

/** Pairs as an object without a prototype: `__proto__` is a name like any other. */
export function dictionary(entries: readonly (readonly [string, string])[]): Properties {
  const copy: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of entries) copy[name] = value;
  return copy;
}
