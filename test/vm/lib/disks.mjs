/** The guest's disks: sparse files with a file system each, made without mounting anything. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** In the order of their device names; `init` mounts them by label. */
export const DISKS = [
  { label: 'work', size: '6G', type: 'ext4', options: [] },
  {
    label: 'ext4-user',
    size: '1G',
    type: 'ext4',
    options: ['-O', 'quota', '-E', 'quotatype=usrquota', '-I', '256'],
  },
  {
    label: 'ext4-project',
    size: '1G',
    type: 'ext4',
    options: ['-O', 'quota,project', '-E', 'quotatype=prjquota', '-I', '256'],
  },
  { label: 'xfs-project', size: '1G', type: 'xfs', options: [] },
];

/** Answers the files. */
export function makeDisks(directory) {
  return DISKS.map(({ label, size, type, options }) => {
    const file = path.join(directory, `${label}.img`);
    fs.closeSync(fs.openSync(file, 'w'));
    fs.truncateSync(file, Number.parseInt(size, 10) * 2 ** 30);
    const command = type === 'xfs' ? ['mkfs.xfs', '-q', '-f'] : ['mkfs.ext4', '-q', '-F', ...options];
    // the label of xfs has at most twelve bytes, which the longest here just fills
    const result = spawnSync(command[0], [...command.slice(1), '-L', label, file], { encoding: 'utf8' });
    if (result.status !== 0)
      throw new Error(`${command[0]} for ${label} failed: ${result.error?.message ?? result.stderr}`);
    return file;
  });
}
