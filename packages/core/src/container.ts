/**
 * A container in memory: its record, its connections to the drivers, who references it, and the order of what
 * is done to it.
 */

import path from 'node:path';
import type {
  BindMountSpec,
  ContainerInfo,
  ContainerState,
  FileChannel,
  Init,
  NetworkSpec,
  OutOfMemoryWatch,
  QuotaSpec,
  RootfsSpec,
  RunningCopy,
} from '@warden/interface';
import { isWardenError, WardenError } from '@warden/interface';
import type { ManagedJob } from './job.ts';
import { blockOf } from './pools.ts';
import type { EndedScript, Habit } from './prepared-shell.ts';
import type { ContainerRecord, RecordIntent } from './record.ts';

/** Someone whose references keep a container from its grace time. */
export type Reference = object;

/** See the file's head. */
export class ManagedContainer {
  readonly record: ContainerRecord;
  /** In the depot, absolute. */
  readonly directory: string;
  readonly bindMounts: readonly BindMountSpec[];
  readonly references: Set<Reference> = new Set();
  readonly jobs: Map<number, ManagedJob> = new Map();
  /** In progress. */
  readonly copies: Set<RunningCopy> = new Set();
  /** In progress, see files.ts. */
  readonly fileTasks: Set<FileChannel> = new Set();
  init: Init | undefined;
  /** The connection to init has ended without our doing. It is kept, because killing needs it. */
  isInitLost = false;
  outOfMemoryWatch: OutOfMemoryWatch | undefined;
  /** The last info of a container that is being destroyed. */
  obituary: ContainerInfo | undefined;
  /** Runs while a stop is in progress; a second one waits for it. */
  stopping: Promise<void> | undefined;
  /** A stop has come to its end: no process is left, and the record says so. */
  isEmptied = false;
  /** Somebody does not want to wait for a graceful stop any longer. */
  isKillWanted = false;
  /** Gives up the snapshot that has the container's turn or waits for it, for whoever does not wait for it. */
  giveUpSnapshot: (() => void) | undefined;
  destroying: Promise<void> | undefined;
  isDestroyed = false;
  /**
   * Statistics that its drivers do not have: not asked for again, because each refusal is an error with a
   * stack, 50 µs apiece.
   */
  readonly lacking: Set<string> = new Set();
  /** See prepared-shell.ts. */
  lastScript: EndedScript | undefined;
  habit: Habit | undefined;
  /** Until when a shell may wait there for its script, by a monotonic clock; `undefined`: none does. */
  shellUntil: number | undefined;
  /** The open first record, until the next one. */
  intent: RecordIntent | undefined;
  graceTimer: NodeJS.Timeout | undefined;
  /** The record is about to be written. */
  saveTimer: NodeJS.Timeout | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(record: ContainerRecord, directory: string, bindMounts: readonly BindMountSpec[] = []) {
    this.record = record;
    this.directory = directory;
    this.bindMounts = bindMounts;
  }

  get handle(): string {
    return this.record.handle;
  }

  get state(): ContainerState {
    return this.isDestroyed ? 'destroyed' : this.record.state;
  }

  get networkSpec(): Omit<NetworkSpec, 'mtu'> {
    const { hostIp, containerIp } = blockOf(this.record.network);
    return { id: this.record.id, hostIp, containerIp, prefixLength: 30 };
  }

  get rootfsSpec(): RootfsSpec {
    const { id, rootfs, image } = this.record;
    const below = image?.layers.slice(1) ?? [];
    return { id, directory: this.directory, base: rootfs, ...(below.length > 0 && { below }) };
  }

  get quotaSpec(): QuotaSpec {
    return { id: this.record.id, directory: this.directory, uid: this.record.uid };
  }

  /** Where the record and everything else of the container lies. */
  file(name: string): string {
    return path.join(this.directory, name);
  }

  /** Errors: `BAD_STATE` with the original's text. */
  requireState(...allowed: readonly ContainerState[]): void {
    if (allowed.includes(this.state)) return;
    const list = allowed.map((state) => `'${state}'`).join(', ');
    throw new WardenError(
      'BAD_STATE',
      `Container state must be one of ${list}, current state is '${this.state}'`,
      {
        fields: { handle: this.handle, state: this.state, allowed },
      },
    );
  }

  /** The connection to init. Errors: `UNAVAILABLE` when there is none. */
  requireInit(): Init {
    if (this.init && !this.isInitLost) return this.init;
    throw new WardenError('UNAVAILABLE', 'the init of the container is gone; destroy it', {
      fields: { handle: this.handle, operation: 'connect init' },
    });
  }

  /**
   * Runs `action` after everything that was asked for earlier. Errors: `UNKNOWN_HANDLE` when that was its
   * destruction.
   */
  exclusive<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(() => {
      if (this.isDestroyed) throw unknownHandle(this.handle);
      return action();
    });
    this.#tail = result.catch(() => {});
    return result;
  }
}

/** The error for a container that is not there (any more). */
export function unknownHandle(handle: string): WardenError {
  return new WardenError('UNKNOWN_HANDLE', 'unknown handle', {
    fields: { operation: 'find container', object: handle, handle },
  });
}

/** Whether an error says that a driver cannot do this at all. */
export function isUnsupported(error: unknown): boolean {
  return isWardenError(error, 'UNSUPPORTED');
}

/** There are a few drivers; more are containers of which each is another case. */
const MAX_LACKING = 64;

/** What drivers have been found not to do, for all containers of which the same can be said. */
export interface LackingEverywhere {
  readonly lacking: Set<string>;
  /** What is the same for all of them. */
  readonly of: string;
}

/**
 * The value; nothing where the driver cannot do this at all, which it is asked once for each container, or
 * once for all.
 */
export async function ifSupported<T>(
  { lacking }: ManagedContainer,
  what: string,
  ask: () => Promise<T>,
  everywhere?: LackingEverywhere,
): Promise<T | undefined> {
  if (lacking.has(what) || everywhere?.lacking.has(everywhere.of) === true) return undefined;
  try {
    return await ask();
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    lacking.add(what);
    if (everywhere !== undefined && everywhere.lacking.size < MAX_LACKING)
      everywhere.lacking.add(everywhere.of);
    return undefined;
  }
}
