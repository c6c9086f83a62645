import { spawn } from 'node:child_process';
import { chownSync, closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeTrial } from '@warden/native';

/** Of the directory that a file is written in. */
export const TRIAL_PREFIX = '.quota-probe-';

const ERRNO_OF_TEXT: Readonly<Record<string, string>> = {
  'Disk quota exceeded': 'EDQUOT',
  'No space left on device': 'ENOSPC',
};

/**
 * Writes `bytes` as user `uid` into a new file below `depot`, after `limit` has been applied to the file's directory.
 * Answers the name of the error that stopped it, undefined when everything could be written. Removes what it made.
 *
 * Another process is needed: the kernel does not hold a limit against a writer with CAP_SYS_RESOURCE.
 */
export async function tryWriting(
  depot: string,
  uid: number,
  bytes: number,
  limit: (directory: string) => void | Promise<void>,
): Promise<string | undefined> {
  const directory = await makeTrial(depot, TRIAL_PREFIX);
  try {
    await limit(directory);
    // Opened here and handed over: the depot need not be open to that user.
    const fd = openSync(join(directory, 'file'), 'wx', 0o600);
    try {
      chownSync(join(directory, 'file'), uid, uid);
      return await copyZeros(fd, uid, bytes);
    } finally {
      closeSync(fd);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function copyZeros(fd: number, uid: number, bytes: number): Promise<string | undefined> {
  const options = {
    uid,
    gid: uid,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', fd, 'pipe'] as const,
  };
  return await new Promise((resolve, reject) => {
    const child = spawn('head', ['-c', String(bytes), '/dev/zero'], {
      ...options,
      stdio: [...options.stdio],
    });
    let text = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      const known = Object.keys(ERRNO_OF_TEXT).find((words) => text.includes(words));
      resolve(code === 0 ? undefined : known === undefined ? text.trim() : ERRNO_OF_TEXT[known]);
    });
  });
}
