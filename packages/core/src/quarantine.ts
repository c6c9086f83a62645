/**
 * Containers that cannot be understood: their directories are set aside under a hidden name with the reason
 * in a file, whatever lives in them lives on, and their addresses are given to nobody else. `wardend doctor`
 * lists them. Those whose record is in order, or is so again, are tried again at each start.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type ContainerId, isContainerId, isWardenError, toWardenError } from '@warden/interface';
import { type DepotEntry, QUARANTINE_PREFIX } from './depot-entries.ts';
import type { Engine } from './engine.ts';
import { RECORD_FILE, type Stored } from './record.ts';
import { readStateFile } from './state-file.ts';

/** In a directory that was set aside: why. */
const REASON_FILE = 'quarantine.json';

/** What to do, for an operator, where nothing better is known. */
const QUARANTINE_ADVICE =
  'end its init (the pid in run/wshd.pid, if it is still that), umount tmp in the directory if it is mounted, and remove the directory, or repair its snapshot.json; then restart the daemon';

/**
 * The same where the record is in order: what was in the way may be the configuration, or a host that was
 * short of something.
 */
const RETRY_ADVICE =
  'mend what the reason says and restart the daemon: each start tries again as long as its init lives; if it is not needed, end its init (the pid in run/wshd.pid, if it is still that), umount tmp in the directory if it is mounted, and remove the directory';

/** A container that was set aside. */
export interface SetAside {
  readonly id: ContainerId;
  readonly directory: string;
  /** As far as it is known. */
  readonly handle?: string;
  readonly reason: string;
  /** When, in ISO 8601. */
  readonly since?: string;
  /** What to do. */
  readonly advice: string;
}

/** Sets one aside. Never throws: the daemon has others to serve. */
export function quarantine(engine: Engine, entry: DepotEntry, cause: unknown): void {
  const { id, directory } = entry;
  const target = freeName(path.join(engine.options.depot, `${QUARANTINE_PREFIX}${id}`));
  const reason = cause === undefined ? 'its record cannot be read' : toWardenError(cause).message;
  const handle = handleIn(directory);
  const advice = adviceOf(cause) ?? (entry.kind === 'recorded' ? RETRY_ADVICE : QUARANTINE_ADVICE);
  const explanation = { id, handle, reason, since: new Date().toISOString(), advice };
  try {
    // first: nothing is ever aside without a reason
    writeQuietly(path.join(directory, REASON_FILE), `${JSON.stringify(explanation, null, 2)}\n`);
    fs.renameSync(directory, target);
    engine.failpoints.passSync('recover.quarantine');
    engine.logger.error('container-quarantined', {
      id,
      handle,
      directory: target,
      reason,
      advice,
    });
  } catch (error) {
    engine.logger.error('quarantine-incomplete', { id, reason, error: toWardenError(error) });
  }
}

/** What failed may know better. */
function adviceOf(cause: unknown): string | undefined {
  const advice = isWardenError(cause) ? cause.fields.advice : undefined;
  return typeof advice === 'string' ? advice : undefined;
}

/** A full disk is no reason to leave it in the way. */
function writeQuietly(file: string, text: string): void {
  try {
    fs.writeFileSync(file, text);
  } catch {
    // the log has it
  }
}

/** Whatever else is wrong with the record, it may still tell this. */
function handleIn(directory: string): string | undefined {
  try {
    const found = JSON.parse(readStateFile(path.join(directory, RECORD_FILE))) as Partial<Stored>;
    return found.resources?.handle;
  } catch {
    return undefined;
  }
}

/** An earlier one with the same id stays as well. */
function freeName(wanted: string): string {
  for (let number = 0; ; number++) {
    const name = number === 0 ? wanted : `${wanted}.${number}`;
    if (!fs.existsSync(name)) return name;
  }
}

/** All that are set aside in a depot, by id; none where there is no depot. */
export function setAside(depot: string): readonly SetAside[] {
  if (!fs.existsSync(depot)) return [];
  return fs
    .readdirSync(depot)
    .filter((name) => name.startsWith(QUARANTINE_PREFIX))
    .sort()
    .flatMap((name) => {
      const [id = ''] = name.slice(QUARANTINE_PREFIX.length).split('.');
      const directory = path.join(depot, name);
      return isContainerId(id) ? [{ id, directory, ...explanation(directory) }] : [];
    });
}

/** What to do about one that was set aside in this directory. */
export function adviceIn(directory: string): string {
  return explanation(directory).advice;
}

function explanation(directory: string): Pick<SetAside, 'reason' | 'handle' | 'since' | 'advice'> {
  const unknown = { reason: 'no reason was noted', advice: QUARANTINE_ADVICE };
  try {
    const found = JSON.parse(readStateFile(path.join(directory, REASON_FILE))) as Partial<SetAside>;
    return { ...unknown, ...found };
  } catch {
    return unknown;
  }
}
