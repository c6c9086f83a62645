/** The choices that overlayfs leaves to who mounts it, as words for mount(8). */
import os from 'node:os';

/** Options of `overlayfs`. All of them are part of what `probe` tries. */
export interface OverlayfsOptions {
  /**
   * Nothing is written to the disk for the layer's sake: fsync(2) inside costs nothing, and neither do the
   * ends of containers. What a crash of the host leaves is unusable, but so is the container: its processes
   * are gone, and the next daemon removes it. After a failed write to the disk fsync(2) inside still fails.
   * Default: true where the kernel has it (Linux 5.10).
   */
  readonly volatile?: boolean;
  /**
   * The kernel's marks are `user.overlay.*` instead of `trusted.overlay.*`, for whoever mounts as root of a
   * user namespace without rights outside (Linux 5.11). What runs inside could change such marks: not for
   * hostile code.
   */
  readonly userxattr?: boolean;
  /**
   * Renaming a directory of the base: `on` notes where it was; `off` and `nofollow` make rename(2) fail with
   * EXDEV, on which `mv` copies. Default: the kernel's.
   */
  readonly redirectDir?: 'on' | 'off' | 'follow' | 'nofollow';
  /**
   * A change of owner or mode copies no content. Only for layers that nobody changes while they are not
   * mounted, as warden's are. Needs `redirectDir` other than `off`. Default: the kernel's.
   */
  readonly metacopy?: boolean;
  /**
   * Files with several names keep them when they are written, and a layer cannot be used twice at once.
   * Default: the kernel's.
   */
  readonly index?: boolean;
  /** Whether inode numbers tell the layers apart. Default: the kernel's. */
  readonly xino?: 'on' | 'off' | 'auto';
  /** Any further options, in mount(8)'s words. */
  readonly mountOptions?: readonly string[];
}

/** The words for a mount. Errors: `TypeError` for choices that the kernel refuses together. */
export function optionWords(options: OverlayfsOptions, release: string = os.release()): readonly string[] {
  const { volatile = hasVolatile(release), userxattr, redirectDir, metacopy, index, xino } = options;
  if (userxattr && (metacopy || redirectDir === 'on'))
    throw new TypeError('userxattr goes neither with metacopy nor with redirectDir: on');
  if (metacopy && (redirectDir === 'off' || redirectDir === 'nofollow'))
    throw new TypeError(`metacopy needs redirects, which redirectDir: ${redirectDir} switches off`);
  const onOff = (name: string, value: boolean | undefined): string[] =>
    value === undefined ? [] : [`${name}=${value ? 'on' : 'off'}`];
  const words = [
    ...(volatile ? ['volatile'] : []),
    ...(userxattr ? ['userxattr'] : []),
    ...(redirectDir === undefined ? [] : [`redirect_dir=${redirectDir}`]),
    ...onOff('metacopy', metacopy),
    ...onOff('index', index),
    ...(xino === undefined ? [] : [`xino=${xino}`]),
    ...(options.mountOptions ?? []),
  ];
  return [...new Set(words)];
}

function hasVolatile(release: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  return major > 5 || (major === 5 && minor >= 10);
}
