/**
 * What is on disk about a container: `snapshot.json` in its directory, in the original's keys (spec
 * behaviour.md 9) with our own under `warden`. It is written before anything is made (state `born`: the
 * intent), before everything else that takes more than one step, and after every change: beside the last good
 * one, which it replaces by a rename. Two are one write in its place, see {@link writeIntent} and
 * {@link writeLastRecord}. The last key is a checksum of all that is before it.
 */
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import {
  type ContainerId,
  type DriverState,
  type EgressRule,
  type ImageBase,
  isWardenError,
  type Logger,
  type PortMapping,
  type Properties,
  WardenError,
} from '@warden/interface';
import { closeDescriptor } from './close-descriptor.ts';
import { dictionary } from './dictionary.ts';
import type { CoreFailpoints } from './failpoint-names.ts';
import { formatAddress, parseAddress } from './pools.ts';
import { checkStored } from './record-check.ts';

/** File name in the container's directory. */
export const RECORD_FILE = 'snapshot.json';
/**
 * 1: without `destroying` and checksum. 2: with them. 3: with rules about names, which an older daemon would
 * take for rules about everything; written only where there are some. What is newer than this is not
 * understood, and so nothing is done to its container. A daemon leaves keys that it does not know out of what
 * it writes: one that must not be lost by going back to an older daemon needs a newer version, too.
 */
const VERSION = 3;
const VERSION_WITHOUT_NAMES = 2;
const OLDEST_VERSION = 1;

/** What to do about a record of a newer version. */
const NEWER_ADVICE =
  'start the daemon that wrote it, which is newer than this one: it takes the container back as long as its init lives';

/** States of all drivers, as planned. */
export interface DriverStates {
  readonly filesystem: DriverState;
  readonly network: DriverState;
  readonly cgroup: DriverState;
  readonly quota: DriverState;
}

/** What a later daemon has to know about a job, besides what init tells it. */
export interface JobNote {
  readonly discardOutput: boolean;
  readonly logTag: string | undefined;
  /** Others may read its output while it lives. */
  readonly hasSockets: boolean;
  /** Set once it has ended. */
  exitStatus: number | undefined;
}

/** The persistent facts. */
export interface ContainerRecord {
  readonly id: ContainerId;
  /** A prepared container gets its own when it is claimed; so with the grace time. */
  handle: string;
  /** First address of the /30 block. */
  readonly network: number;
  readonly uid: number;
  /**
   * The host's id of the first user inside; `null`: users inside are the host's; absent: of an older daemon.
   * What a later configuration says is about later containers.
   */
  readonly firstId?: number | null;
  readonly rootfs: string;
  /** What it was made from; `rootfs` is its uppermost layer then. */
  readonly image?: ImageBase | undefined;
  graceTime: number | undefined;
  /** The groups' may say more once they are made. */
  drivers: DriverStates;
  /**
   * When it got its handle, in relation to others: a prepared container is older than its place among them.
   * 0: by its id.
   */
  order: number;
  /** What its confinement lacked when it was made, in words. */
  readonly unsafe: readonly string[];
  state: 'born' | 'active' | 'stopped';
  /** Its destruction has begun: whoever finds it goes on with that. */
  isDestroying: boolean;
  /** It stands still, or is about to, for a snapshot. */
  isHeld?: boolean;
  readonly events: Set<string>;
  /** Jobs that are more than something to wait for. */
  readonly jobs: Map<number, JobNote>;
  /** Ports from the pool, to be given back. */
  readonly ports: Set<number>;
  readonly mappings: PortMapping[];
  /** In the order of the requests; the last one is examined first. */
  readonly egress: EgressRule[];
  memoryLimit: bigint | undefined;
  cpuShares: bigint | undefined;
  /** Out-of-memory kills before the first memory limit: more of them, and one happened that must stop the container. */
  outOfMemoryKills: bigint | undefined;
  bandwidth: { readonly rate: bigint; readonly burst: bigint } | undefined;
  properties: Properties;
  /** Its processes stand still, or are about to. */
  isPaused: boolean;
}

/** The text of the file. */
export function serializeRecord(record: ContainerRecord): string {
  const text = JSON.stringify({
    events: [...record.events],
    jobs: Object.fromEntries([...record.jobs].map(([id, note]) => [id, storedJob(note)])),
    limits: {},
    grace_time: record.graceTime ?? null,
    resources: {
      container_id: record.id,
      handle: record.handle,
      network: formatAddress(record.network),
      uid: record.uid,
      ports: [...record.ports],
      net_in: record.mappings.map(({ hostPort, containerPort }) => [hostPort, containerPort]),
      net_out: record.egress,
      ...(record.memoryLimit === undefined ? {} : { limit_memory: record.memoryLimit.toString() }),
      ...(record.cpuShares === undefined ? {} : { limit_cpu: record.cpuShares.toString() }),
    },
    state: record.state,
    warden: {
      version: record.egress.some(({ domain }) => domain !== undefined) ? VERSION : VERSION_WITHOUT_NAMES,
      ...(record.isDestroying ? { destroying: true } : {}),
      ...(record.isPaused ? { paused: true } : {}),
      // as pairs: a name may be one that JSON.parse would not give back as a key
      ...(Object.keys(record.properties).length === 0
        ? {}
        : { properties: Object.entries(record.properties) }),
      ...(record.isHeld ? { held: true } : {}),
      rootfs: record.rootfs,
      ...(record.firstId === undefined ? {} : { first_id: record.firstId }),
      ...(record.image === undefined ? {} : { image: record.image }),
      drivers: record.drivers,
      ...(record.order === 0 ? {} : { order: record.order }),
      ...(record.unsafe.length === 0 ? {} : { unsafe: record.unsafe }),
      ...(record.outOfMemoryKills === undefined
        ? {}
        : { out_of_memory_kills: record.outOfMemoryKills.toString() }),
      ...(record.bandwidth === undefined
        ? {}
        : {
            bandwidth: { rate: record.bandwidth.rate.toString(), burst: record.bandwidth.burst.toString() },
          }),
    },
  });
  return `${text.slice(0, -1)}${CHECKSUM_KEY}${checksum(text)}"}`;
}

const CHECKSUM_KEY = ',"checksum":"';

function checksum(text: string): string {
  return zlib.crc32(text).toString(16).padStart(8, '0');
}

/** Absent: whoever changed the file by hand took it out, as the advice says. */
function verify(text: string): void {
  const [, before, found] = /^(.*),"checksum":"([^"]*)"\}\s*$/s.exec(text) ?? [];
  if (found === undefined || checksum(`${before}}`) === found) return;
  throw new WardenError(
    'INVALID_SPEC',
    'the record does not have its checksum: it is damaged, or was changed by hand (then take the key "checksum" out)',
  );
}

interface StoredJob {
  readonly discard_output: boolean;
  readonly log_tag: string | null;
  readonly sockets: boolean;
  /** As in the original: exit status and no output. */
  readonly status?: readonly [number, string, string];
}

function storedJob({ discardOutput, logTag, hasSockets, exitStatus }: JobNote): StoredJob {
  return {
    discard_output: discardOutput,
    log_tag: logTag ?? null,
    sockets: hasSockets,
    ...(exitStatus === undefined ? {} : { status: [exitStatus, '', ''] }),
  };
}

function jobNote(stored: StoredJob): JobNote {
  return {
    discardOutput: stored.discard_output === true,
    logTag: stored.log_tag ?? undefined,
    hasSockets: stored.sockets === true,
    exitStatus: stored.status?.[0],
  };
}

/** The whole of a file. */
export interface Stored {
  readonly events: readonly string[];
  readonly jobs?: Readonly<Record<string, StoredJob>>;
  readonly grace_time: number | null;
  readonly resources: {
    readonly container_id: string;
    readonly handle: string;
    readonly network: string;
    readonly uid: number;
    readonly ports: readonly number[];
    readonly net_in: readonly (readonly [number, number])[];
    readonly net_out: readonly EgressRule[];
    readonly limit_memory?: string;
    readonly limit_cpu?: string;
  };
  readonly state: 'born' | 'active' | 'stopped';
  readonly warden: {
    readonly version: number;
    readonly destroying?: boolean;
    readonly paused?: boolean;
    readonly properties?: readonly (readonly [string, string])[];
    readonly held?: boolean;
    readonly rootfs: string;
    readonly first_id?: number | null;
    readonly image?: ImageBase;
    readonly drivers: DriverStates;
    readonly order?: number;
    readonly unsafe?: readonly string[];
    readonly out_of_memory_kills?: string;
    readonly bandwidth?: { readonly rate: string; readonly burst: string };
  };
}

/** Reads a file's text. Errors: `INVALID_SPEC` saying what is wrong; the file is then somebody else's, or broken. */
export function parseRecord(text: string): ContainerRecord {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', `the record is no JSON: ${(cause as Error).message}`, { cause });
  }
  const version = (found as Partial<Stored> | null)?.warden?.version;
  if (!Number.isInteger(version) || version! < OLDEST_VERSION || version! > VERSION) {
    const isNewer = Number.isInteger(version) && version! > VERSION;
    throw new WardenError(
      'INVALID_SPEC',
      `the record has version ${version ?? 'none'}, this daemon knows ${OLDEST_VERSION} to ${VERSION}`,
      { fields: isNewer ? { advice: NEWER_ADVICE } : {} },
    );
  }
  verify(text);
  const stored = checkStored(found);
  const { resources, warden } = stored;
  const network = parseAddress(resources.network)!;
  const big = (value: string | undefined): bigint | undefined =>
    value === undefined ? undefined : BigInt(value);
  return {
    id: resources.container_id,
    handle: resources.handle,
    network,
    uid: resources.uid,
    rootfs: warden.rootfs,
    ...(warden.first_id === undefined ? {} : { firstId: warden.first_id }),
    ...(warden.image === undefined ? {} : { image: warden.image }),
    graceTime: stored.grace_time ?? undefined,
    drivers: warden.drivers,
    order: warden.order ?? 0,
    unsafe: warden.unsafe ?? [],
    state: stored.state,
    isDestroying: warden.destroying === true,
    ...(warden.held === true && { isHeld: true }),
    events: new Set(stored.events),
    jobs: new Map(Object.entries(stored.jobs ?? {}).map(([id, job]) => [Number(id), jobNote(job)])),
    ports: new Set(resources.ports),
    mappings: resources.net_in.map(([hostPort, containerPort]) => ({ hostPort, containerPort })),
    egress: [...resources.net_out],
    memoryLimit: big(resources.limit_memory),
    cpuShares: big(resources.limit_cpu),
    outOfMemoryKills: big(warden.out_of_memory_kills),
    properties: dictionary(warden.properties ?? []),
    isPaused: warden.paused === true,
    bandwidth: warden.bandwidth && {
      rate: BigInt(warden.bandwidth.rate),
      burst: BigInt(warden.bandwidth.burst),
    },
  };
}

/** How a record is written. */
export interface WriteOptions {
  /** On the disk itself, and not only with the kernel, when it returns. */
  readonly durable: boolean;
  readonly failpoints: CoreFailpoints;
}

/** Replaces the file. Synchronous: two writes never overtake each other. Errors: `NATIVE_FAILED` naming the file. */
export function writeRecord(directory: string, record: ContainerRecord, options: WriteOptions): void {
  const file = path.join(directory, RECORD_FILE);
  const { failpoints, durable } = options;
  reportedFor(file, () => {
    fs.closeSync(putInPlace(file, record, options));
    if (!durable) return;
    syncDirectory(directory);
    failpoints.passSync('record.sync-directory');
  });
}

/**
 * Writes the first record of a container, which says what is about to be made, as {@link writeRecord} does.
 * The answer can put the next one in its place; there is none when records are to be on the disk.
 */
export function writeIntent(
  directory: string,
  record: ContainerRecord,
  options: WriteOptions,
): RecordIntent | undefined {
  if (options.durable) {
    writeRecord(directory, record, options);
    return undefined;
  }
  const file = path.join(directory, RECORD_FILE);
  return reportedFor(file, () => new RecordIntent(file, putInPlace(file, record, options)));
}

/** A write into one page is made as a whole or not at all, whatever ends the process. */
const PAGE_BYTES = 4_096;

/**
 * As {@link writeRecord}, for a record that matters only as long as the container lives, which no power cut
 * leaves: in the place of the old one, as {@link RecordIntent} does, when it fits there.
 */
export function writeLastRecord(directory: string, record: ContainerRecord, options: WriteOptions): void {
  const file = path.join(directory, RECORD_FILE);
  if (options.durable || !overwriteFile(file, contentOf(record), options))
    writeRecord(directory, record, options);
}

/** False, and nothing has been done, when it may not be one write, or there is no file. */
function overwriteFile(file: string, content: Buffer, { failpoints }: WriteOptions): boolean {
  if (content.length > PAGE_BYTES) return false;
  let descriptor: number | undefined;
  try {
    descriptor = fs.openSync(file, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW);
    const { size, blksize } = fs.fstatSync(descriptor);
    // a full disk has no room for more
    if (size > PAGE_BYTES || content.length > Math.ceil(size / blksize) * blksize) return false;
    failpoints.passSync('record.open');
    const whole = Buffer.alloc(Math.max(size, content.length), ' '); // what is left of a longer one would belong to it
    content.copy(whole);
    const isWritten = fs.writeSync(descriptor, whole, 0, whole.length, 0) === whole.length;
    failpoints.passSync('record.write');
    return isWritten;
  } catch (error) {
    if (isWardenError(error)) throw error;
    return false; // written anew, or told by that
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}

/**
 * The open first record of a container that nobody has been told of. One write in its place says that the
 * container is there: a process that is killed has made it or has not. A file beside it, its rename and the
 * end of the old one take ten times as long, on ext4 because it gives the new file its blocks at once, so
 * that the old content survives a power cut. No container does.
 */
export class RecordIntent {
  readonly #file: string;
  readonly #descriptor: number;

  constructor(file: string, descriptor: number) {
    this.#file = file;
    this.#descriptor = descriptor;
  }

  /**
   * Puts `record` in place. False, and nothing has been done, when it would be more than one write, or needs
   * more room, which a full disk may not have, or less, or when the file is not the one of its name any more.
   * Errors: `NATIVE_FAILED` naming the file.
   */
  overwrite(record: ContainerRecord, failpoints: CoreFailpoints): boolean {
    const content = contentOf(record);
    return reportedFor(this.#file, () => {
      const { dev, ino, size, blksize } = fs.fstatSync(this.#descriptor);
      const named = fs.statSync(this.#file, { throwIfNoEntry: false });
      const room = Math.min(PAGE_BYTES, Math.ceil(size / blksize) * blksize);
      if (named?.ino !== ino || named.dev !== dev || content.length < size || content.length > room)
        return false;
      failpoints.passSync('record.open');
      const written = fs.writeSync(this.#descriptor, content, 0, content.length, 0);
      if (written !== content.length) throw new Error(`${written} of ${content.length} bytes were written`);
      failpoints.passSync('record.write');
      return true;
    });
  }

  /** Idempotence is the caller's. Behind whatever is waited for. */
  close(logger: Logger): void {
    const tell = (error: unknown): void => logger.warn('record-not-closed', { file: this.#file, error });
    setImmediate(() => closeDescriptor(this.#descriptor, tell));
  }
}

function contentOf(record: ContainerRecord): Buffer {
  return Buffer.from(serializeRecord(record));
}

function besideOf(file: string): string {
  return `${file}.new`;
}

function reportedFor<T>(file: string, write: () => T): T {
  try {
    return write();
  } catch (cause) {
    removeQuietly(besideOf(file)); // on a full disk, it would be in the way of the next one
    if (isWardenError(cause)) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new WardenError('NATIVE_FAILED', `cannot write ${file}: ${message}`, {
      cause,
      fields: { operation: 'write record', object: file, errno: code },
    });
  }
}

/**
 * What is about to be replaced keeps a name, until a thread takes it away behind whatever is waited for: a
 * file system on a disk that is told which blocks are free may wait for it, milliseconds, with each file that
 * goes. A daemon that is killed in between leaves the name to the next record.
 */
function letGoLater(file: string): void {
  const replaced = `${file}.old`;
  try {
    fs.linkSync(file, replaced);
  } catch {
    // there is such a name still, this file system knows no second one, or nothing is replaced: the file goes at once
  }
  setImmediate(() => fs.unlink(replaced, () => {}));
}

function removeQuietly(file: string): void {
  try {
    fs.unlinkSync(file);
  } catch {
    // the failure that is reported is the one before
  }
}

/** Writes the record beside `file` and gives it that name. Answers it, open. */
function putInPlace(file: string, record: ContainerRecord, { durable, failpoints }: WriteOptions): number {
  const content = contentOf(record);
  const descriptor = fs.openSync(besideOf(file), 'w', 0o600);
  try {
    failpoints.passSync('record.open');
    // a disk that fills up takes a part first, and tells only at the next write
    for (let done = 0; done < content.length; ) done += fs.writeSync(descriptor, content, done);
    failpoints.passSync('record.write');
    if (durable) {
      fs.fdatasyncSync(descriptor);
      failpoints.passSync('record.sync');
    }
    if (record.state !== 'born') letGoLater(file); // the intent replaces nothing
    fs.renameSync(besideOf(file), file);
    failpoints.passSync('record.rename');
    return descriptor;
  } catch (error) {
    fs.closeSync(descriptor);
    throw error;
  }
}

function syncDirectory(directory: string): void {
  const descriptor = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
