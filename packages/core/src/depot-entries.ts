/**
 * What lies in a depot. Ours is what carries a record of ours, or `etc/config` with a container's id, or is
 * named like a container and holds nothing but what a container's directory is begun with. Everything else
 * (files, links, hidden names, `lost+found`, directories of others) is nobody's business here.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type ContainerId, isContainerId, toWardenError, type WardenError } from '@warden/interface';
import { parseAddress } from './pools.ts';
import { type ContainerRecord, parseRecord, RECORD_FILE } from './record.ts';
import { readStateFile } from './state-file.ts';

/** Set-aside directories keep their id behind this. The dot hides them from every later start. */
export const QUARANTINE_PREFIX = '.quarantine-';
/** Names a container's directory has before its record is there, or after somebody removed it. */
const PARTS = [
  'bin',
  'etc',
  'jobs',
  'lib',
  'mnt',
  'pids',
  'quarantine.json',
  'root',
  'run',
  'tmp',
  'disk.img',
  `${RECORD_FILE}.new`,
  `${RECORD_FILE}.old`,
];

interface Entry {
  readonly id: ContainerId;
  /** In the depot; a container's need not be its id, for an operator may have renamed it. */
  readonly name: string;
  readonly directory: string;
}

/** A record, and the text of its file as it was read. */
interface FoundRecord {
  readonly record: ContainerRecord;
  readonly text: string;
}

/** See the file's head. */
export type DepotEntry = Entry &
  (
    | ({ readonly kind: 'recorded' } & FoundRecord)
    /** Half made, or robbed of its record; `uid` as far as it is known. */
    | ({ readonly kind: 'unrecorded' } & Addresses)
    /** `isBlank`: the file has no content, as a power failure leaves one that was not yet on the disk. */
    | ({ readonly kind: 'broken'; readonly error: WardenError; readonly isBlank: boolean } & Addresses)
    | ({ readonly kind: 'set-aside'; readonly found: FoundRecord | undefined } & Addresses)
  );

/** One whose record is in order. */
export type RecordedEntry = Extract<DepotEntry, { kind: 'recorded' }>;

/** As far as `etc/config` tells them. */
interface Addresses {
  /** Of its network block. */
  readonly network: number | undefined;
  readonly uid: number | undefined;
}

/** What is recorded of it, as far as it can be read. */
export function recordOf(entry: DepotEntry): ContainerRecord | undefined {
  if (entry.kind === 'set-aside') return entry.found?.record;
  return entry.kind === 'recorded' ? entry.record : undefined;
}

/** All entries that are ours, by name. */
export function readDepot(depot: string): readonly DepotEntry[] {
  return directoriesIn(depot)
    .sort()
    .flatMap((name) => readEntry(depot, name) ?? []);
}

/** The ids of all entries that are ours now. Those that were there before are not read again. */
export function idsInDepot(depot: string, before: readonly DepotEntry[]): Set<ContainerId> {
  const known = new Map(before.map(({ name, id }) => [name, id]));
  return new Set(directoriesIn(depot).flatMap((name) => known.get(name) ?? readEntry(depot, name)?.id ?? []));
}

function directoriesIn(depot: string): string[] {
  return fs
    .readdirSync(depot, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

function readEntry(depot: string, name: string): DepotEntry | undefined {
  const directory = path.join(depot, name);
  if (name.startsWith('.')) {
    const [id = ''] = name.slice(QUARANTINE_PREFIX.length).split('.');
    if (!name.startsWith(QUARANTINE_PREFIX) || !isContainerId(id)) return undefined;
    const record = readRecord(directory);
    const found = record === undefined || isFault(record) ? undefined : record;
    return { kind: 'set-aside', id, name, directory, found, ...addressesIn(readConfig(directory)) };
  }
  const record = readRecord(directory);
  if (record !== undefined && !isFault(record))
    return { kind: 'recorded', id: record.record.id, name, directory, ...record };
  const config = readConfig(directory);
  const id = config.get('id') ?? (isContainerId(name) ? name : undefined);
  if (id === undefined || !isContainerId(id)) return undefined;
  const addresses = addressesIn(config);
  if (record !== undefined) {
    const { fault: error, isBlank } = record;
    return { kind: 'broken', id, name, directory, error, isBlank, ...addresses };
  }
  if (!config.has('id') && !fs.readdirSync(directory).every((part) => PARTS.includes(part))) return undefined;
  return { kind: 'unrecorded', id, name, directory, ...addresses };
}

function addressesIn(config: ReadonlyMap<string, string>): Addresses {
  const uid = Number(config.get('user_uid') ?? Number.NaN);
  const host = parseAddress(config.get('network_host_ip') ?? '');
  return {
    network: host === undefined ? undefined : host - (host % 4),
    uid: Number.isInteger(uid) ? uid : undefined,
  };
}

interface Fault {
  readonly fault: WardenError;
  readonly isBlank: boolean;
}

function isFault(found: FoundRecord | Fault): found is Fault {
  return 'fault' in found;
}

/** `undefined`: there is none. */
function readRecord(directory: string): FoundRecord | Fault | undefined {
  let text: string | undefined;
  try {
    text = readStateFile(path.join(directory, RECORD_FILE));
    return { record: parseRecord(text), text };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    return { fault: toWardenError(error), isBlank: text !== undefined && /^[\0\s]*$/.test(text) };
  }
}

/** The lines of `etc/config`; none when it cannot be read. */
function readConfig(directory: string): ReadonlyMap<string, string> {
  try {
    const lines = readStateFile(path.join(directory, 'etc/config')).split('\n');
    return new Map(
      lines.flatMap((line) => {
        const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
        return key === undefined ? [] : [[key, value!] as const];
      }),
    );
  } catch {
    return new Map();
  }
}
