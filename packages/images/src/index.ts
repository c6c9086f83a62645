/**
 * Images of warden: imported from OCI layouts and docker-archives, pulled from registries, kept as shared,
 * read-only layers for overlayfs, or flat for drivers that cannot stack.
 *
 * Everything is checked by its digest. What archives hold is unpacked by a program of our own,
 * `warden-unpack`, in namespaces of its own, which sees nothing but the tree it makes; the daemon reads
 * documents, hashes bytes and renames directories.
 *
 * @packageDocumentation
 */
export { STORE_FAILPOINTS, type StoreFailpoint } from './failpoints.ts';
export type { PullOptions } from './http.ts';
export { imageName } from './reference.ts';
export { type ImageStoreOptions, imageStore } from './store.ts';
