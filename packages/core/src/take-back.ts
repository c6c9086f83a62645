/**
 * What an earlier daemon has set aside (`quarantine.ts`) for a reason that may have gone since, and lives.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type DepotEntry, type RecordedEntry, recordOf } from './depot-entries.ts';
import type { Engine } from './engine.ts';
import { connectRecovered } from './frozen.ts';
import type { ContainerRecord } from './record.ts';

/**
 * What an earlier daemon has set aside gets its name back while its init lives and its record is in order: a
 * network driver that was changed may be the earlier one again, a host have again what it was short of, the
 * earlier daemon have been too old for the record, an operator have repaired it. If it is not so it is set
 * aside once more. What lives no longer stays aside: it may stand for somebody's data; and so does one whose
 * handle another container has got meanwhile.
 */
export async function takeBack(
  engine: Engine,
  entries: readonly DepotEntry[],
): Promise<readonly DepotEntry[]> {
  const { depot } = engine.options;
  const claimed = new Set(
    entries
      .filter(({ kind }) => kind !== 'set-aside')
      .flatMap((entry) => [`id ${entry.id}`, ...namesOf(recordOf(entry))]),
  );
  // all at once: each may take its time, and until all are known nobody is served
  const found = await Promise.all(entries.map((entry) => liveAgain(engine, entry, claimed)));
  const now: DepotEntry[] = [];
  for (const [at, entry] of entries.entries()) {
    const back = found[at];
    const directory = path.join(depot, entry.id);
    if (back === undefined || isClaimed(back.record, claimed) || !moves(engine, entry.directory, directory)) {
      now.push(entry);
      continue;
    }
    for (const name of namesOf(back.record)) claimed.add(name);
    now.push({ ...back, name: entry.id, directory });
    engine.logger.info('container-tried-again', { id: entry.id, handle: back.record.handle });
  }
  return now;
}

/** What no two containers share. */
function namesOf(record: ContainerRecord | undefined): readonly string[] {
  return record === undefined ? [] : [`id ${record.id}`, `handle ${record.handle}`];
}

function isClaimed(record: ContainerRecord, claimed: ReadonlySet<string>): boolean {
  return namesOf(record).some((name) => claimed.has(name));
}

/** The entry of a container that can be tried again. */
async function liveAgain(
  engine: Engine,
  entry: DepotEntry,
  claimed: ReadonlySet<string>,
): Promise<RecordedEntry | undefined> {
  if (entry.kind !== 'set-aside' || entry.found === undefined) return undefined;
  const { id, name, directory, found } = entry;
  if (found.record.id !== id || isClaimed(found.record, claimed)) return undefined;
  const back: RecordedEntry = { kind: 'recorded', id, name, directory, ...found };
  const init = await connectRecovered(engine, back).catch(() => undefined);
  init?.disconnect();
  return init === undefined ? undefined : back;
}

/** False: it stays where it is. */
function moves({ logger }: Engine, from: string, to: string): boolean {
  try {
    if (fs.existsSync(to)) return false;
    fs.renameSync(from, to);
    return true;
  } catch (error) {
    logger.warn('not-tried-again', { directory: from, error });
    return false;
  }
}
