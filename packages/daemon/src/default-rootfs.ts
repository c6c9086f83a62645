/**
 * The embedded default root file system: busybox and a static bash, about 4 MB, made once at set-up from the
 * host's `busybox-static` and `bash-static` packages. Enough to run scripts; anything larger is a `debootstrap` away.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { type Configuration, isInsecure } from './config.ts';
import { neededFiles } from './elf.ts';

/** Where a daemon makes it that no other one is configured for. */
export const DEFAULT_ROOTFS = '/var/lib/warden/rootfs';

/**
 * A program of the host, the first of its places where it is statically linked: a root made of these two has
 * no libraries.
 */
interface Ingredient {
  readonly places: readonly string[];
  readonly packageName: string;
  /** Why apt may have to remove something for it. */
  readonly note?: string;
}

const BUSYBOX: Ingredient = {
  places: ['/bin/busybox', '/usr/bin/busybox'],
  packageName: 'busybox-static',
  note: ', which takes the place of the package busybox',
};
const BASH: Ingredient = { places: ['/bin/bash-static', '/usr/bin/bash-static'], packageName: 'bash-static' };

const DIRECTORIES = [
  'bin',
  'dev',
  'etc',
  'home',
  'lib',
  'mnt',
  'opt',
  'proc',
  'root',
  'run',
  'sbin',
  'srv',
  'sys',
  'usr/bin',
  'usr/sbin',
  'var/log',
  'var/lib',
];

const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n',
  'etc/group': 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n',
  'etc/hosts': '127.0.0.1 localhost\n',
  'etc/profile': 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
};

/**
 * Makes the default one where `configuration` needs it: containers are made, and no other is configured.
 * Errors: as {@link makeDefaultRootfs}.
 */
export function makeConfiguredRootfs(configuration: Configuration): void {
  if (isInsecure(configuration)) return;
  if (configuration.server.container_rootfs_path === undefined) makeDefaultRootfs(DEFAULT_ROOTFS);
}

/** Whether it is there, and so complete: it appears at once. */
export function hasDefaultRootfs(target: string): boolean {
  return fs.existsSync(path.join(target, 'bin/bash'));
}

/**
 * Makes the root file system at `target` unless a complete one is there. Idempotent; the directory appears at once and
 * whole (built beside and renamed), so a broken set-up never leaves half a root.
 *
 * Errors: `UNSUPPORTED` naming the Debian package that is missing, `NATIVE_FAILED` otherwise.
 */
export function makeDefaultRootfs(target: string): void {
  if (hasDefaultRootfs(target)) return;
  const { busybox, bash } = defaultRootfsPrograms();
  const work = `${target}.making-${process.pid}`;
  fs.rmSync(work, { recursive: true, force: true });
  for (const name of DIRECTORIES) fs.mkdirSync(path.join(work, name), { recursive: true, mode: 0o755 });
  for (const name of ['tmp', 'var/tmp']) {
    fs.mkdirSync(path.join(work, name), { recursive: true });
    fs.chmodSync(path.join(work, name), 0o1777);
  }
  for (const [name, content] of Object.entries(FILES))
    fs.writeFileSync(path.join(work, name), content, { mode: 0o644 });
  fs.copyFileSync(busybox, path.join(work, 'bin/busybox'));
  fs.copyFileSync(bash, path.join(work, 'bin/bash'));
  for (const name of ['bin/busybox', 'bin/bash']) fs.chmodSync(path.join(work, name), 0o755);
  linkApplets(work, busybox);
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.rmSync(target, { recursive: true, force: true });
  fs.renameSync(work, target);
}

function linkApplets(work: string, busybox: string): void {
  const applets = execFileSync(busybox, ['--list-full'], { encoding: 'utf8' }).split('\n');
  for (const applet of applets) {
    if (applet === '' || applet.endsWith('/busybox')) continue;
    const link = path.join(work, applet);
    fs.mkdirSync(path.dirname(link), { recursive: true });
    // absolute: resolved inside the container's root, never by the host
    if (!fs.existsSync(link)) fs.symlinkSync('/bin/busybox', link);
  }
}

/**
 * The host's programs that the default root file system is made of.
 *
 * Errors: `UNSUPPORTED` naming the Debian package that is missing, or that one is linked dynamically: it
 * would start in no container.
 */
export function defaultRootfsPrograms(
  busybox: Ingredient = BUSYBOX,
  bash: Ingredient = BASH,
): { readonly busybox: string; readonly bash: string } {
  return { busybox: locate(busybox), bash: locate(bash) };
}

function locate({ places, packageName, note = '' }: Ingredient): string {
  let refused: { readonly place: string; readonly interpreter: string } | undefined;
  for (const place of places.filter((one) => fs.existsSync(one))) {
    const { interpreter } = neededFiles(fs.readFileSync(place));
    if (interpreter === undefined) return place;
    refused ??= { place, interpreter };
  }
  const why =
    refused === undefined
      ? `needs ${packageName}: apt-get install ${packageName}`
      : `cannot be made of ${refused.place}, which is linked dynamically (${refused.interpreter}): apt-get install ${packageName}${note}`;
  throw new WardenError(
    'UNSUPPORTED',
    `the default root file system ${why}, or name another root file system by server.container_rootfs_path`,
    {
      fields: {
        operation: 'make default root file system',
        object: refused?.place ?? places[0],
        package: packageName,
      },
    },
  );
}
