/**
 * Files of a fake container: a tree in memory. No rights, one user; links are not followed, because nothing
 * makes any but an archive.
 */
import type { FileChange, FileStat, FileType } from '@warden/interface';
import { FILE_MODES, WardenError } from '@warden/interface';
import { readArchive, writeArchive } from './fake-tar.ts';

/** Something that has a name. */
export interface FakeNode {
  readonly type: Extract<FileType, 'file' | 'directory' | 'symlink'>;
  mode: number;
  content: Uint8Array;
  modifiedNs: bigint;
  readonly linkTarget?: string;
}

const DIRECTORIES = [
  '/',
  '/bin',
  '/dev',
  '/etc',
  '/home',
  '/home/vcap',
  '/proc',
  '/root',
  '/tmp',
  '/usr',
  '/var',
];
const MAX_PATH_BYTES = 4_095;

/** See the file's head. */
export class FakeFiles {
  readonly #nodes = new Map<string, FakeNode>();
  readonly #watchers = new Set<(path: string, change: FileChange) => void>();

  constructor() {
    for (const path of DIRECTORIES) this.#nodes.set(path, node('directory', 0o755));
  }

  stat(operation: string, path: string): FileStat {
    return statOf(this.#get(operation, path));
  }

  list(path: string): readonly (FileStat & { readonly name: string })[] {
    const directory = this.#directory('list', path);
    return this.#children(directory).map(([name, child]) => ({ name, ...statOf(child) }));
  }

  read(path: string, offset = 0n, length?: bigint): Uint8Array {
    const { type, content } = this.#get('read', path);
    if (type !== 'file') throw wrong('read', path, type === 'directory' ? 'EISDIR' : 'ELOOP');
    const end = length === undefined ? content.length : Number(offset + length);
    return content.subarray(Number(offset), end);
  }

  write(path: string, content: Uint8Array, mode?: number): void {
    const name = this.#clean('write', path);
    checkMode(path, mode);
    this.#directory('write', parentOf(name));
    const before = this.#nodes.get(name);
    if (before?.type === 'directory') throw wrong('write', path, 'EISDIR');
    this.#put(name, { ...node('file', mode ?? before?.mode ?? 0o644), content });
  }

  /** Whether {@link write} would find a place. */
  checkWrite(path: string, mode?: number): void {
    const name = this.#clean('write', path);
    checkMode(path, mode);
    this.#directory('write', parentOf(name));
    if (this.#nodes.get(name)?.type === 'directory') throw wrong('write', path, 'EISDIR');
  }

  readTar(path: string): Uint8Array {
    const name = this.#clean('read-tar', path);
    const one = this.#get('read-tar', path);
    if (one.type !== 'directory') return writeArchive([[name.slice(name.lastIndexOf('/') + 1), one]]);
    const prefix = name === '/' ? '/' : `${name}/`;
    const inside = [...this.#nodes].filter(([at]) => at !== name && at.startsWith(prefix)).sort(byName);
    return writeArchive(inside.map(([at, child]) => [at.slice(prefix.length), child]));
  }

  writeTar(path: string, archive: Uint8Array): void {
    const root = this.#directory('write-tar', path);
    for (const [name, child] of readArchive(archive, path)) {
      const target = `${root === '/' ? '' : root}/${name}`;
      this.#makeParents(target);
      if (this.#nodes.get(target)?.type === 'directory' && child.type !== 'directory')
        throw wrong('write-tar', target, 'EISDIR');
      if (child.type !== 'directory' || !this.#nodes.has(target)) this.#put(target, child);
    }
  }

  /** Calls `listener` with each change until the answer is called. */
  watch(path: string, listener: (change: FileChange) => void): () => void {
    const watched = this.#clean('watch', path);
    this.#get('watch', path);
    const watcher = (changed: string, change: FileChange): void => {
      if (changed === watched) listener({ kind: change.kind });
      else if (parentOf(changed) === watched)
        listener({ kind: change.kind, name: changed.slice(changed.lastIndexOf('/') + 1) });
    };
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  #makeParents(target: string): void {
    const parent = parentOf(target);
    const there = this.#nodes.get(parent);
    if (there?.type === 'directory') return;
    if (there !== undefined) throw wrong('write-tar', parent, 'ENOTDIR');
    this.#makeParents(parent);
    this.#put(parent, node('directory', 0o755));
  }

  #put(name: string, made: FakeNode): void {
    const isNew = !this.#nodes.has(name);
    this.#nodes.set(name, made);
    for (const watcher of this.#watchers) {
      if (isNew) watcher(name, { kind: 'created' });
      watcher(name, { kind: 'written' });
    }
  }

  #children(directory: string): [string, FakeNode][] {
    const prefix = directory === '/' ? '/' : `${directory}/`;
    return [...this.#nodes]
      .filter(
        ([at]) => at.length > prefix.length && at.startsWith(prefix) && !at.includes('/', prefix.length),
      )
      .map(([at, child]) => [at.slice(prefix.length), child]);
  }

  #directory(operation: string, path: string): string {
    if (this.#get(operation, path).type !== 'directory') throw wrong(operation, path, 'ENOTDIR');
    return this.#clean(operation, path);
  }

  #get(operation: string, path: string): FakeNode {
    const found = this.#nodes.get(this.#clean(operation, path));
    if (found === undefined) throw wrong(operation, path, 'ENOENT');
    return found;
  }

  #clean(operation: string, path: string): string {
    if (
      !path.startsWith('/') ||
      path.includes('\0') ||
      new TextEncoder().encode(path).length > MAX_PATH_BYTES
    )
      throw wrong(
        operation,
        path.slice(0, 200),
        'EINVAL',
        'the path is not absolute, too long, or holds a NUL byte',
      );
    const parts: string[] = [];
    for (const part of path.split('/')) {
      if (part === '..') parts.pop();
      else if (part !== '' && part !== '.') parts.push(part);
    }
    return `/${parts.join('/')}`;
  }
}

/** A new one. */
export function node(type: FakeNode['type'], mode: number, linkTarget?: string): FakeNode {
  const modifiedNs = BigInt(Date.now()) * 1_000_000n;
  return {
    type,
    mode,
    content: new Uint8Array(),
    modifiedNs,
    ...(linkTarget !== undefined && { linkTarget }),
  };
}

function statOf({ type, mode, content, modifiedNs, linkTarget }: FakeNode): FileStat {
  const size = BigInt(content.length);
  return { type, mode, uid: 0, gid: 0, size, modifiedNs, ...(linkTarget !== undefined && { linkTarget }) };
}

function checkMode(path: string, mode: number | undefined): void {
  if (mode === undefined || (Number.isInteger(mode) && mode >= 0 && mode <= FILE_MODES)) return;
  throw wrong('write', path, 'EINVAL', `mode 0${mode.toString(8)} is not in 0..01777`);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** What the program inside would have said. */
export function wrong(operation: string, object: string, errno: string, text: string = errno): WardenError {
  return new WardenError('INVALID_SPEC', `${operation} ${object}: ${text}`, {
    fields: { operation, object, errno },
  });
}
