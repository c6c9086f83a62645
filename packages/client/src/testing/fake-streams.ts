/** What the fake does with each message that has many answers, and with uploads. */
import type {
  ContainerEvent,
  ContainerEventType,
  DirectoryEntry,
  FileChange,
  FileStat,
} from '@warden/interface';
import { EVENT_TYPES, toWardenError, WardenError } from '@warden/interface';
import {
  type EventsRequest,
  type FileEntry,
  type FilesRequest,
  type InfoManyRequest,
  MessageType,
  type StreamRequest,
  type UploadDataRequest,
  type UploadRequest,
} from '@warden/protocol';
import { propertiesOf } from '../answer-values.ts';
import type { FakeContainer } from './fake-daemon.ts';
import type { FakeJob } from './fake-job.ts';
import { endFields, type FakeCall, fakeCurrentInfo, fakeInfo, find, has } from './fake-requests.ts';
import { wakeUp } from './wake-up.ts';

const PIECE_BYTES = 65_536;
/** As the real one. */
const BUFFER_EVENTS = 1_024;

type FakeStream = (call: FakeCall, request: never) => AsyncGenerator<object, object, undefined>;

/** By type number; the return value is the last answer. */
export const FAKE_STREAMS: Readonly<Record<number, FakeStream>> = {
  [MessageType.Stream]: (call, request: StreamRequest) => streamJob(call, request),
  [MessageType.InfoMany]: (call, request: InfoManyRequest) => infoMany(call, request),
  [MessageType.Events]: (call, request: EventsRequest) => events(call, request),
  [MessageType.Files]: (call, request: FilesRequest) => readFiles(call, request),
};

async function* streamJob(
  call: FakeCall,
  { handle, job_id }: StreamRequest,
): AsyncGenerator<object, object, undefined> {
  const container = find(call, handle);
  const job = container.job(job_id);
  yield* job.isLive ? liveOutput(call, job) : output(call, job);
  container.jobs.delete(job_id);
  return { ...endFields(await job.ended), info: fakeInfo(container) };
}

async function* output(call: FakeCall, job: FakeJob): AsyncGenerator<object, void, undefined> {
  for (let next = 0; ; ) {
    if (call.signal?.aborted) throw abandoned(call.signal);
    const piece = job.output[next];
    if (piece !== undefined) {
      if (job.isLive) job.output.shift();
      else next += 1;
      yield { name: piece.stream, data: piece.data };
    } else if (job.hasEnded) return;
    else await job.change(call.signal);
  }
}

/** Each piece goes to one, and one at a time. */
async function* liveOutput(call: FakeCall, job: FakeJob): AsyncGenerator<object, void, undefined> {
  if (job.isStreamed)
    throw new WardenError('BAD_STATE', 'stream: another stream reads it; live output goes to one at a time', {
      fields: { operation: 'stream' },
    });
  job.isStreamed = true;
  try {
    yield* output(call, job);
  } finally {
    job.isStreamed = false;
  }
}

async function* infoMany(
  { daemon }: FakeCall,
  { handles, properties }: InfoManyRequest,
): AsyncGenerator<object, object, undefined> {
  const wanted = propertiesOf(properties);
  const all =
    (handles && [...new Set(handles)]) ??
    [...daemon.containers.values()].filter((one) => has(one.properties, wanted)).map(({ handle }) => handle);
  yield {
    reports: all.map((handle) => {
      try {
        return { handle, info: fakeCurrentInfo(daemon.find(handle)) };
      } catch (error) {
        const { code, message } = toWardenError(error);
        return { handle, error_code: code, error_message: message };
      }
    }),
  };
  return { end: true };
}

async function* events(
  { daemon, signal }: FakeCall,
  { handle, types, properties }: EventsRequest,
): AsyncGenerator<object, object, undefined> {
  for (const type of types ?? []) {
    if (!EVENT_TYPES.includes(type as ContainerEventType))
      throw new WardenError('INVALID_SPEC', `there are no events of type ${type}`, {
        fields: { operation: 'events' },
      });
  }
  const wanted = propertiesOf(properties);
  const queue: ContainerEvent[] = [];
  let lost = 0;
  let wake: () => void = () => undefined;
  const listener = (event: ContainerEvent, labels: Readonly<Record<string, string>>): void => {
    if (handle !== undefined && handle !== event.handle) return;
    if ((types !== undefined && !types.includes(event.type)) || !has(labels, wanted)) return;
    if (queue.length >= BUFFER_EVENTS) {
      queue.shift();
      lost += 1;
    }
    queue.push(event);
    wake();
  };
  daemon.listeners.add(listener);
  try {
    yield {};
    for (;;) {
      if (signal?.aborted) throw abandoned(signal);
      const event = queue.shift();
      if (event !== undefined) {
        const before = lost;
        lost = 0;
        yield eventMessage(event, before);
        continue;
      }
      await wakeUp(signal, (ready) => {
        wake = ready;
      });
    }
  } finally {
    daemon.listeners.delete(listener);
  }
}

function eventMessage(event: ContainerEvent, lost: number): object {
  const { type, handle, time } = event;
  const message = { type, handle, time: BigInt(time), lost };
  if (event.type === 'exit') return { ...message, job_id: event.jobId, ...endFields(event) };
  if (event.type === 'limit') return { ...message, limit: event.limit, value: event.value };
  return message;
}

async function* readFiles(call: FakeCall, request: FilesRequest): AsyncGenerator<object, object, undefined> {
  const { files } = running(call, request.handle);
  const { operation, path, offset, length } = request;
  switch (operation) {
    case 'stat':
      yield { entries: [entry(files.stat('stat', path))] };
      break;
    case 'list':
      yield { entries: files.list(path).map((one) => ({ name: one.name, ...entry(one) })) };
      break;
    case 'read':
      yield* pieces(files.read(path, offset, length));
      break;
    case 'read-tar':
      yield* pieces(files.readTar(path));
      break;
    case 'watch':
      yield* watch(call, request);
      break;
    default:
      throw new WardenError('UNSUPPORTED', `unknown file operation: ${operation}`, { fields: { operation } });
  }
  return { end: true };
}

async function* watch(
  call: FakeCall,
  { handle, path }: FilesRequest,
): AsyncGenerator<object, void, undefined> {
  const changes: FileChange[] = [];
  let wake: () => void = () => undefined;
  const end = find(call, handle).files.watch(path, (change) => {
    changes.push(change);
    wake();
  });
  try {
    yield { changes: [{ kind: 'watching' }] };
    for (;;) {
      if (call.signal?.aborted) throw abandoned(call.signal);
      if (changes.length > 0) {
        yield { changes: changes.splice(0) };
        continue;
      }
      await wakeUp(call.signal, (ready) => {
        wake = ready;
      });
    }
  } finally {
    end();
  }
}

function* pieces(content: Uint8Array): Generator<object, void, undefined> {
  for (let at = 0; at < content.length; at += PIECE_BYTES)
    yield { data: content.slice(at, at + PIECE_BYTES) };
}

function entry({ type, mode, uid, gid, size, modifiedNs, linkTarget }: FileStat | DirectoryEntry): FileEntry {
  return {
    ...{ type, mode, uid, gid, size, modified_ns: modifiedNs },
    ...(linkTarget !== undefined && { link_target: linkTarget }),
  };
}

function running(call: FakeCall, handle: string): FakeContainer {
  const container = find(call, handle);
  container.requireRunning();
  return container;
}

/** An upload: nothing is put in place before its end. */
export class FakeUpload {
  readonly #call: FakeCall;
  #request: UploadRequest | undefined;
  #pieces: Uint8Array[] = [];

  constructor(call: FakeCall) {
    this.#call = call;
  }

  /** One of its requests. */
  handle(type: number, request: object): object {
    if (type === MessageType.Upload) {
      this.#request = request as UploadRequest;
      const { handle, operation, path, mode } = this.#request;
      const { files } = running(this.#call, handle);
      if (operation === 'write') files.checkWrite(path, mode);
    } else if (type === MessageType.UploadData)
      this.#pieces.push((request as UploadDataRequest).data.slice());
    else this.#finish();
    return {};
  }

  #finish(): void {
    const { handle, operation, path, mode } = this.#request!;
    const { files } = running(this.#call, handle);
    const content = Buffer.concat(this.#pieces);
    if (operation === 'write') files.write(path, content, mode);
    else files.writeTar(path, content);
  }
}

function abandoned(signal: AbortSignal): WardenError {
  return new WardenError('ABORTED', 'the caller gave up waiting', { cause: signal.reason });
}
