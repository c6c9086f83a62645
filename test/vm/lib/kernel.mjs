/**
 * The guest's kernel: Debian's own, taken out of its package without installing it, or the one the caller names.
 *
 * `KERNEL`   an image (bzImage)
 * `MODULES`  its modules: the directory that is named by the kernel's release, as below /lib/modules
 * `INITRD`   an initramfs of its own, from which only the modules are used
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const META_PACKAGE = 'linux-image-amd64';

const APT_MS = 5 * 60_000;

/** Debian's packages cannot be had, and none is here from earlier. */
export class NoArchive extends Error {}

/** `{ image, modules?, initrd?, name }`. */
export function findKernel(cache, environment = process.env) {
  const { KERNEL, MODULES, INITRD } = environment;
  if (KERNEL) {
    for (const file of [KERNEL, MODULES, INITRD])
      if (file && !fs.existsSync(file)) throw new Error(`there is no ${file}`);
    if (!MODULES && !INITRD)
      throw new Error('KERNEL needs MODULES (the directory of its modules) or INITRD (which has them)');
    return { image: KERNEL, modules: MODULES, initrd: INITRD, name: path.basename(KERNEL) };
  }
  if (MODULES || INITRD) throw new Error('MODULES and INITRD belong to KERNEL, which is not set');
  return cached(cache) ?? fetchKernel(cache);
}

/** The newest that was unpacked before. */
function cached(cache) {
  if (!fs.existsSync(cache)) return undefined;
  const names = fs.readdirSync(cache).filter((name) => name.startsWith('linux-image-'));
  const [newest] = names.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  return newest === undefined ? undefined : unpacked(path.join(cache, newest));
}

function fetchKernel(cache) {
  fs.mkdirSync(cache, { recursive: true });
  const work = fs.mkdtempSync(path.join(cache, 'fetch-'));
  try {
    if (download(work) !== undefined) {
      spawnSync('apt-get', ['update', '-q'], { timeout: APT_MS });
      const problem = download(work);
      if (problem !== undefined)
        throw new NoArchive(
          `Debian's kernel cannot be downloaded (${problem}); KERNEL and MODULES name another`,
        );
    }
    const [file] = fs.readdirSync(work).filter((name) => name.endsWith('.deb'));
    run('dpkg-deb', ['-x', file, 'root'], work);
    const target = path.join(cache, file.split('_')[0]);
    fs.renameSync(path.join(work, 'root'), target);
    return unpacked(target);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

/**
 * Answers what was wrong. The package's user for downloads cannot write below a root-only directory; apt says
 * so and goes on.
 */
function download(work) {
  const depends = spawnSync('apt-cache', ['depends', META_PACKAGE], { encoding: 'utf8' });
  const name = /Depends: (linux-image-\S+)/.exec(depends.stdout ?? '')?.[1];
  if (name === undefined) return `apt-cache knows no ${META_PACKAGE}`;
  const { status, stderr, error } = spawnSync('apt-get', ['download', '-q', name], {
    cwd: work,
    encoding: 'utf8',
    timeout: APT_MS,
  });
  if (status === 0) return undefined;
  const words = /^E: .*$/m.exec(stderr ?? '')?.[0].slice('E: '.length);
  return error?.message ?? words ?? `apt-get download ${name} ended with ${status}`;
}

function unpacked(directory) {
  const boot = path.join(directory, 'boot');
  const image = fs.readdirSync(boot).find((name) => name.startsWith('vmlinuz-'));
  const release = image.slice('vmlinuz-'.length);
  const modules = ['lib/modules', 'usr/lib/modules']
    .map((place) => path.join(directory, place, release))
    .find((place) => fs.existsSync(place));
  return { image: path.join(boot, image), modules, initrd: undefined, name: release };
}

function run(command, args, cwd) {
  const result = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (result.status !== 0)
    throw new Error(`${command} ${args.join(' ')} failed: ${result.error?.message ?? result.stderr}`);
}
