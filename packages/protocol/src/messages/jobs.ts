/** Spawn, link, run, stream, and the signal extension (spec protocol.md 8). */

import { type MessageDescriptor, message, optional, repeated, required } from '../descriptor.ts';
import { InfoResponse } from './lifecycle.ts';
import { ResourceLimits, TerminalSize } from './parts.ts';

/** Starts a script in a container as a job. */
export interface SpawnRequest {
  readonly handle: string;
  /** Fed to `/bin/bash` on standard input. */
  readonly script: Uint8Array;
  readonly privileged?: boolean | undefined;
  readonly rlimits?: ResourceLimits | undefined;
  readonly discard_output?: boolean | undefined;
  readonly log_tag?: string | undefined;
  /** Extension: keep track of all descendants, see `SpawnOptions.trackTree` of the Warden API. */
  readonly track_tree?: boolean | undefined;
  /** Extension: program and arguments instead of `/bin/bash`. */
  readonly argv?: readonly string[] | undefined;
  /** Extension: `NAME=value`. */
  readonly environment?: readonly string[] | undefined;
  /** Extension: where it starts. */
  readonly working_directory?: string | undefined;
  /** Extension: standard input stays open for JobInput. */
  readonly open_input?: boolean | undefined;
  /** Extension: the streams are a terminal. */
  readonly terminal?: TerminalSize | undefined;
  /** Extension: output is not kept; it waits in the job's pipes for a stream. */
  readonly live_output?: boolean | undefined;
}
/** The fields of {@link SpawnRequest} for the codec. */
export const SpawnRequest: MessageDescriptor<SpawnRequest> = message(
  'SpawnRequest',
  required(1, 'handle', 'string'),
  required(2, 'script', 'bytes'),
  optional(3, 'privileged', 'bool'),
  optional(4, 'rlimits', 'message', { message: ResourceLimits }),
  optional(5, 'discard_output', 'bool'),
  optional(6, 'log_tag', 'string'),
  optional(1001, 'track_tree', 'bool'),
  repeated(1002, 'argv', 'string'),
  repeated(1003, 'environment', 'string'),
  optional(1004, 'working_directory', 'string'),
  optional(1005, 'open_input', 'bool'),
  optional(1006, 'terminal', 'message', { message: TerminalSize }),
  optional(1007, 'live_output', 'bool'),
);

/** The id of the job. */
export interface SpawnResponse {
  readonly job_id: number;
}
/** The fields of {@link SpawnResponse} for the codec. */
export const SpawnResponse: MessageDescriptor<SpawnResponse> = message(
  'SpawnResponse',
  required(1, 'job_id', 'uint32'),
);

/** Waits for the end of a job and asks for its result. */
export interface LinkRequest {
  readonly handle: string;
  readonly job_id: number;
}
/** The fields of {@link LinkRequest} for the codec. */
export const LinkRequest: MessageDescriptor<LinkRequest> = message(
  'LinkRequest',
  required(1, 'handle', 'string'),
  required(2, 'job_id', 'uint32'),
);

/** The job's exit status, its output, and what is known of the container then. */
export interface LinkResponse {
  readonly exit_status?: number | undefined;
  readonly stdout?: Uint8Array | undefined;
  readonly stderr?: Uint8Array | undefined;
  /** The container at the end of the job. */
  readonly info?: InfoResponse | undefined;
  /**
   * Extension: why it ended, one of the reasons of `ExitVerdict` of the Warden API; absent for an exit with a
   * status other than 255.
   */
  readonly exit_reason?: string | undefined;
  /** Extension: the signal that ended it. */
  readonly exit_signal?: number | undefined;
}
/** The fields of {@link LinkResponse} for the codec. */
export const LinkResponse: MessageDescriptor<LinkResponse> = message(
  'LinkResponse',
  optional(1, 'exit_status', 'uint32'),
  optional(2, 'stdout', 'bytes'),
  optional(3, 'stderr', 'bytes'),
  optional(4, 'info', 'message', { message: InfoResponse }),
  optional(1001, 'exit_reason', 'string'),
  optional(1002, 'exit_signal', 'uint32'),
);

/** Runs a script in a container to its end: spawn and link in one. */
export interface RunRequest {
  readonly handle: string;
  /** Fed to `/bin/bash` on standard input. */
  readonly script: Uint8Array;
  readonly privileged?: boolean | undefined;
  readonly rlimits?: ResourceLimits | undefined;
  readonly discard_output?: boolean | undefined;
  readonly log_tag?: string | undefined;
  /** Extension: keep track of all descendants, see `SpawnOptions.trackTree` of the Warden API. */
  readonly track_tree?: boolean | undefined;
  /** Extension: program and arguments instead of `/bin/bash`. */
  readonly argv?: readonly string[] | undefined;
  /** Extension: `NAME=value`. */
  readonly environment?: readonly string[] | undefined;
  /** Extension: where it starts. */
  readonly working_directory?: string | undefined;
  /** Extension: standard input stays open for JobInput. */
  readonly open_input?: boolean | undefined;
  /** Extension: the streams are a terminal. */
  readonly terminal?: TerminalSize | undefined;
}
/** The fields of {@link RunRequest} for the codec. */
export const RunRequest: MessageDescriptor<RunRequest> = message(
  'RunRequest',
  required(1, 'handle', 'string'),
  required(2, 'script', 'bytes'),
  optional(3, 'privileged', 'bool'),
  optional(4, 'rlimits', 'message', { message: ResourceLimits }),
  optional(5, 'discard_output', 'bool'),
  optional(6, 'log_tag', 'string'),
  optional(1001, 'track_tree', 'bool'),
  repeated(1002, 'argv', 'string'),
  repeated(1003, 'environment', 'string'),
  optional(1004, 'working_directory', 'string'),
  optional(1005, 'open_input', 'bool'),
  optional(1006, 'terminal', 'message', { message: TerminalSize }),
);

/** The job's exit status, its output, and what is known of the container then. */
export interface RunResponse {
  readonly exit_status?: number | undefined;
  readonly stdout?: Uint8Array | undefined;
  readonly stderr?: Uint8Array | undefined;
  /** The container at the end of the job. */
  readonly info?: InfoResponse | undefined;
  /**
   * Extension: why it ended, one of the reasons of `ExitVerdict` of the Warden API; absent for an exit with a
   * status other than 255.
   */
  readonly exit_reason?: string | undefined;
  /** Extension: the signal that ended it. */
  readonly exit_signal?: number | undefined;
}
/** The fields of {@link RunResponse} for the codec. */
export const RunResponse: MessageDescriptor<RunResponse> = message(
  'RunResponse',
  optional(1, 'exit_status', 'uint32'),
  optional(2, 'stdout', 'bytes'),
  optional(3, 'stderr', 'bytes'),
  optional(4, 'info', 'message', { message: InfoResponse }),
  optional(1001, 'exit_reason', 'string'),
  optional(1002, 'exit_signal', 'uint32'),
);

/** Asks for the output of a job as it comes. */
export interface StreamRequest {
  readonly handle: string;
  readonly job_id: number;
}
/** The fields of {@link StreamRequest} for the codec. */
export const StreamRequest: MessageDescriptor<StreamRequest> = message(
  'StreamRequest',
  required(1, 'handle', 'string'),
  required(2, 'job_id', 'uint32'),
);

/** A piece of output; the last answer has the exit status instead. */
export interface StreamResponse {
  /** `stdout` or `stderr`; absent in the last answer. */
  readonly name?: string | undefined;
  readonly data?: Uint8Array | undefined;
  /** Only in the last answer. */
  readonly exit_status?: number | undefined;
  /** Only in the last answer. */
  readonly info?: InfoResponse | undefined;
  /**
   * Extension: why it ended, one of the reasons of `ExitVerdict` of the Warden API; absent for an exit with a
   * status other than 255.
   */
  readonly exit_reason?: string | undefined;
  /** Extension: the signal that ended it. */
  readonly exit_signal?: number | undefined;
}
/** The fields of {@link StreamResponse} for the codec. */
export const StreamResponse: MessageDescriptor<StreamResponse> = message(
  'StreamResponse',
  optional(1, 'name', 'string'),
  optional(2, 'data', 'bytes'),
  optional(3, 'exit_status', 'uint32'),
  optional(4, 'info', 'message', { message: InfoResponse }),
  optional(1001, 'exit_reason', 'string'),
  optional(1002, 'exit_signal', 'uint32'),
);

/** Extension: signals a job. */
export interface JobSignalRequest {
  readonly handle: string;
  readonly job_id: number;
  /** Absent: SIGKILL. */
  readonly signal?: number | undefined;
  /** False: the job's process alone. Absent or true: its descendants, too. */
  readonly tree?: boolean | undefined;
  /** `timeout`: what `exit_reason` says when the job dies of it. */
  readonly reason?: string | undefined;
}
/** The fields of {@link JobSignalRequest} for the codec. */
export const JobSignalRequest: MessageDescriptor<JobSignalRequest> = message(
  'JobSignalRequest',
  required(1, 'handle', 'string'),
  required(2, 'job_id', 'uint32'),
  optional(3, 'signal', 'uint32'),
  optional(4, 'tree', 'bool'),
  optional(5, 'reason', 'string'),
);

/** Says that it is done. */
export type JobSignalResponse = Readonly<Record<never, never>>;
/** The fields of {@link JobSignalResponse} for the codec. */
export const JobSignalResponse: MessageDescriptor<JobSignalResponse> = message('JobSignalResponse');

/** Extension: asks to be lent the pipes of a job with `live_output`, as long as the connection stands. */
export interface JobPipesRequest {
  readonly handle: string;
  readonly job_id: number;
}
/** The fields of {@link JobPipesRequest} for the codec. */
export const JobPipesRequest: MessageDescriptor<JobPipesRequest> = message(
  'JobPipesRequest',
  required(1, 'handle', 'string'),
  required(2, 'job_id', 'uint32'),
);

/** A pipe among the descriptors of a process. */
export interface PipePlace {
  readonly descriptor: number;
  readonly device: bigint;
  readonly inode: bigint;
}
/** The fields of {@link PipePlace} for the codec. */
export const PipePlace: MessageDescriptor<PipePlace> = message(
  'PipePlace',
  required(1, 'descriptor', 'uint32'),
  required(2, 'device', 'uint64'),
  required(3, 'inode', 'uint64'),
);

/** Where the pipes are: below `/proc/<pid>/fd`, for those who may look there. A stream that is absent is at its end. */
export interface JobPipesResponse {
  readonly pid: number;
  readonly stdout?: PipePlace | undefined;
  readonly stderr?: PipePlace | undefined;
}
/** The fields of {@link JobPipesResponse} for the codec. */
export const JobPipesResponse: MessageDescriptor<JobPipesResponse> = message(
  'JobPipesResponse',
  required(1, 'pid', 'uint32'),
  optional(2, 'stdout', 'message', { message: PipePlace }),
  optional(3, 'stderr', 'message', { message: PipePlace }),
);
