/**
 * The view for programs of the original's time, which look for `<view>/<subsystem>/instance-<id>` (spec
 * behaviour.md 15.3): a directory of links to a daemon's parent groups. It is a convenience, so nothing here
 * stops a daemon; what is in the way is left alone and reported.
 *
 * The usual place is below /tmp, where everybody may make things: the directory is used only when nobody but
 * root can have made or can change any part of the way to it, and no symbolic link is followed.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Logger } from '@warden/interface';
import { type DetectSources, detectHierarchies } from './detect.ts';
import { errnoOf } from './kernel-file.ts';

/** The subsystems that the original mounted. */
const SUBSYSTEMS = ['cpu', 'cpuacct', 'devices', 'memory'] as const;
const STICKY = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;

/** Options of {@link makeCgroupView}. */
export interface CgroupViewOptions {
  /** Where; absolute. */
  readonly directory: string;
  /** The daemon's {@link CgroupsOptions.prefix}. Its groups must exist. */
  readonly prefix: string;
  readonly logger: Logger;
  /** Other files to detect from, for fixtures. */
  readonly sources?: DetectSources;
  /** Whom everything must belong to. Default: root. */
  readonly owner?: number;
}

/**
 * Makes the links, on cgroup v1; on v2 there is nothing to show. Answers whether the view is this daemon's
 * now. Idempotent. The links stay when the daemon ends, as its groups do. Never throws.
 */
export function makeCgroupView({
  directory,
  prefix,
  logger,
  sources,
  owner = 0,
}: CgroupViewOptions): boolean {
  const found = detectHierarchies(sources);
  if (found?.version !== 1) return false;
  const links = new Map<string, string>();
  for (const name of SUBSYSTEMS) {
    const mount = found.mounts.get(name);
    if (mount !== undefined) links.set(path.join(directory, name), path.join(mount, prefix));
  }
  try {
    const problem =
      (path.isAbsolute(directory) ? undefined : `${directory} is no absolute path`) ??
      makeSafeDirectory(path.resolve(directory), owner) ??
      firstProblem([...links], (link) => inTheWay(...link));
    if (problem !== undefined) {
      logger.warn('cgroup-view-not-made', {
        directory,
        reason: problem,
        advice: 'choose another place for compat.cgroup_view, or null',
      });
      return false;
    }
    for (const [link, target] of links) replaceLink(link, target);
    return true;
  } catch (error) {
    logger.warn('cgroup-view-not-made', { directory, error });
    return false;
  }
}

/** Removes the links that lead to this daemon's groups, and answers which; those of others stay. */
export function removeCgroupView({
  directory,
  prefix,
  sources,
}: Pick<CgroupViewOptions, 'directory' | 'prefix' | 'sources'>): readonly string[] {
  const found = detectHierarchies(sources);
  if (found?.version !== 1) return [];
  return SUBSYSTEMS.flatMap((name) => {
    const mount = found.mounts.get(name);
    const link = path.join(directory, name);
    if (mount === undefined || linkTarget(link) !== path.join(mount, prefix)) return [];
    fs.unlinkSync(link);
    return [link];
  });
}

function linkTarget(link: string): string | undefined {
  try {
    return fs.readlinkSync(link);
  } catch {
    return undefined; // nothing, or no link
  }
}

function firstProblem<T>(items: readonly T[], check: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const problem = check(item);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/**
 * Makes what is missing of the way and answers what is wrong with the rest. In a sticky directory nobody can
 * take away or rename what belongs to root, so that what was found safe stays it.
 */
function makeSafeDirectory(directory: string, owner: number): string | undefined {
  const parts = directory.split(path.sep).filter((part) => part !== '');
  const ways = parts.map((_part, at) => `/${parts.slice(0, at + 1).join('/')}`);
  return firstProblem(['/', ...ways], (way) => {
    const isLast = way === directory;
    makeDirectory(way);
    const status = fs.lstatSync(way);
    if (status.isSymbolicLink()) return `${way} is a symbolic link`;
    if (!status.isDirectory()) return `${way} is no directory`;
    if (status.uid !== owner && status.uid !== 0) return `${way} belongs to user ${status.uid}`;
    const isOpen = (status.mode & WRITABLE_BY_OTHERS) !== 0;
    if (isOpen && (isLast || (status.mode & STICKY) === 0)) return `${way} can be written by others`;
    return undefined;
  });
}

function makeDirectory(way: string): void {
  try {
    fs.mkdirSync(way, { mode: 0o755 });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

/** A link that leads nowhere is nobody's any more; a daemon that lives, or lived, has its groups. */
function inTheWay(link: string, target: string): string | undefined {
  const status = fs.lstatSync(link, { throwIfNoEntry: false });
  if (status === undefined) return undefined;
  if (!status.isSymbolicLink()) return `${link} is there and no link of ours`;
  const leadsTo = fs.readlinkSync(link);
  if (leadsTo === target || !fs.existsSync(link)) return undefined;
  return `${link} leads to ${leadsTo}: another daemon has the view`;
}

/** Made beside and renamed: whoever looks finds the old one or the new one. */
function replaceLink(link: string, target: string): void {
  const beside = `${link}.new-${process.pid}`;
  fs.rmSync(beside, { force: true });
  fs.symlinkSync(target, beside);
  fs.renameSync(beside, link);
}
