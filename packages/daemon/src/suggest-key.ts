/** Which key of the configuration was probably meant by one that is none. */
import { didYouMean } from '@warden/interface';
import { type KeyRule, SCHEMA } from './config-schema.ts';

/** For the end of a text about `key`, which is a section or `section.key`. */
export function didYouMeanKey(key: string): string {
  const depth = depthOf(key);
  return didYouMean(
    key,
    [...names()].filter((name) => depthOf(name) === depth),
  );
}

function depthOf(key: string): number {
  return key.split('.').length;
}

function* names(): Generator<string> {
  for (const [section, keys] of Object.entries(SCHEMA)) {
    yield section;
    yield* below(section, keys);
  }
}

function* below(parent: string, keys: Readonly<Record<string, KeyRule>>): Generator<string> {
  for (const [key, rule] of Object.entries(keys)) {
    yield `${parent}.${key}`;
    if (rule.type === 'section') yield* below(`${parent}.${key}`, rule.keys);
  }
}
