/** A file system of btrfs in a file, mounted in the mount namespace of the run. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** Where it is mounted, and how it goes again. */
export interface BtrfsDisk {
  readonly path: string;
  close(): void;
}

/** Makes, mounts and sets up one. What is removed in it, the kernel clears away within about a second. */
export function makeBtrfs(quota: 'on' | 'off'): BtrfsDisk {
  const directory = fs.mkdtempSync('/tmp/warden-btrfs-');
  const [image, at] = [path.join(directory, 'image'), path.join(directory, 'mounted')];
  const close = (): void => {
    spawnSync('umount', [at]);
    fs.rmSync(directory, { recursive: true });
  };
  try {
    fs.chmodSync(directory, 0o755); // other users write in it
    fs.mkdirSync(at);
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 512 << 20);
    run('mkfs.btrfs', '-q', image);
    run('mount', '-o', 'loop,noatime,commit=1', image, at);
    fs.chmodSync(at, 0o1777);
    if (quota === 'on') run('btrfs', 'quota', 'enable', at);
    return { path: at, close };
  } catch (error) {
    close();
    throw error;
  }
}

function run(...[program, ...words]: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program!, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${error?.message ?? stderr}`);
}
