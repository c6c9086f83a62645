/** Copies and the requests about the daemon itself (spec protocol.md 8). */
import { type MessageDescriptor, message, optional, repeated, required } from '../descriptor.ts';
import { Property } from './parts.ts';

/** Copies a file or a tree from the host into a container. */
export interface CopyInRequest {
  readonly handle: string;
  /** Host. */
  readonly src_path: string;
  /** Container. */
  readonly dst_path: string;
}
/** The fields of {@link CopyInRequest} for the codec. */
export const CopyInRequest: MessageDescriptor<CopyInRequest> = message(
  'CopyInRequest',
  required(1, 'handle', 'string'),
  required(2, 'src_path', 'string'),
  required(3, 'dst_path', 'string'),
);

/** Says that it is done. */
export type CopyInResponse = Readonly<Record<never, never>>;
/** The fields of {@link CopyInResponse} for the codec. */
export const CopyInResponse: MessageDescriptor<CopyInResponse> = message('CopyInResponse');

/** Copies a file or a tree from a container to the host. */
export interface CopyOutRequest {
  readonly handle: string;
  /** Container. */
  readonly src_path: string;
  /** Host. */
  readonly dst_path: string;
  /** `USER`, `USER:GROUP` or numeric; empty: leave. */
  readonly owner?: string | undefined;
}
/** The fields of {@link CopyOutRequest} for the codec. */
export const CopyOutRequest: MessageDescriptor<CopyOutRequest> = message(
  'CopyOutRequest',
  required(1, 'handle', 'string'),
  required(2, 'src_path', 'string'),
  required(3, 'dst_path', 'string'),
  optional(4, 'owner', 'string'),
);

/** Says that it is done. */
export type CopyOutResponse = Readonly<Record<never, never>>;
/** The fields of {@link CopyOutResponse} for the codec. */
export const CopyOutResponse: MessageDescriptor<CopyOutResponse> = message('CopyOutResponse');

/** Asks for a sign of life. */
export type PingRequest = Readonly<Record<never, never>>;
/** The fields of {@link PingRequest} for the codec. */
export const PingRequest: MessageDescriptor<PingRequest> = message('PingRequest');

/** Nothing but the answer itself. */
export type PingResponse = Readonly<Record<never, never>>;
/** The fields of {@link PingResponse} for the codec. */
export const PingResponse: MessageDescriptor<PingResponse> = message('PingResponse');

/** Asks for the handles of all containers. */
export interface ListRequest {
  /** Extension: only containers that have all of these. */
  readonly properties?: readonly Property[] | undefined;
}
/** The fields of {@link ListRequest} for the codec. */
export const ListRequest: MessageDescriptor<ListRequest> = message(
  'ListRequest',
  repeated(1001, 'properties', 'message', { message: Property }),
);

/** The handles. */
export interface ListResponse {
  readonly handles?: readonly string[] | undefined;
}
/** The fields of {@link ListResponse} for the codec. */
export const ListResponse: MessageDescriptor<ListResponse> = message(
  'ListResponse',
  repeated(1, 'handles', 'string'),
);

/** Asks for the same text back. */
export interface EchoRequest {
  readonly message: Uint8Array;
}
/** The fields of {@link EchoRequest} for the codec. */
export const EchoRequest: MessageDescriptor<EchoRequest> = message(
  'EchoRequest',
  required(1, 'message', 'bytes'),
);

/** The text. */
export interface EchoResponse {
  readonly message: Uint8Array;
}
/** The fields of {@link EchoResponse} for the codec. */
export const EchoResponse: MessageDescriptor<EchoResponse> = message(
  'EchoResponse',
  required(1, 'message', 'bytes'),
);
