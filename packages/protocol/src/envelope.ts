/** The envelope `Message` and the table of requests (spec protocol.md 3). */
import { type DecodeLimits, decode, encode, encodeToWriter } from './codec.ts';
import { type MessageDescriptor, message, required } from './descriptor.ts';
import { encodeFrame, FRAME_TRAILER, frameHeader } from './framing.ts';
import {
  EmptyResponse,
  EventsRequest,
  EventsResponse,
  FeaturesRequest,
  FeaturesResponse,
  HandleRequest,
  InfoManyRequest,
  InfoManyResponse,
  JobInputRequest,
  JobResizeRequest,
  MetricsRequest,
  MetricsResponse,
  PropertiesRequest,
  PropertiesResponse,
} from './messages/extensions.ts';
import {
  FilesRequest,
  FilesResponse,
  UploadDataRequest,
  UploadEndRequest,
  UploadRequest,
} from './messages/files.ts';
import {
  CopyInRequest,
  CopyInResponse,
  CopyOutRequest,
  CopyOutResponse,
  EchoRequest,
  EchoResponse,
  ListRequest,
  ListResponse,
  PingRequest,
  PingResponse,
} from './messages/host.ts';
import {
  ImageCollectRequest,
  ImageImportRequest,
  ImageListRequest,
  ImageListResponse,
  ImageProgressResponse,
  ImagePullRequest,
  ImageRemoveRequest,
  ImageRemoveResponse,
  SnapshotRequest,
  SnapshotResponse,
} from './messages/images.ts';
import {
  JobPipesRequest,
  JobPipesResponse,
  JobSignalRequest,
  JobSignalResponse,
  LinkRequest,
  LinkResponse,
  RunRequest,
  RunResponse,
  SpawnRequest,
  SpawnResponse,
  StreamRequest,
  StreamResponse,
} from './messages/jobs.ts';
import {
  CreateRequest,
  CreateResponse,
  DestroyRequest,
  DestroyResponse,
  InfoRequest,
  InfoResponse,
  StopRequest,
  StopResponse,
} from './messages/lifecycle.ts';
import {
  LimitBandwidthRequest,
  LimitBandwidthResponse,
  LimitCpuRequest,
  LimitCpuResponse,
  LimitDiskRequest,
  LimitDiskResponse,
  LimitMemoryRequest,
  LimitMemoryResponse,
} from './messages/limits.ts';
import {
  NetInRequest,
  NetInResponse,
  NetOutRequest,
  NetOutResponse,
  NetRulesRequest,
  NetRulesResponse,
} from './messages/network.ts';
import { ErrorResponse } from './messages/parts.ts';
import { ProtocolError } from './protocol-error.ts';
import { BLOCK, VARINT, WireWriter } from './wire.ts';

/** Numbers of the message types; `Error` only answers. Those above 1000 are extensions of this implementation. */
export const MessageType = {
  Error: 1,
  Create: 11,
  Stop: 12,
  Destroy: 13,
  Info: 14,
  Spawn: 21,
  Link: 22,
  Run: 23,
  Stream: 24,
  NetIn: 31,
  NetOut: 32,
  CopyIn: 41,
  CopyOut: 42,
  LimitMemory: 51,
  LimitDisk: 52,
  LimitBandwidth: 53,
  LimitCpu: 54,
  Ping: 91,
  List: 92,
  Echo: 93,
  JobSignal: 1001,
  Features: 1002,
  JobInput: 1003,
  JobResize: 1004,
  Pause: 1005,
  Resume: 1006,
  Properties: 1007,
  InfoMany: 1008,
  Metrics: 1009,
  Events: 1010,
  Files: 1011,
  Upload: 1012,
  UploadData: 1013,
  UploadEnd: 1014,
  JobPipes: 1015,
  NetRules: 1016,
  ImageList: 1101,
  ImageImport: 1102,
  ImagePull: 1103,
  ImageRemove: 1104,
  ImageCollect: 1105,
  Snapshot: 1106,
} as const;

/** A request and the message that answers it. Both travel with the same type number. */
export interface RequestEntry {
  /** As in `MessageType`. */
  readonly name: string;
  readonly request: MessageDescriptor;
  readonly response: MessageDescriptor;
}

/** Every request by type number. */
export const REQUESTS: Readonly<Record<number, RequestEntry>> = {
  [MessageType.Create]: { name: 'Create', request: CreateRequest, response: CreateResponse },
  [MessageType.Stop]: { name: 'Stop', request: StopRequest, response: StopResponse },
  [MessageType.Destroy]: { name: 'Destroy', request: DestroyRequest, response: DestroyResponse },
  [MessageType.Info]: { name: 'Info', request: InfoRequest, response: InfoResponse },
  [MessageType.Spawn]: { name: 'Spawn', request: SpawnRequest, response: SpawnResponse },
  [MessageType.Link]: { name: 'Link', request: LinkRequest, response: LinkResponse },
  [MessageType.Run]: { name: 'Run', request: RunRequest, response: RunResponse },
  [MessageType.Stream]: { name: 'Stream', request: StreamRequest, response: StreamResponse },
  [MessageType.NetIn]: { name: 'NetIn', request: NetInRequest, response: NetInResponse },
  [MessageType.NetOut]: { name: 'NetOut', request: NetOutRequest, response: NetOutResponse },
  [MessageType.CopyIn]: { name: 'CopyIn', request: CopyInRequest, response: CopyInResponse },
  [MessageType.CopyOut]: { name: 'CopyOut', request: CopyOutRequest, response: CopyOutResponse },
  [MessageType.LimitMemory]: {
    name: 'LimitMemory',
    request: LimitMemoryRequest,
    response: LimitMemoryResponse,
  },
  [MessageType.LimitDisk]: { name: 'LimitDisk', request: LimitDiskRequest, response: LimitDiskResponse },
  [MessageType.LimitBandwidth]: {
    name: 'LimitBandwidth',
    request: LimitBandwidthRequest,
    response: LimitBandwidthResponse,
  },
  [MessageType.LimitCpu]: { name: 'LimitCpu', request: LimitCpuRequest, response: LimitCpuResponse },
  [MessageType.Ping]: { name: 'Ping', request: PingRequest, response: PingResponse },
  [MessageType.List]: { name: 'List', request: ListRequest, response: ListResponse },
  [MessageType.Echo]: { name: 'Echo', request: EchoRequest, response: EchoResponse },
  [MessageType.JobSignal]: { name: 'JobSignal', request: JobSignalRequest, response: JobSignalResponse },
  [MessageType.Features]: { name: 'Features', request: FeaturesRequest, response: FeaturesResponse },
  [MessageType.JobInput]: { name: 'JobInput', request: JobInputRequest, response: EmptyResponse },
  [MessageType.JobResize]: { name: 'JobResize', request: JobResizeRequest, response: EmptyResponse },
  [MessageType.Pause]: { name: 'Pause', request: HandleRequest, response: EmptyResponse },
  [MessageType.Resume]: { name: 'Resume', request: HandleRequest, response: EmptyResponse },
  [MessageType.NetRules]: { name: 'NetRules', request: NetRulesRequest, response: NetRulesResponse },
  [MessageType.Properties]: { name: 'Properties', request: PropertiesRequest, response: PropertiesResponse },
  [MessageType.InfoMany]: { name: 'InfoMany', request: InfoManyRequest, response: InfoManyResponse },
  [MessageType.Metrics]: { name: 'Metrics', request: MetricsRequest, response: MetricsResponse },
  [MessageType.Events]: { name: 'Events', request: EventsRequest, response: EventsResponse },
  [MessageType.Files]: { name: 'Files', request: FilesRequest, response: FilesResponse },
  [MessageType.Upload]: { name: 'Upload', request: UploadRequest, response: EmptyResponse },
  [MessageType.UploadData]: { name: 'UploadData', request: UploadDataRequest, response: EmptyResponse },
  [MessageType.UploadEnd]: { name: 'UploadEnd', request: UploadEndRequest, response: EmptyResponse },
  [MessageType.JobPipes]: { name: 'JobPipes', request: JobPipesRequest, response: JobPipesResponse },
  [MessageType.ImageList]: { name: 'ImageList', request: ImageListRequest, response: ImageListResponse },
  [MessageType.ImageImport]: {
    name: 'ImageImport',
    request: ImageImportRequest,
    response: ImageProgressResponse,
  },
  [MessageType.ImagePull]: { name: 'ImagePull', request: ImagePullRequest, response: ImageProgressResponse },
  [MessageType.ImageRemove]: {
    name: 'ImageRemove',
    request: ImageRemoveRequest,
    response: ImageRemoveResponse,
  },
  [MessageType.ImageCollect]: {
    name: 'ImageCollect',
    request: ImageCollectRequest,
    response: ImageRemoveResponse,
  },
  [MessageType.Snapshot]: { name: 'Snapshot', request: SnapshotRequest, response: SnapshotResponse },
};

interface Envelope {
  readonly type: number;
  readonly payload: Uint8Array;
}

// The type is written as a plain number: its field is an enum, whose wire form is the same for every number in use.
const Message: MessageDescriptor<Envelope> = message(
  'Message',
  required(1, 'type', 'uint32'),
  required(2, 'payload', 'bytes'),
);

/** As {@link Message}, for a type that no number is exact for. Each of these is unknown, and is told as it came. */
const WideMessage: MessageDescriptor<{ readonly type: bigint }> = message(
  'Message',
  required(1, 'type', 'uint64'),
);

/** Which of a type's two messages an envelope carries. */
export type Side = 'request' | 'response';

/** A message with its type; `payload` is a value of the type's table. */
export interface DecodedMessage {
  readonly type: number;
  readonly payload: object;
}

/** Encodes the envelope around `value`. Throws a {@link ProtocolError} for an unknown type or an unfit value. */
export function encodeMessage(type: number, value: object, side: Side = 'request'): Uint8Array {
  return encode(Message, { type, payload: encode(tableOf(type, side), value) });
}

/**
 * The whole frame of a message in pieces, to be written one after another. Large values are not copied and
 * must not change before they are sent. Throws as {@link encodeMessage}.
 */
export function encodeFrameParts(type: number, value: object, side: Side = 'request'): readonly Uint8Array[] {
  const envelope = new WireWriter();
  envelope.tag(1, VARINT);
  envelope.varint(type);
  envelope.tag(2, BLOCK);
  envelope.blockOf(encodeToWriter(tableOf(type, side), value));
  const parts = envelope.parts();
  return parts.length === 1
    ? [encodeFrame(parts[0]!)]
    : [frameHeader(envelope.length), ...parts, FRAME_TRAILER];
}

/**
 * What goes before and behind `size` bytes of the stream in the frame of a Stream answer that holds nothing
 * else: the same bytes as {@link encodeFrameParts} makes, so that output can be sent by those who have only
 * seen how much there is.
 */
export function outputFrame(
  stream: 'stdout' | 'stderr',
  size: number,
): { head: Uint8Array; tail: Uint8Array } {
  const parts = encodeFrameParts(
    MessageType.Stream,
    { name: stream, data: new Uint8Array(size) },
    'response',
  );
  const head = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0) - size - FRAME_TRAILER.length,
  );
  let at = 0;
  for (const part of parts) {
    head.set(part.subarray(0, head.length - at), at);
    at += part.length;
    if (at >= head.length) break;
  }
  return { head, tail: FRAME_TRAILER };
}

/**
 * What a request may consist of. The original's clients send a handful of fields; without a bound a frame of
 * the largest size keeps its reader busy for seconds.
 */
const REQUEST_LIMITS: DecodeLimits = { fields: 10_000, stringBytes: 131_072 };

/** Decodes an envelope and its payload, requests within bounds. Throws a {@link ProtocolError} of kind `message`. */
export function decodeMessage(bytes: Uint8Array, side: Side): DecodedMessage {
  const limits = side === 'request' ? REQUEST_LIMITS : {};
  const { type, payload } = decode(Message, bytes, limits);
  if (!Number.isSafeInteger(type)) throw unknownType(decode(WideMessage, bytes, limits).type);
  return { type, payload: decode(tableOf(type, side), payload, limits) as object };
}

function tableOf(type: number, side: Side): MessageDescriptor {
  if (type === MessageType.Error && side === 'response') return ErrorResponse;
  const entry = Object.hasOwn(REQUESTS, type) ? REQUESTS[type] : undefined;
  if (entry === undefined) throw unknownType(type);
  return entry[side];
}

function unknownType(type: number | bigint): ProtocolError {
  return new ProtocolError('message', `Unknown request type: ${type}`);
}
