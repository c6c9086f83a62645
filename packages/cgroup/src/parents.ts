/**
 * The groups that hold those of all containers. They stay between daemons, and go when a configuration is
 * taken off its host.
 */
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { errnoOf, innerGroups } from './kernel-file.ts';

/** Those that are there, in words. */
export function standingGroups(parents: readonly string[]): string[] {
  return parents.filter((parent) => fs.existsSync(parent)).map((parent) => `cgroup ${parent}`);
}

/**
 * Removes what is there, each on its own. Errors: `NATIVE_FAILED` naming what is in those that stay: groups
 * of others are never touched, and neither are processes.
 */
export function removeParents(parents: readonly string[]): void {
  const failures = parents.map(removeParent).filter((one) => one !== undefined);
  const [first, ...others] = failures;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  const { code, fields } = first;
  throw new WardenError(code, failures.map(({ message }) => message).join('; '), { fields });
}

function removeParent(parent: string): WardenError | undefined {
  try {
    const inner = innerGroups(parent).map((group) => path.basename(group));
    if (inner.length > 0) return failure(parent, `it holds ${inner.join(', ')}`, 'ENOTEMPTY');
    fs.rmdirSync(parent);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') return failure(parent, (error as Error).message, errnoOf(error), error);
  }
  return undefined;
}

function failure(parent: string, why: string, errno: string, cause?: unknown): WardenError {
  return new WardenError('NATIVE_FAILED', `Failed to delete ${parent}: ${why}`, {
    cause,
    fields: { operation: 'remove cgroup', object: parent, errno },
  });
}
