/** Copies and the requests about the daemon itself (spec protocol.md 8). */
import { type MessageDescriptor, message, optional, repeated, required } from '../descriptor.ts';

export interface CopyInRequest {
  readonly handle: string;
  /** Host. */
  readonly src_path: string;
  /** Container. */
  readonly dst_path: string;
}
export const CopyInRequest: MessageDescriptor<CopyInRequest> = message(
  'CopyInRequest',
  required(1, 'handle', 'string'),
  required(2, 'src_path', 'string'),
  required(3, 'dst_path', 'string'),
);

export type CopyInResponse = Readonly<Record<never, never>>;
export const CopyInResponse: MessageDescriptor<CopyInResponse> = message('CopyInResponse');

export interface CopyOutRequest {
  readonly handle: string;
  /** Container. */
  readonly src_path: string;
  /** Host. */
  readonly dst_path: string;
  /** `USER`, `USER:GROUP` or numeric; empty: leave. */
  readonly owner?: string | undefined;
}
export const CopyOutRequest: MessageDescriptor<CopyOutRequest> = message(
  'CopyOutRequest',
  required(1, 'handle', 'string'),
  required(2, 'src_path', 'string'),
  required(3, 'dst_path', 'string'),
  optional(4, 'owner', 'string'),
);

export type CopyOutResponse = Readonly<Record<never, never>>;
export const CopyOutResponse: MessageDescriptor<CopyOutResponse> = message('CopyOutResponse');

export type PingRequest = Readonly<Record<never, never>>;
export const PingRequest: MessageDescriptor<PingRequest> = message('PingRequest');

export type PingResponse = Readonly<Record<never, never>>;
export const PingResponse: MessageDescriptor<PingResponse> = message('PingResponse');

export type ListRequest = Readonly<Record<never, never>>;
export const ListRequest: MessageDescriptor<ListRequest> = message('ListRequest');

export interface ListResponse {
  readonly handles?: readonly string[] | undefined;
}
export const ListResponse: MessageDescriptor<ListResponse> = message(
  'ListResponse',
  repeated(1, 'handles', 'string'),
);

export interface EchoRequest {
  readonly message: Uint8Array;
}
export const EchoRequest: MessageDescriptor<EchoRequest> = message(
  'EchoRequest',
  required(1, 'message', 'bytes'),
);

export interface EchoResponse {
  readonly message: Uint8Array;
}
export const EchoResponse: MessageDescriptor<EchoResponse> = message(
  'EchoResponse',
  required(1, 'message', 'bytes'),
);
