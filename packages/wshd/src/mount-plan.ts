/**
 * The mount plan as fstab(5) lines: an operator can read it, `findmnt --fstab` understands it, and init
 * parses it without a library.
 */
import { statSync } from 'node:fs';
import { type BindMountSpec, encodeBytes, type InitSpec, type Mount, WardenError } from '@warden/interface';

/** Renders `etc/fstab`: the file-system driver's mounts in order, then the bind mounts in the order of the request. */
export function renderMountPlan(spec: Pick<InitSpec, 'mounts' | 'bindMounts' | 'confinement'>): string {
  const { idMap, noDevices } = spec.confinement;
  const isMapped = idMap.length > 0;
  return [...spec.mounts, ...spec.bindMounts.map((bind) => bindMount(bind, isMapped))]
    .map((mount) => (noDevices ? withoutDevices(mount) : mount))
    .map(mountLine)
    .join('');
}

function withoutDevices(mount: Mount): Mount {
  return mount.options.includes('nodev') ? mount : { ...mount, options: ['nodev', ...mount.options] };
}

/** One line of fstab(5). */
export function mountLine(mount: Mount): string {
  const options = mount.options.length === 0 ? 'defaults' : mount.options.join(',');
  return `${[mount.source, mount.target, mount.type, options].map(escapeField).join(' ')} 0 0\n`;
}

/**
 * Blanks, line ends, `\` and a leading `#` become octal escapes as getmntent(3) reads them. Every byte that
 * is not printable ASCII passes unchanged: the fields are bytes.
 */
export function escapeField(text: string): string {
  const escaped = text.replace(/[ \t\n\r\\]/g, (char) => octal(char));
  return escaped.startsWith('#') ? octal('#') + escaped.slice(1) : escaped;
}

function octal(char: string): string {
  return `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`;
}

/**
 * A bind mount as a mount: only the one file system, like the original (submounts of the source stay
 * outside). What a set-user-id file may do inside is no_new_privs's matter.
 * With a user namespace, files of the host belong inside to who has the same number there (`x-warden.idmap`).
 * `x-warden.create` tells init which kind of target to make if the root lacks it; a directory cannot be
 * mounted on a file.
 */
function bindMount(bind: BindMountSpec, isMapped: boolean): Mount {
  const kind = sourceIsDirectory(bind.source) ? 'dir' : 'file';
  return {
    type: 'none',
    source: bind.source,
    target: bind.target,
    options: ['bind', bind.mode, `x-warden.create=${kind}`, ...(isMapped ? ['x-warden.idmap'] : [])],
  };
}

function sourceIsDirectory(source: string): boolean {
  try {
    return statSync(Buffer.from(encodeBytes(source))).isDirectory();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EIO' || code === 'ENOMEM') throw cause; // nobody knows whether it is there
    // the original's text: clients show it
    throw new WardenError('INVALID_SPEC', `Source path for bind mount does not exist: ${source}`, {
      fields: { operation: 'stat', object: source, errno: code },
      cause,
    });
  }
}
