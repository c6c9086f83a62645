/** Requests about files inside containers (docs/protocol-extensions.md). */
import {
  type Container,
  type DirectoryEntry,
  type FileOptions,
  type FileStat,
  WardenError,
} from '@warden/interface';
import {
  type FileEntry,
  type FilesRequest,
  MessageType,
  type UploadDataRequest,
  type UploadEndRequest,
  type UploadRequest,
} from '@warden/protocol';
import type { Handler, RequestContext } from './handler.ts';

/** Entries in one answer. */
const ENTRIES_PER_ANSWER = 128;

/** By type number. */
export const FILE_HANDLERS: Readonly<Record<number, Handler>> = {
  [MessageType.Files]: (context, request: FilesRequest) => read(context, request),
  [MessageType.Upload]: async ({ warden, uploads }, request: UploadRequest) => {
    const { files } = warden.container(request.handle);
    const { operation, path, privileged = false, mode } = request;
    if (operation === 'write')
      uploads.begin((content, signal) =>
        files.write(path, content, { privileged, signal, ...(mode !== undefined && { mode }) }),
      );
    else if (operation === 'write-tar')
      uploads.begin((content, signal) => files.writeTar(path, content, { privileged, signal }));
    else throw unknownOperation(operation);
    return {};
  },
  [MessageType.UploadData]: async ({ uploads }, request: UploadDataRequest) => {
    await uploads.data(request.data);
    return {};
  },
  [MessageType.UploadEnd]: async ({ uploads }, request: UploadEndRequest) => {
    await uploads.end(request.commit === true);
    return {};
  },
};

async function read({ warden, signal, send }: RequestContext, request: FilesRequest): Promise<object> {
  for await (const answer of answers(warden.container(request.handle), request, signal)) {
    await send(answer);
    signal.throwIfAborted();
  }
  return { end: true };
}

async function* answers(
  { files }: Container,
  request: FilesRequest,
  signal: AbortSignal,
): AsyncGenerator<object, void, undefined> {
  const { operation, path, privileged = false, offset, length } = request;
  const options: FileOptions = { signal, privileged };
  switch (operation) {
    case 'stat':
      yield { entries: [entryMessage(await files.stat(path, options))] };
      return;
    case 'list':
      yield* batches(files.list(path, options));
      return;
    case 'read': {
      const range = { ...(offset !== undefined && { offset }), ...(length !== undefined && { length }) };
      for await (const data of files.read(path, { ...options, ...range })) yield { data };
      return;
    }
    case 'watch': {
      const changes = await files.watch(path, options);
      yield { changes: [{ kind: 'watching' }] };
      for await (const change of changes) yield { changes: [change] };
      return;
    }
    case 'read-tar':
      for await (const data of files.readTar(path, options)) yield { data };
      return;
    default:
      throw unknownOperation(operation);
  }
}

async function* batches(entries: AsyncIterable<DirectoryEntry>): AsyncGenerator<object, void, undefined> {
  let batch: FileEntry[] = [];
  for await (const entry of entries) {
    batch.push({ name: entry.name, ...entryMessage(entry) });
    if (batch.length < ENTRIES_PER_ANSWER) continue;
    yield { entries: batch };
    batch = [];
  }
  if (batch.length > 0) yield { entries: batch };
}

function entryMessage({ type, mode, uid, gid, size, modifiedNs, linkTarget }: FileStat): FileEntry {
  return {
    type,
    mode,
    uid,
    gid,
    size,
    modified_ns: BigInt.asUintN(64, modifiedNs),
    ...(linkTarget !== undefined && { link_target: linkTarget }),
  };
}

function unknownOperation(operation: string): WardenError {
  return new WardenError('UNSUPPORTED', `unknown file operation: ${operation.slice(0, 64)}`, {
    fields: { operation: operation.slice(0, 64) },
  });
}
