/** `warden cp`: files and directories between this host and a container. */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import { FILE_MODES, type FileOptions, type FileType, isWardenError, WardenError } from '@warden/interface';
import { CommandError } from '../command-error.ts';
import { extractTree, replaceFile } from '../copy/extract.ts';
import { baseName, treeSize, writeTar } from '../copy/tar-writer.ts';
import { OutputWriter } from '../human/output-writer.ts';
import { ProgressBar } from '../human/progress-bar.ts';
import { shown } from '../human/shown.ts';
import { sizeText } from '../human/units.ts';
import { tell } from '../human/write-answer.ts';
import { Interruption } from '../jobs/signals.ts';
import { isOfStopped } from '../report-error.ts';
import type { Word, WordContext } from './word.ts';

/** See the file's head. */
export const cp: Word = {
  name: 'cp',
  summary: 'Copy a file or directory into a container, or out of it.',
  details: [
    'One of both is HANDLE:PATH, with an absolute path. The other one is a path of this host, or - for standard input or output. This program opens files here, with the rights of its user; a program in the container, as its unprivileged user (--privileged: its root), opens them there.',
    'A directory as the target means a place in it. A directory that is copied out is made new: where there is one already it is an error. One that is copied in is merged with the directory of its name; where a file or a link stands in its place nothing is copied. Links stay links, devices and sockets are left out, and so are owners, set-user-id and set-group-id bits; the sticky bit is kept.',
    'A copy that is broken off leaves a file as it was, and nothing of a directory on this host.',
  ],
  operands: [
    { name: 'SOURCE', kind: 'file' },
    { name: 'TARGET', kind: 'file' },
  ],
  flags: [
    { name: 'privileged', text: 'As root inside the container.' },
    { name: 'quiet', short: 'q', text: 'No bar, and nothing about what was copied.' },
  ],
  examples: [
    ['warden cp ./src box:/home/vcap/', 'a directory: it is /home/vcap/src there'],
    ['warden cp box:/tmp/result.json .', 'a file'],
    ['warden cp box:/var/log - --privileged > log.tar', 'a directory to a pipe is a tar archive'],
  ],
  async run(given, context) {
    const [source, target] = given.operands.map(parsePlace) as [Place, Place];
    if ((source.handle === undefined) === (target.handle === undefined))
      throw new CommandError('cp: one of both has to be HANDLE:PATH, and the other a path of this host');
    const box = (await context.connect()).container((source.handle ?? target.handle)!);
    using interruption = new Interruption(context.terminal);
    const isQuiet = given.has('quiet') || context.format !== 'text';
    const copy = new Copy(box, context, isQuiet, {
      privileged: given.has('privileged'),
      signal: interruption.signal,
    });
    try {
      if (source.handle === undefined) await copy.into(source.path, target.path);
      else await copy.out(source.path, target.path);
    } catch (error) {
      if (interruption.exitCode !== undefined && isWardenError(error, 'ABORTED'))
        return interruption.exitCode;
      throw isWardenError(error, 'BAD_STATE') && isOfStopped(error) ? stoppedCopy(error) : error;
    }
    return 0;
  },
};

/** A path of this host, or of a container. */
export interface Place {
  readonly handle?: string;
  readonly path: string;
}

/** `HANDLE:PATH`; what has a `/` before the colon is a path of this host. Error: `CommandError`. */
export function parsePlace(text: string): Place {
  // a handle may have colons too
  const end = text.indexOf(':/');
  if (end > 0 && !text.slice(0, end).includes('/'))
    return { handle: text.slice(0, end), path: text.slice(end + 1) };
  const colon = text.indexOf(':');
  if (colon < 1 || text.slice(0, colon).includes('/')) return { path: text };
  throw new CommandError(
    `cp: '${text}': a path in a container is absolute (a path of this host with a colon: ./${text})`,
  );
}

function missing(source: string): WardenError {
  return new WardenError('INVALID_SPEC', `cp: '${source}': there is no such file on this host`, {
    fields: {
      operation: 'cp',
      object: source,
      errno: 'ENOENT',
      advice: 'name a file or directory that is there, or - for standard input',
    },
  });
}

/** The daemon says `stat PATH: ENOENT`, which leaves open on which side. */
function absentInside(error: unknown, source: string): unknown {
  // with another code it is the daemon's own trouble, as a directory of its that has gone
  if (!isWardenError(error, 'INVALID_SPEC') || !['ENOENT', 'ENOTDIR'].includes(String(error.fields.errno)))
    return error;
  return new WardenError(error.code, `cp: '${source}': there is no such file in the container`, {
    cause: error,
    fields: {
      ...error.fields,
      advice: 'name a file or directory that is there; warden exec HANDLE -- ls shows them',
    },
  });
}

/** Opened by whoever reads the first byte, if anybody does. */
async function* contentOf(file: string): AsyncGenerator<Uint8Array, void, undefined> {
  yield* fs.createReadStream(file);
}

function taken(place: string, type: FileType): WardenError {
  const found =
    type === 'file' || type === 'symlink' ? { file: 'a file', symlink: 'a link' }[type] : 'no directory';
  return new WardenError('ALREADY_EXISTS', `cp: '${place}' is ${found} in the container`, {
    fields: {
      operation: 'cp',
      object: place,
      advice: 'a directory does not replace it: remove it first, or name another place',
    },
  });
}

function isAboutWriting({ fields: { operation, errno } }: WardenError): boolean {
  return errno === 'ENOENT' && (operation === 'write' || operation === 'write-tar');
}

function homeless({ code, fields }: WardenError, place: string): WardenError {
  const parent = path.posix.dirname(place);
  return new WardenError(code, `cp: '${place}': there is no directory ${parent} in the container`, {
    fields: { ...fields, advice: 'make it first, by warden exec or warden run, or name another place' },
  });
}

/** A copy needs a program inside; a stopped container runs none. */
function stoppedCopy({ message, fields }: WardenError): WardenError {
  const advice = 'files of a stopped container come out by copy_out (warden copy_out --help)';
  return new WardenError('BAD_STATE', message, { fields: { ...fields, advice } });
}

class Copy {
  readonly #box: ClientContainer;
  readonly #context: WordContext;
  readonly #options: FileOptions;
  readonly #bar: ProgressBar;
  readonly #isQuiet: boolean;
  #done = 0;

  constructor(box: ClientContainer, context: WordContext, isQuiet: boolean, options: FileOptions) {
    this.#box = box;
    this.#context = context;
    this.#options = options;
    this.#isQuiet = isQuiet;
    this.#bar = new ProgressBar(context.terminal, !isQuiet);
  }

  async into(source: string, target: string): Promise<void> {
    if (source === '-') return this.#inputInto(target);
    const stat = statHere(source);
    if (stat === undefined) throw missing(source);
    if (stat.isDirectory()) return this.#treeInto(source, target);
    if (!stat.isFile()) throw notCopied(source);
    const place = await this.#placeInside(source, target);
    const content = this.#counted(contentOf(source), baseName(place) ?? place, stat.size);
    await this.#endingInside(place, () =>
      this.#box.files.write(place, content, { ...this.#options, mode: stat.mode & FILE_MODES }),
    );
  }

  async #inputInto(target: string): Promise<void> {
    const { stdin } = this.#context.terminal;
    const content = this.#counted(stdin as AsyncIterable<Uint8Array>, target);
    try {
      await this.#endingInside(target, () => this.#box.files.write(target, content, this.#options));
    } finally {
      stdin.destroy(); // of a copy that is broken off, a read may still wait, and keep this program
    }
  }

  async out(source: string, target: string): Promise<void> {
    const { files } = this.#box;
    const { type, mode, size } = await files.stat(source, this.#options).catch((error: unknown) => {
      throw absentInside(error, source);
    });
    const label = baseName(source) ?? source;
    const isTree = type === 'directory';
    if (target === '-') {
      const bytes = isTree ? files.readTar(source, this.#options) : files.read(source, this.#options);
      return this.#toOutput(bytes);
    }
    const place = placeHere(source, target);
    requireDirectoryHere(place);
    await this.#ending(place, () =>
      isTree
        ? extractTree(files.readTar(source, this.#options), place, {
            mode,
            onBytes: (count) => this.#count(count, label),
          })
        : replaceFile(place, mode, this.#counted(files.read(source, this.#options), label, Number(size))),
    );
  }

  /** The tree gets its name at the target: the target's own, or in a directory that is there the source's. */
  async #treeInto(source: string, target: string): Promise<void> {
    const place = await this.#placeInside(source, target);
    const name = baseName(place);
    if (name === undefined) throw notCopied(place);
    // unpacking replaces what is no directory, with all that was in it
    const type = await this.#typeInside(place);
    if (type !== undefined && type !== 'directory') throw taken(place, type);
    const total = treeSize(source);
    const archive = writeTar(fs.realpathSync(source), name, {
      onBytes: (count) => this.#count(count, name, total),
      onSkipped: (left) => void tell(this.#context, `left out: ${shown(left)} is no file, directory or link`),
    });
    await this.#endingInside(place, () =>
      this.#box.files.writeTar(path.posix.dirname(place), archive, this.#options),
    );
  }

  /** As `#ending`; what is missing in a container is where it was to go. */
  async #endingInside(place: string, write: () => Promise<void>): Promise<void> {
    try {
      await this.#ending(place, write);
    } catch (error) {
      throw isWardenError(error) && isAboutWriting(error) ? homeless(error, place) : error;
    }
  }

  async #placeInside(source: string, target: string): Promise<string> {
    const isDirectory = target.endsWith('/') || (await this.#typeInside(target)) === 'directory';
    if (!isDirectory) return target;
    const name = baseName(path.resolve(source));
    if (name === undefined) throw notCopied(source);
    return path.posix.join(target, name);
  }

  async #typeInside(target: string): Promise<FileType | undefined> {
    try {
      return (await this.#box.files.stat(target, this.#options)).type;
    } catch (error) {
      if (isWardenError(error) && error.fields.errno === 'ENOENT') return undefined;
      throw error;
    }
  }

  async *#counted(
    content: AsyncIterable<Uint8Array>,
    label: string,
    total?: number,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of content) {
      this.#count(piece.length, label, total);
      yield piece;
    }
  }

  #count(bytes: number, label: string, total?: number): void {
    this.#done += bytes;
    this.#bar.show({ label, done: this.#done, ...(total !== undefined && { total }) });
  }

  /** A terminal gets no orders of a file's. */
  async #toOutput(bytes: AsyncIterable<Uint8Array>): Promise<void> {
    const writer = new OutputWriter(this.#context.terminal);
    for await (const piece of bytes) await writer.write('stdout', piece);
    await writer.end();
  }

  async #ending(place: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } finally {
      this.#bar.end();
    }
    if (!this.#isQuiet) await tell(this.#context, `${shown(place)}: ${sizeText(this.#done)}`);
  }
}

/** `undefined`: there is none, perhaps because a file stands where a directory would be on the way. */
function statHere(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

/** In a directory that is there, under the source's name. */
function placeHere(source: string, target: string): string {
  const isDirectory = target.endsWith('/') || statHere(target)?.isDirectory();
  if (!isDirectory) return target;
  const name = baseName(source);
  if (name === undefined) throw notCopied(source);
  return path.join(target, name);
}

/** Before anything is read: what is missing is said in the words that a place in a container has. */
function requireDirectoryHere(place: string): void {
  const parent = path.dirname(place);
  if (statHere(parent)?.isDirectory()) return;
  throw new WardenError('INVALID_SPEC', `cp: '${place}': there is no directory ${parent} on this host`, {
    fields: {
      operation: 'cp',
      object: place,
      errno: 'ENOENT',
      advice: 'make it first, or name another place',
    },
  });
}

function notCopied(place: string): WardenError {
  return new WardenError('INVALID_SPEC', `${place} cannot be copied: name a file or a directory`, {
    fields: { operation: 'cp', object: place },
  });
}
