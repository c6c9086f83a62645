/** Files of a container, seen through the socket. */
import {
  abortWith,
  type ByteStream,
  type ContainerFiles,
  type DirectoryEntry,
  decodeBytes,
  type FileChange,
  type FileOptions,
  type FileStat,
  type FileType,
  leavable,
  type ReadOptions,
  untilAborted,
  WardenError,
  type WriteOptions,
} from '@warden/interface';
import { type FileEntry, type FilesResponse, MessageType } from '@warden/protocol';
import * as args from './arguments.ts';
import { demand } from './check.ts';
import { requireFeature } from './features.ts';
import { present } from './spec-messages.ts';
import type { Transport } from './transport.ts';

/** Bytes of an upload in one request. */
const PIECE_BYTES = 262_144;

/** See {@link ContainerFiles}. Errors of all, besides those named there: `UNSUPPORTED` by an old daemon. */
export class ClientFiles implements ContainerFiles {
  readonly #transport: Transport;
  readonly #handle: string;

  constructor(transport: Transport, handle: string) {
    this.#transport = transport;
    this.#handle = handle;
  }

  /** See {@link ContainerFiles.stat}. */
  async stat(path: string, options: FileOptions = {}): Promise<FileStat> {
    demand('stat', 'options', args.fileOptions, options);
    for await (const { entries } of this.#answers('stat', path, options))
      for (const entry of entries ?? []) return statOf(entry);
    throw new WardenError('INTERNAL', 'the daemon answered no facts', {
      fields: { operation: 'stat', object: path },
    });
  }

  /** Whether there is something of this name; a link that leads nowhere is something. */
  async exists(path: string, options: FileOptions = {}): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (error instanceof WardenError && error.fields.errno === 'ENOENT') return false;
      throw error;
    }
  }

  /** See {@link ContainerFiles.list}. */
  async *list(path: string, options: FileOptions = {}): AsyncGenerator<DirectoryEntry, void, undefined> {
    demand('list', 'options', args.fileOptions, options);
    for await (const { entries } of this.#answers('list', path, options))
      for (const entry of entries ?? []) yield { name: entry.name ?? '', ...statOf(entry) };
  }

  /** See {@link ContainerFiles.read}. */
  async *read(path: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    demand('read', 'options', args.readOptions, options);
    const range = { offset: options.offset, length: options.length };
    for await (const { data } of this.#answers('read', path, options, range))
      if (data !== undefined) yield data;
  }

  /**
   * The whole content, at most `maxBytes` of it (default 64 MiB); more is `INVALID_SPEC`: read it in pieces
   * with {@link read}.
   */
  async readAll(
    path: string,
    options: ReadOptions & { readonly maxBytes?: number | undefined } = {},
  ): Promise<Uint8Array> {
    demand('read', 'options', args.readAllOptions, options);
    const { maxBytes = 64 * 1024 * 1024, ...others } = options;
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const data of this.read(path, others)) {
      size += data.length;
      if (size > maxBytes) {
        throw new WardenError('INVALID_SPEC', `${path} has more than ${maxBytes} bytes; read it in pieces`, {
          fields: { operation: 'read', object: path, limit: maxBytes },
        });
      }
      pieces.push(data);
    }
    const whole = new Uint8Array(size);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  /** As {@link readAll}, as text; bytes that are no UTF-8 are kept as the daemon's strings keep them. */
  async readText(
    path: string,
    options: ReadOptions & { readonly maxBytes?: number | undefined } = {},
  ): Promise<string> {
    return decodeBytes(await this.readAll(path, options));
  }

  /** See {@link ContainerFiles.write}; a text becomes UTF-8. */
  async write(
    path: string,
    content: string | Uint8Array | ByteStream,
    options: WriteOptions = {},
  ): Promise<void> {
    demand('write', 'content', args.fileContent, content);
    demand('write', 'options', args.writeOptions, options);
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    await this.#upload({ operation: 'write', path, mode: options.mode }, bytes, options);
  }

  /** See {@link ContainerFiles.watch}. */
  async watch(
    path: string,
    options: FileOptions = {},
  ): Promise<AsyncIterableIterator<FileChange, undefined, undefined>> {
    demand('watch', 'options', args.fileOptions, options);
    const left = new AbortController();
    const changes = this.#changes(path, options, left);
    // the first one says that it stands
    await changes.next();
    return leavable({
      left,
      what: 'the watch',
      next: () => changes.next(),
      close: () => changes.return(undefined),
    });
  }

  /** See {@link ContainerFiles.readTar}. */
  async *readTar(path: string, options: FileOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    demand('read tar', 'options', args.fileOptions, options);
    for await (const { data } of this.#answers('read-tar', path, options)) if (data !== undefined) yield data;
  }

  /** See {@link ContainerFiles.writeTar}. */
  async writeTar(path: string, archive: Uint8Array | ByteStream, options: FileOptions = {}): Promise<void> {
    demand('write tar', 'archive', args.archive, archive);
    demand('write tar', 'options', args.fileOptions, options);
    await this.#upload({ operation: 'write-tar', path }, archive, options);
  }

  async *#changes(
    path: string,
    options: FileOptions,
    left: AbortController,
  ): AsyncGenerator<FileChange, undefined, undefined> {
    const forget = abortWith(left, options.signal);
    try {
      const { signal } = left;
      for await (const { changes } of this.#answers('watch', path, { ...options, signal })) {
        for (const { kind, name } of changes ?? [])
          yield { kind: kind as FileChange['kind'], ...(name !== undefined && { name }) };
      }
    } finally {
      forget();
    }
    return undefined;
  }

  async *#answers(
    operation: string,
    path: string,
    { privileged, signal }: FileOptions,
    more: Record<string, unknown> = {},
  ): AsyncGenerator<FilesResponse, void, undefined> {
    demand(operation, 'path', args.path, path);
    await requireFeature(this.#transport, 'files', operation);
    const value = present({ handle: this.#handle, operation, path, privileged, ...more });
    const lane = { handle: this.#handle, signal, use: operation === 'watch' ? 'wait' : 'download' } as const;
    const answers = this.#transport.stream<FilesResponse>(
      MessageType.Files,
      value,
      ({ end }) => end === true,
      lane,
    );
    try {
      for (;;) {
        const step = await answers.next();
        if (step.done) return;
        yield step.value;
      }
    } finally {
      // a loop left early must give its connection back; after the end this does nothing
      await answers.return({});
    }
  }

  async #upload(
    request: Record<string, unknown>,
    content: Uint8Array | ByteStream,
    { privileged, signal }: FileOptions,
  ): Promise<void> {
    demand(String(request.operation), 'path', args.path, request.path);
    await requireFeature(this.#transport, 'files', String(request.operation));
    const lane = { handle: this.#handle, signal, use: 'upload' } as const;
    await this.#transport.exchange(lane, async (call) => {
      await call(MessageType.Upload, present({ handle: this.#handle, privileged, ...request }));
      for await (const bytes of untilAborted(content instanceof Uint8Array ? [content] : content, signal)) {
        demand(String(request.operation), 'a piece', args.piece, bytes);
        for (let at = 0; at < bytes.length; at += PIECE_BYTES)
          await call(MessageType.UploadData, { data: bytes.subarray(at, at + PIECE_BYTES) });
      }
      await call(MessageType.UploadEnd, { commit: true });
    });
  }
}

function statOf({ type, mode, uid, gid, size, modified_ns, link_target }: FileEntry): FileStat {
  return {
    type: type as FileType,
    mode,
    uid,
    gid,
    size,
    modifiedNs: BigInt.asIntN(64, modified_ns),
    ...(link_target !== undefined && { linkTarget: link_target }),
  };
}
