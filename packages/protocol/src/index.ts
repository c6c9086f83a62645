/**
 * The wire protocol of warden: messages as tables, a codec driven by them, and the framing. Runs anywhere
 * JavaScript runs.
 *
 * @packageDocumentation
 */
export { fromBytes, toBytes } from './byte-string.ts';
export { type DecodeLimits, decode, encode } from './codec.ts';
export type { EnumDescriptor, FieldDescriptor, FieldType, MessageDescriptor } from './descriptor.ts';
export {
  type DecodedMessage,
  decodeMessage,
  encodeFrameParts,
  encodeMessage,
  MessageType,
  outputFrame,
  REQUESTS,
  type RequestEntry,
  type Side,
} from './envelope.ts';
export {
  DEFAULT_MAX_FRAME_BYTES,
  encodeFrame,
  FrameDecoder,
  type FrameDecoderOptions,
  type MessageMemory,
} from './framing.ts';
export * from './messages/enums.ts';
export * from './messages/extensions.ts';
export * from './messages/files.ts';
export * from './messages/host.ts';
export * from './messages/images.ts';
export * from './messages/jobs.ts';
export * from './messages/lifecycle.ts';
export * from './messages/limits.ts';
export * from './messages/network.ts';
export * from './messages/parts.ts';
export { ProtocolError } from './protocol-error.ts';
