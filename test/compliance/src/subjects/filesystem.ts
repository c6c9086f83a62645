/** A file-system driver on this host. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import type { FilesystemSubject, Obstacle } from '@warden/driver-compliance';
import { type DriverFactory, type FilesystemDriver, type Mount, silentLogger } from '@warden/interface';
import { makeSmallRoot } from './small-root.ts';

/** A depot and a small base in a directory of their own. */
export async function filesystemSubject(
  make: DriverFactory<FilesystemDriver>,
  mountRoot: MountRoot = mountAsRoot,
): Promise<FilesystemSubject> {
  const directory = fs.mkdtempSync('/tmp/warden-kit-');
  const [depot, base] = [path.join(directory, 'depot'), path.join(directory, 'base, with: odd\\ name')];
  fs.mkdirSync(depot);
  await makeSmallRoot(base);
  fs.writeFileSync(path.join(base, 'etc/greeting'), 'hello\n', { mode: 0o640 });
  fs.chmodSync(path.join(base, 'etc/greeting'), 0o640);
  return {
    driver: make({ logger: silentLogger }),
    restart: () => make({ logger: silentLogger }),
    depot,
    base,
    obstacles: ({ directory: own }) =>
      // of the overlay driver; others never look there
      make({ logger: silentLogger }).name === 'overlayfs' ? [file(path.join(own, 'tmp/.rootfs-work'))] : [],
    mount: (mounts) => mountRoot(mounts, path.join(directory, 'root')),
    close: async () => fs.rmSync(directory, { recursive: true, force: true }),
  };
}

/** Performs mounts; `root` is a name that nobody has. */
export type MountRoot = (mounts: readonly Mount[], root: string) => ReturnType<FilesystemSubject['mount']>;

/** Performs the mounts as the host's root, in a mount namespace that ends with its holder. */
const mountAsRoot: MountRoot = (mounts, root) => mountIn(mounts, root, []);

/** Performs the mounts as root of a user namespace: who has no rights outside can do it, too. */
export const mountAsUser: MountRoot = (mounts, root) => mountIn(mounts, root, ['--user', '--map-root-user']);

async function mountIn(
  mounts: readonly Mount[],
  root: string,
  namespaces: readonly string[],
): ReturnType<MountRoot> {
  fs.mkdirSync(root, { recursive: true });
  const holder = spawn(
    'unshare',
    [
      ...namespaces,
      '--mount',
      '--propagation',
      'private',
      '--',
      'sh',
      '-c',
      'echo ready; exec cat >/dev/null',
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  await once(holder.stdout, 'data');
  const entered = [
    ...(namespaces.length > 0 ? [`--user=/proc/${holder.pid}/ns/user`] : []),
    `--mount=/proc/${holder.pid}/ns/mnt`,
  ];
  const enter = (...command: string[]): { status: number; stdout: string; stderr: string } => {
    const result = spawnSync('nsenter', [...entered, '--', ...command], {
      encoding: 'utf8',
    });
    return { status: result.status ?? 255, stdout: result.stdout, stderr: result.stderr };
  };
  for (const one of mounts) {
    const flags = one.options.filter((word) => !word.startsWith('x-'));
    const type = flags.includes('bind') || flags.includes('rbind') ? [] : ['-t', one.type];
    const { status, stderr } = enter(
      'mount',
      '-n',
      '--source',
      one.source,
      '--target',
      path.join(root, one.target),
      ...type,
      '-o',
      flags.join(','),
    );
    if (status !== 0) throw new Error(`mount ${JSON.stringify(one)}: ${stderr}`);
  }
  return {
    run: async (script) => enter('chroot', root, '/bin/sh', '-c', script),
    close: async () => {
      const gone = once(holder, 'exit');
      holder.stdin.end();
      await gone;
    },
  };
}

function file(at: string): Obstacle {
  return {
    name: `a file ${path.basename(at)}`,
    place: async () => {
      fs.mkdirSync(path.dirname(at), { recursive: true });
      fs.writeFileSync(at, '');
      return async () => fs.rmSync(path.dirname(at), { recursive: true });
    },
  };
}
