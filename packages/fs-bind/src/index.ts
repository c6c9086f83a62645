/**
 * Root file systems of warden without any stacking: the base read-only, with private copies of the
 * directories programs write to. Works on every kernel and inside containers; creating costs the copy.
 *
 * @packageDocumentation
 */
export { bind } from './driver.ts';
export { noFilesystem } from './none.ts';
