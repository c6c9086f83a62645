/** Extension: files inside a container (docs/protocol-extensions.md). */

import { type MessageDescriptor, message, optional, repeated, required } from '../descriptor.ts';

/** Reads something of the container's files: `operation` is `stat`, `list`, `read`, `watch` or `read-tar`. */
export interface FilesRequest {
  readonly handle: string;
  readonly operation: string;
  /** Absolute, inside. */
  readonly path: string;
  /** As root inside. */
  readonly privileged?: boolean | undefined;
  readonly offset?: bigint | undefined;
  readonly length?: bigint | undefined;
}
/** The fields of {@link FilesRequest} for the codec. */
export const FilesRequest: MessageDescriptor<FilesRequest> = message(
  'FilesRequest',
  required(1, 'handle', 'string'),
  required(2, 'operation', 'string'),
  required(3, 'path', 'string'),
  optional(4, 'privileged', 'bool'),
  optional(5, 'offset', 'uint64'),
  optional(6, 'length', 'uint64'),
);

/** Facts about one name. */
export interface FileEntry {
  readonly name?: string | undefined;
  /** As in `FileType` of the Warden API. */
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  /** Nanoseconds since 1970; negative ones as 2^64 minus. */
  readonly modified_ns: bigint;
  readonly link_target?: string | undefined;
}
/** The fields of {@link FileEntry} for the codec. */
export const FileEntry: MessageDescriptor<FileEntry> = message(
  'FileEntry',
  optional(1, 'name', 'string'),
  required(2, 'type', 'string'),
  required(3, 'mode', 'uint32'),
  required(4, 'uid', 'uint32'),
  required(5, 'gid', 'uint32'),
  required(6, 'size', 'uint64'),
  required(7, 'modified_ns', 'uint64'),
  optional(8, 'link_target', 'string'),
);

/** A change that a watch has seen. */
export interface FileChange {
  readonly kind: string;
  readonly name?: string | undefined;
}
/** The fields of {@link FileChange} for the codec. */
export const FileChange: MessageDescriptor<FileChange> = message(
  'FileChange',
  required(1, 'kind', 'string'),
  optional(2, 'name', 'string'),
);

/** A part of what was asked for; the last answer has `end`. */
export interface FilesResponse {
  readonly data?: Uint8Array | undefined;
  readonly entries?: readonly FileEntry[] | undefined;
  readonly changes?: readonly FileChange[] | undefined;
  readonly end?: boolean | undefined;
}
/** The fields of {@link FilesResponse} for the codec. */
export const FilesResponse: MessageDescriptor<FilesResponse> = message(
  'FilesResponse',
  optional(1, 'data', 'bytes'),
  repeated(2, 'entries', 'message', { message: FileEntry }),
  repeated(3, 'changes', 'message', { message: FileChange }),
  optional(4, 'end', 'bool'),
);

/**
 * Begins to write: `operation` is `write` or `write-tar`. The bytes follow on the same connection in
 * UploadData requests, then one UploadEnd. Without that, nothing half is left. One at a time on one
 * connection.
 */
export interface UploadRequest {
  readonly handle: string;
  readonly operation: string;
  /** Absolute, inside. */
  readonly path: string;
  /** As root inside. */
  readonly privileged?: boolean | undefined;
  readonly mode?: number | undefined;
}
/** The fields of {@link UploadRequest} for the codec. */
export const UploadRequest: MessageDescriptor<UploadRequest> = message(
  'UploadRequest',
  required(1, 'handle', 'string'),
  required(2, 'operation', 'string'),
  required(3, 'path', 'string'),
  optional(4, 'privileged', 'bool'),
  optional(5, 'mode', 'uint32'),
);

/** Some of the bytes; answered when there is room for more. */
export interface UploadDataRequest {
  readonly data: Uint8Array;
}
/** The fields of {@link UploadDataRequest} for the codec. */
export const UploadDataRequest: MessageDescriptor<UploadDataRequest> = message(
  'UploadDataRequest',
  required(1, 'data', 'bytes'),
);

/** Ends the upload; answered when all is in place, or nothing is. */
export interface UploadEndRequest {
  /** Absent or false: drop it. */
  readonly commit?: boolean | undefined;
}
/** The fields of {@link UploadEndRequest} for the codec. */
export const UploadEndRequest: MessageDescriptor<UploadEndRequest> = message(
  'UploadEndRequest',
  optional(1, 'commit', 'bool'),
);
