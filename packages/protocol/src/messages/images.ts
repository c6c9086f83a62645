/** Images, an extension of this implementation. */
import { type MessageDescriptor, message, optional, repeated, required } from '../descriptor.ts';

/** An image as the host keeps it. */
export interface Image {
  readonly id: string;
  readonly names?: readonly string[] | undefined;
  readonly created?: string | undefined;
  readonly bytes: bigint;
  /** Digests, the lowest layer first. */
  readonly layers?: readonly string[] | undefined;
  /** Ids of containers. */
  readonly used_by?: readonly string[] | undefined;
}
/** The fields of {@link Image} for the codec. */
export const Image: MessageDescriptor<Image> = message(
  'Image',
  required(1, 'id', 'string'),
  repeated(2, 'names', 'string'),
  optional(3, 'created', 'string'),
  required(4, 'bytes', 'uint64'),
  repeated(5, 'layers', 'string'),
  repeated(6, 'used_by', 'string'),
);

/** Asks for all images. */
export type ImageListRequest = Readonly<Record<never, never>>;
/** The fields of {@link ImageListRequest} for the codec. */
export const ImageListRequest: MessageDescriptor<ImageListRequest> = message('ImageListRequest');

/** The images. */
export interface ImageListResponse {
  readonly images?: readonly Image[] | undefined;
}
/** The fields of {@link ImageListResponse} for the codec. */
export const ImageListResponse: MessageDescriptor<ImageListResponse> = message(
  'ImageListResponse',
  repeated(1, 'images', 'message', { message: Image }),
);

/** Takes an image from an archive or a directory of the host. */
export interface ImageImportRequest {
  readonly path: string;
  readonly name?: string | undefined;
  /** Which of several. */
  readonly reference?: string | undefined;
  /** Tell how far it is, in answers before the last one. */
  readonly progress?: boolean | undefined;
}
/** The fields of {@link ImageImportRequest} for the codec. */
export const ImageImportRequest: MessageDescriptor<ImageImportRequest> = message(
  'ImageImportRequest',
  required(1, 'path', 'string'),
  optional(2, 'name', 'string'),
  optional(3, 'reference', 'string'),
  optional(4, 'progress', 'bool'),
);

/** How far an import or a pull is; the last answer has the image. */
export interface ImageProgressResponse {
  /** `download` or `unpack`. */
  readonly step?: string | undefined;
  readonly object?: string | undefined;
  readonly done?: bigint | undefined;
  readonly total?: bigint | undefined;
  readonly image?: Image | undefined;
}
/** The fields of {@link ImageProgressResponse} for the codec. */
export const ImageProgressResponse: MessageDescriptor<ImageProgressResponse> = message(
  'ImageProgressResponse',
  optional(1, 'step', 'string'),
  optional(2, 'object', 'string'),
  optional(3, 'done', 'uint64'),
  optional(4, 'total', 'uint64'),
  optional(5, 'image', 'message', { message: Image }),
);

/** Fetches an image from a registry. */
export interface ImagePullRequest {
  readonly reference: string;
  readonly name?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** As of {@link ImageImportRequest}. */
  readonly progress?: boolean | undefined;
}
/** The fields of {@link ImagePullRequest} for the codec. */
export const ImagePullRequest: MessageDescriptor<ImagePullRequest> = message(
  'ImagePullRequest',
  required(1, 'reference', 'string'),
  optional(2, 'name', 'string'),
  optional(3, 'user', 'string'),
  optional(4, 'password', 'string'),
  optional(5, 'progress', 'bool'),
);

/** Takes a name away, and with the last one the image. */
export interface ImageRemoveRequest {
  /** Name or id. */
  readonly image: string;
}
/** The fields of {@link ImageRemoveRequest} for the codec. */
export const ImageRemoveRequest: MessageDescriptor<ImageRemoveRequest> = message(
  'ImageRemoveRequest',
  required(1, 'image', 'string'),
);

/** What was removed. */
export interface ImageRemoveResponse {
  /** Ids. */
  readonly images?: readonly string[] | undefined;
  readonly bytes: bigint;
}
/** The fields of {@link ImageRemoveResponse} for the codec. */
export const ImageRemoveResponse: MessageDescriptor<ImageRemoveResponse> = message(
  'ImageRemoveResponse',
  repeated(1, 'images', 'string'),
  required(2, 'bytes', 'uint64'),
);

/** Removes what nobody has or uses. */
export type ImageCollectRequest = Readonly<Record<never, never>>;
/** The fields of {@link ImageCollectRequest} for the codec. */
export const ImageCollectRequest: MessageDescriptor<ImageCollectRequest> = message('ImageCollectRequest');

/** Keeps what a container has changed as an image. */
export interface SnapshotRequest {
  readonly handle: string;
  readonly name: string;
}
/** The fields of {@link SnapshotRequest} for the codec. */
export const SnapshotRequest: MessageDescriptor<SnapshotRequest> = message(
  'SnapshotRequest',
  required(1, 'handle', 'string'),
  required(2, 'name', 'string'),
);

/** The new image. */
export interface SnapshotResponse {
  readonly image: Image;
}
/** The fields of {@link SnapshotResponse} for the codec. */
export const SnapshotResponse: MessageDescriptor<SnapshotResponse> = message(
  'SnapshotResponse',
  required(1, 'image', 'message', { message: Image }),
);
