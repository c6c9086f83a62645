/** The depot before any container is looked at: made with its parents, and of one backend only. */
import fs from 'node:fs';
import path from 'node:path';
import { requireShortDepot } from '@warden/core';
import { isContainerId, type Logger, WardenError } from '@warden/interface';
import { spreadDirectories } from '@warden/native';

/** Holds the `container_klass` of the containers beside it. */
const MARK = '.backend';

/** Answers the depot's real path. Errors: `INVALID_SPEC` with the original's text and why it could not be made. */
export function makeDepot(depot: string): string {
  try {
    makeWithParents(path.resolve(depot));
    return fs.realpathSync(depot);
  } catch (cause) {
    throw impossible(depot, cause);
  }
}

/**
 * What can be said of a depot before it is made, without making it. Errors: `INVALID_SPEC`, as
 * {@link makeDepot}, {@link requireOwnDepot} and the engine have them.
 */
export function requireDepotPlace(depot: string, backend: string): void {
  const wanted = path.resolve(depot);
  let there = wanted;
  let real: string;
  try {
    while (fs.lstatSync(there, { throwIfNoEntry: false }) === undefined) there = path.dirname(there);
    real = fs.realpathSync(there);
    if (!fs.statSync(real).isDirectory())
      throw Object.assign(new Error(`${there} is no directory`), { code: 'ENOTDIR' });
    fs.accessSync(real, fs.constants.W_OK | fs.constants.X_OK);
  } catch (cause) {
    throw impossible(depot, cause);
  }
  requireShortDepot(path.join(real, path.relative(there, wanted)));
  if (there === wanted) requireOwnDepot(real, backend);
}

function impossible(depot: string, cause: unknown): WardenError {
  const { code } = cause as NodeJS.ErrnoException;
  const why = fs.existsSync(depot)
    ? `is no directory that can be written to: ${depot} (${code});`
    : `does not exist ${depot}, and it cannot be made (${code}); make it, or`;
  return new WardenError(
    'INVALID_SPEC',
    `container_depot_path ${why} configure another server.container_depot_path`,
    { cause, fields: { operation: 'make depot', object: depot, errno: code } },
  );
}

/**
 * Not by `recursive`: where mkdir(2) answers ENOENT although the parent exists, as in /proc, Node then tries
 * for ever.
 */
function makeWithParents(directory: string): void {
  const missing: string[] = [];
  for (let at = directory; !fs.existsSync(at); at = path.dirname(at)) missing.push(at);
  for (const one of missing.reverse()) {
    try {
      fs.mkdirSync(one, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // somebody else was faster
    }
  }
}

/**
 * Neither backend can take over, or safely remove, what the other one runs. The caller holds the depot's lock.
 * Errors: `INVALID_SPEC` naming both.
 */
export function claimDepot(depot: string, backend: string): void {
  if (requireOwnDepot(depot, backend) === backend) return;
  const mark = path.join(depot, MARK);
  const beside = `${mark}.new`;
  fs.writeFileSync(beside, `${backend}\n`);
  fs.renameSync(beside, mark);
}

/**
 * Containers have nothing to do with each other: ext4 then puts each into another part of the disk. All in
 * one, each new file would be searched a place for past all that were removed a short time ago, of which
 * there are thousands. It is a hint, which nothing depends on.
 */
export function spreadContainers(depot: string, logger: Logger): void {
  try {
    if (!spreadDirectories(depot)) logger.debug?.('depot-not-spread', { depot });
  } catch (error) {
    logger.debug?.('depot-not-spread', { depot, error });
  }
}

/**
 * The look of {@link claimDepot}, without its mark: whose mark is there, if any. Errors: `INVALID_SPEC`
 * naming both.
 */
export function requireOwnDepot(depot: string, backend: string): string | undefined {
  const mark = path.join(depot, MARK);
  const owner = fs.existsSync(mark) ? textOf(mark) : undefined;
  if (owner !== undefined && owner !== backend && fs.readdirSync(depot).some(isContainerId)) {
    throw new WardenError(
      'INVALID_SPEC',
      `the depot ${depot} holds containers of ${owner}; destroy them with that server.container_klass first, or configure another server.container_depot_path for ${backend}`,
      { fields: { operation: 'claim depot', object: depot, owner, backend } },
    );
  }
  return owner;
}

/** Without content it was not yet on the disk when the power failed: then nothing that it stood for lives. */
function textOf(mark: string): string | undefined {
  return fs.readFileSync(mark, 'utf8').replaceAll('\0', '').trim() || undefined;
}
