/** Files inside: what is asked is checked here, everything else is the init driver's. */
import {
  abortWith,
  type ByteStream,
  type ContainerFiles,
  type DirectoryEntry,
  encodeBytes,
  FILE_MODES,
  type FileAnswer,
  type FileChange,
  type FileChannel,
  type FileOptions,
  type FileStat,
  type FileTask,
  leavable,
  type ReadOptions,
  untilAborted,
  WardenError,
  type WriteOptions,
} from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import { requireRunning } from './pause.ts';

/** PATH_MAX without the closing NUL. */
const MAX_PATH_BYTES = 4_095;
/** Tasks in one container at a time: each is a process inside and a connection to its init, which takes 64. */
const MAX_TASKS = 24;
/** What goes to a task in one piece. */
const PIECE_BYTES = 65_536;

type Task = Omit<FileTask, 'user' | 'path'>;

/** See the file's head. */
export class SessionFiles implements ContainerFiles {
  readonly #engine: Engine;
  readonly #find: () => ManagedContainer;

  constructor(engine: Engine, find: () => ManagedContainer) {
    this.#engine = engine;
    this.#find = find;
  }

  async stat(path: string, options: FileOptions = {}): Promise<FileStat> {
    for await (const answer of this.#answers(path, { operation: 'stat' }, options)) {
      if (answer.kind !== 'entry') break;
      const { name: _, ...stat } = answer.entry;
      return stat;
    }
    throw noAnswer('stat', path);
  }

  async *list(path: string, options: FileOptions = {}): AsyncGenerator<DirectoryEntry, void, undefined> {
    for await (const answer of this.#answers(path, { operation: 'list' }, options))
      if (answer.kind === 'entry') yield answer.entry;
  }

  async *read(path: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const { offset, length } = options;
    for (const [name, value] of Object.entries({ offset, length })) {
      if (value !== undefined && (value < 0n || value > 0x7fff_ffff_ffff_ffffn))
        throw invalid('read', `${name} ${value} is out of range`, path);
    }
    const task = {
      operation: 'read',
      ...(offset !== undefined && { offset }),
      ...(length !== undefined && { length }),
    } as const;
    for await (const answer of this.#answers(path, task, options))
      if (answer.kind === 'data') yield answer.data;
  }

  async write(path: string, content: Uint8Array | ByteStream, options: WriteOptions = {}): Promise<void> {
    const { mode } = options;
    if (mode !== undefined && (!Number.isInteger(mode) || mode < 0 || mode > FILE_MODES))
      throw invalid('write', `mode 0${mode.toString(8)} is not in 0..01777; chmod inside gives more`, path);
    await this.#upload(path, { operation: 'write', ...(mode !== undefined && { mode }) }, content, options);
  }

  async watch(
    path: string,
    options: FileOptions = {},
  ): Promise<AsyncIterableIterator<FileChange, undefined, undefined>> {
    // a step may wait for a change that never comes: leaving must end it
    const left = new AbortController();
    const changes = this.#changes(path, options, left);
    // the first one says that it stands
    if ((await changes.next()).done) throw noAnswer('watch', path);
    return leavable({
      left,
      what: 'the watch',
      next: () => changes.next(),
      close: () => changes.return(undefined),
    });
  }

  async *#changes(
    path: string,
    options: FileOptions,
    left: AbortController,
  ): AsyncGenerator<FileChange, undefined, undefined> {
    const forget = abortWith(left, options.signal);
    try {
      const { signal } = left;
      for await (const answer of this.#answers(path, { operation: 'watch' }, { ...options, signal }))
        if (answer.kind === 'change') yield answer.change;
    } finally {
      forget();
    }
    return undefined;
  }

  async *readTar(path: string, options: FileOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const answer of this.#answers(path, { operation: 'read-tar' }, options))
      if (answer.kind === 'data') yield answer.data;
  }

  async writeTar(path: string, archive: Uint8Array | ByteStream, options: FileOptions = {}): Promise<void> {
    await this.#upload(path, { operation: 'write-tar' }, archive, options);
  }

  async *#answers(
    path: string,
    task: Task,
    options: FileOptions,
  ): AsyncGenerator<FileAnswer, void, undefined> {
    const channel = await this.#open(path, task, options);
    const { signal } = options;
    const onAbort = (): void => void channel.close();
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort(); // while it was opened
    try {
      for await (const answer of channel.answers()) {
        if (signal?.aborted) throw abandoned(task.operation, signal);
        yield answer;
      }
    } catch (error) {
      throw signal?.aborted ? abandoned(task.operation, signal) : error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      await channel.close();
    }
  }

  async #upload(
    path: string,
    task: Task,
    content: Uint8Array | ByteStream,
    options: FileOptions,
  ): Promise<void> {
    const channel = await this.#open(path, task, options);
    const { signal } = options;
    const onAbort = (): void => void channel.close();
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort(); // while it was opened
    // aborted when it has failed, also where nothing comes of what it is to write
    const end = new AbortController();
    const result = (async () => {
      for await (const _ of channel.answers());
    })().finally(() => end.abort());
    result.catch(() => {}); // met below
    const isOver = (): boolean => end.signal.aborted;
    try {
      for await (const bytes of untilAborted(content instanceof Uint8Array ? [content] : content, end.signal))
        for (let at = 0; at < bytes.length && !isOver(); at += PIECE_BYTES)
          await channel.send(bytes.subarray(at, at + PIECE_BYTES));
      if (!isOver()) await channel.finish();
      await result;
    } catch (error) {
      throw signal?.aborted ? abandoned(task.operation, signal) : error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      await channel.close();
    }
  }

  async #open(path: string, task: Task, { privileged, signal }: FileOptions): Promise<FileChannel> {
    const { operation } = task;
    const container = this.#find();
    container.requireState('active');
    checkPath(operation, path);
    if (signal?.aborted) throw abandoned(operation, signal);
    const channel = await container.exclusive(async () => {
      container.requireState('active');
      requireRunning(container, operation);
      const init = container.requireInit();
      if (init.openFiles === undefined) throw this.#unsupported(operation);
      if (container.fileTasks.size >= MAX_TASKS) throw tooMany(container.handle, operation);
      const opened = await init.openFiles({ ...task, path, user: privileged === true ? 'root' : 'vcap' });
      container.fileTasks.add(opened);
      return opened;
    });
    const close = channel.close.bind(channel);
    return {
      answers: () => channel.answers(),
      send: (bytes) => channel.send(bytes),
      finish: () => channel.finish(),
      close: () => close().finally(() => container.fileTasks.delete(channel)),
    };
  }

  #unsupported(operation: string): WardenError {
    const { name } = this.#engine.drivers.init;
    return new WardenError('UNSUPPORTED', `the init driver ${name} does not open files`, {
      fields: { operation, driver: name },
    });
  }
}

/** Ends all tasks of a container that is being torn down. */
export async function endFileTasks(container: ManagedContainer): Promise<void> {
  await Promise.allSettled([...container.fileTasks].map((task) => task.close()));
}

function checkPath(operation: string, path: string): void {
  if (!path.startsWith('/')) throw invalid(operation, 'the path is not absolute', path);
  if (path.includes('\0')) throw invalid(operation, 'the path holds a NUL byte', path);
  if (encodeBytes(path).length > MAX_PATH_BYTES)
    throw invalid(operation, `the path is longer than ${MAX_PATH_BYTES} bytes`, path);
}

function invalid(operation: string, text: string, object: string): WardenError {
  return new WardenError('INVALID_SPEC', text, {
    fields: { operation, object: object.slice(0, 200), errno: 'EINVAL' },
  });
}

function noAnswer(operation: string, object: string): WardenError {
  return new WardenError('UNAVAILABLE', 'the container gave no answer', { fields: { operation, object } });
}

function tooMany(handle: string, operation: string): WardenError {
  return new WardenError(
    'POOL_EXHAUSTED',
    `too many file operations in the container at a time: ${MAX_TASKS} of ${MAX_TASKS}`,
    {
      fields: { operation, handle, pool: 'file operations', used: MAX_TASKS, limit: MAX_TASKS },
    },
  );
}

function abandoned(operation: string, signal: AbortSignal): WardenError {
  return new WardenError('ABORTED', 'the caller gave the operation up', {
    cause: signal.reason,
    fields: { operation },
  });
}
