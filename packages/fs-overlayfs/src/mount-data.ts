/** The option string of overlayfs as mount(2) wants it (kernel: Documentation/filesystems/overlayfs.rst). */

/** The kernel hands one page of option text to a file system. */
export const MAX_DATA_BYTES = 4_095;

/** A comma ends an option and a backslash escapes; a colon separates lower layers. All three can be part of a path. */
export function escapePath(path: string, role: 'lower' | 'upper'): string {
  return path.replace(role === 'lower' ? /[\\,:]/g : /[\\,]/g, (char) => `\\${char}`);
}

/** Options of one overlay; the uppermost of its lower layers first. */
export function overlayOptions(layers: {
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
}): string[] {
  return [
    `lowerdir=${layers.lower.map((one) => escapePath(one, 'lower')).join(':')}`,
    `upperdir=${escapePath(layers.upper, 'upper')}`,
    `workdir=${escapePath(layers.work, 'upper')}`,
  ];
}
