import { execFile } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WardenError } from '@warden/interface';

const run = promisify(execFile);

/**
 * No journal: the file system dies with its container. No reserved blocks: root counts like everyone. Inode
 * tables are left as the holes that they are in a new file, so that the image takes no space.
 */
const MKFS_ARGUMENTS = [
  '-q',
  '-F',
  '-m',
  '0',
  '-b',
  '4096',
  '-O',
  '^has_journal,^resize_inode',
  '-E',
  'lazy_itable_init=1,nodiscard,root_owner=0:0',
];

/**
 * An empty ext4 file system of a fixed size to copy images from, held by descriptor alone: a killed daemon
 * leaves no file.
 */
export class ImageTemplate {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Makes the template on the file system of `depot`, where copies can share its extents. Runs mkfs.ext4, once. Errors:
   * `COMMAND_FAILED`.
   */
  static async make(depot: string, bytes: bigint): Promise<ImageTemplate> {
    const directory = mkdtempSync(join(depot, '.quota-template-'));
    try {
      const path = join(directory, 'image');
      writeFileSync(path, '', { mode: 0o600 });
      truncateSync(path, Number(bytes));
      await makeFilesystem(path);
      return new ImageTemplate(openSync(path, 'r'));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  /** A path for open(2) in this process. */
  get path(): string {
    return `/proc/self/fd/${this.#fd}`;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

async function makeFilesystem(path: string): Promise<void> {
  const argv = ['mkfs.ext4', ...MKFS_ARGUMENTS, path];
  try {
    await run(argv[0]!, argv.slice(1), { env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin', LC_ALL: 'C' } });
  } catch (cause) {
    const { code, stderr, message } = cause as Error & { code?: number | string; stderr?: string };
    const output = stderr?.trim() || message;
    throw new WardenError('COMMAND_FAILED', `mkfs.ext4: ${output}`, {
      fields: { operation: 'make-image', object: path, argv, exitStatus: code, output },
      cause,
    });
  }
}
