/**
 * Root file systems of warden by aufs, for the kernels that have it (a patch outside the kernel's own tree).
 *
 * @packageDocumentation
 */
export { aufs } from './driver.ts';
