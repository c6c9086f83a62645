/**
 * The directory a build ends up in. The build works on a draft beside it, so a failure leaves neither a half-made
 * root nor a missing one.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { WardenError } from '@warden/interface';

/** What no directory that is erased may hold: without it the host would not come up again. */
const HOST_PARTS = [
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/home',
  '/lib',
  '/proc',
  '/root',
  '/sbin',
  '/sys',
  '/usr',
  '/var',
];

/** See the file's head. */
export class Target {
  readonly directory: string;
  /** Where to build. */
  readonly draft: string;
  readonly #old: string;
  /** The topmost parent that {@link prepare} made. */
  #madeParent: string | undefined;

  constructor(directory: string) {
    this.directory = realPath(path.resolve(directory));
    const [parent, name] = [path.dirname(this.directory), path.basename(this.directory)];
    this.draft = path.join(parent, `.${name}.building-${process.pid}`);
    this.#old = path.join(parent, `.${name}.old-${process.pid}`);
  }

  get exists(): boolean {
    return fs.existsSync(this.directory);
  }

  /** Errors: `INVALID_SPEC` for what must not be erased whatever the user says. */
  checkReplaceable(): void {
    const refuse = (reason: string): WardenError =>
      new WardenError('INVALID_SPEC', `${this.directory} cannot be replaced: ${reason}`, {
        fields: { operation: 'rootfs build', object: this.directory },
      });
    if (!fs.statSync(this.directory).isDirectory()) throw refuse('it is no directory');
    const holds = (file: string): boolean => file === this.directory || file.startsWith(`${this.directory}/`);
    const part = [...HOST_PARTS, os.homedir(), process.execPath].find(holds);
    if (this.directory === '/' || part !== undefined)
      throw refuse(`it is a part of this host (${part ?? '/'})`);
    const mounted = mountPoints().find(holds);
    if (mounted !== undefined) throw refuse(`${mounted} is a mount point; unmount it first`);
  }

  /** What builds that were killed have left beside the directory. */
  leftovers(): string[] {
    const parent = path.dirname(this.directory);
    const prefix = `.${path.basename(this.directory)}.`;
    if (!fs.existsSync(parent)) return [];
    return fs
      .readdirSync(parent)
      .filter((name) => {
        const pid =
          name.startsWith(prefix) && /^(?:building|old)-([0-9]+)$/.exec(name.slice(prefix.length))?.[1];
        return pid && !fs.existsSync(`/proc/${pid}`);
      })
      .map((name) => path.join(parent, name));
  }

  /**
   * A build that was killed between its last two steps has moved away what it was to replace, and put nothing
   * there: it is put back. Answers whether.
   */
  putBack(): boolean {
    if (this.exists) return false;
    const old = this.leftovers().find((name) => path.basename(name).includes('.old-'));
    if (old !== undefined) fs.renameSync(old, this.directory);
    return old !== undefined;
  }

  /** Makes an empty draft. */
  prepare(): void {
    this.#madeParent = fs.mkdirSync(path.dirname(this.draft), { recursive: true });
    // A draft of an earlier process with our pid: only a killed one leaves it.
    fs.rmSync(this.draft, { recursive: true, force: true });
    fs.mkdirSync(this.draft, { mode: 0o755 });
    fs.chmodSync(this.draft, 0o755);
  }

  /** The draft becomes the directory; what was there is removed afterwards. */
  commit(): void {
    const isReplacing = this.exists;
    if (isReplacing) fs.renameSync(this.directory, this.#old);
    try {
      fs.renameSync(this.draft, this.directory);
    } catch (error) {
      if (isReplacing) fs.renameSync(this.#old, this.directory);
      throw error;
    }
    if (isReplacing) fs.rmSync(this.#old, { recursive: true, force: true });
  }

  /** Removes the draft, and the parents made for it. */
  discard(): void {
    fs.rmSync(this.draft, { recursive: true, force: true, maxRetries: 5 });
    const top = this.#madeParent;
    if (top === undefined) return;
    try {
      for (let at = path.dirname(this.draft); at.length >= top.length; at = path.dirname(at))
        fs.rmdirSync(at);
    } catch {
      // Somebody else uses the parent by now: it stays.
    }
  }
}

/** The path without symbolic links, so that the directory a link points to is replaced, not the link. */
function realPath(file: string): string {
  try {
    return fs.realpathSync(file);
  } catch {
    return file;
  }
}

function mountPoints(): string[] {
  const lines = fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines
    .filter((line) => line !== '')
    .map((line) =>
      line
        .split(' ')[4]!
        .replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    );
}
