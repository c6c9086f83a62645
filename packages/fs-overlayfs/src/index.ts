/**
 * Root file systems of warden by the kernel's overlayfs: an unchanged base below, a container's own layer
 * above. Creating one costs a few directories, whatever the size of the base.
 *
 * @packageDocumentation
 */
export { overlayfs } from './driver.ts';
export type { OverlayfsOptions } from './mount-options.ts';
