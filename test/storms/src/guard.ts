/**
 * A limit around all containers of a place, so that a storm that is not contained meets this one before it
 * meets the machine.
 */
import fs from 'node:fs';
import path from 'node:path';
import { cgroupParents, type TestPlace } from '@warden/test-harness';

const MEMORY_BYTES = 4n << 30n;
const PROCESSES = 12_000;

/** Puts the limits on the groups above the containers'. Answers how often the memory one has been met. */
export function guard(place: TestPlace): () => number {
  const parents = cgroupParents(place.name);
  const put = (name: string, value: string): string | undefined => {
    const parent = parents.find((one) => fs.existsSync(path.join(one, name)));
    if (parent !== undefined) fs.writeFileSync(path.join(parent, name), value);
    return parent;
  };
  put('pids.max', String(PROCESSES));
  const v1 = put('memory.limit_in_bytes', String(MEMORY_BYTES));
  const v2 = put('memory.max', String(MEMORY_BYTES));
  if (v1 === undefined && v2 === undefined)
    throw new Error('there is no memory group to guard the machine with');
  return () => {
    if (v1 !== undefined) return Number(fs.readFileSync(path.join(v1, 'memory.failcnt'), 'utf8'));
    const events = fs.readFileSync(path.join(v2!, 'memory.events'), 'utf8');
    return Number(/^max (\d+)/m.exec(events)?.[1] ?? 0);
  };
}
