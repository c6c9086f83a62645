/**
 * Copy in and copy out: what is asked is checked here, everything else is the init driver's (spec
 * behaviour.md 5, CopyIn, CopyOut).
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  type ContainerState,
  type CopySpec,
  encodeBytes,
  type RunningCopy,
  WardenError,
} from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import type { Engine } from './engine.ts';
import { requireRunning } from './pause.ts';
import { refusal } from './process-limit.ts';

/** PATH_MAX without the closing NUL. */
const MAX_PATH_BYTES = 4_095;
/** Of a path, in an error about it. */
const MAX_SHOWN = 200;
/** The original's whole answer to a copy that failed. */
const FAILURE = 'command exited with failure';

/** Copies from the host into an active container. Errors: see `RunningCopy.ended`; `BAD_STATE`, `UNAVAILABLE`. */
export function copyIn(
  engine: Engine,
  container: ManagedContainer,
  source: string,
  target: string,
): Promise<void> {
  const spec = { direction: 'in', hostPath: source, containerPath: target, owner: '' } as const;
  return copy(engine, container, spec, ['active']);
}

/** Copies from an active or stopped container to the host. Errors: as {@link copyIn}. */
export function copyOut(
  engine: Engine,
  container: ManagedContainer,
  { source, target, owner }: { readonly source: string; readonly target: string; readonly owner: string },
): Promise<void> {
  const spec = { direction: 'out', hostPath: target, containerPath: source, owner } as const;
  return copy(engine, container, spec, ['active', 'stopped']);
}

/** Ends all copies of a container that is being torn down. */
export async function endCopies(container: ManagedContainer): Promise<void> {
  const copies = [...container.copies];
  for (const one of copies) one.abort();
  await Promise.allSettled(copies.map(({ ended }) => ended));
}

/**
 * Only the start is in the order of things; a copy itself may take long, and neither another one nor a stop
 * waits for it.
 */
async function copy(
  engine: Engine,
  container: ManagedContainer,
  request: Pick<CopySpec, 'direction' | 'hostPath' | 'containerPath' | 'owner'>,
  allowed: readonly ContainerState[],
): Promise<void> {
  container.requireState(...allowed);
  const operation = operationOf(request);
  const { hostPath, containerPath, owner } = request;
  checkPath(operation, 'host path', hostPath);
  // whoever asks means a directory of his own, which nobody here knows
  if (!path.isAbsolute(hostPath))
    throw invalid(operation, `the host path must be absolute: ${hostPath.slice(0, MAX_SHOWN)}`, hostPath, {
      advice: 'write it from / on: a relative path would begin at the directory of the daemon',
    });
  checkPath(operation, 'container path', containerPath);
  if (owner.includes('\0')) throw invalid(operation, 'the owner holds a NUL byte', owner);
  const points = request.direction === 'in' ? ('copy-in' as const) : ('copy-out' as const);
  const running = await container.exclusive(async () => {
    requireRunning(container, operation);
    container.requireState(...allowed); // a stop may have come first; a copy out then begins after it
    await engine.failpoints.pass(`${points}.check`);
    const { depot, closedToCopies = [] } = engine.options;
    const forbidden = [depot, ...closedToCopies.map(withoutLinks)];
    const started = await start(engine, container, { ...request, user: 'vcap', forbidden });
    container.copies.add(started); // within the turn: whoever tears the container down comes next, and looks here
    return started;
  });
  engine.logger.debug?.('copy-started', { handle: container.handle, operation, hostPath, containerPath });
  try {
    if (engine.isClosing) running.abort();
    await passOrEnd(engine, `${points}.start`, running);
    await running.ended;
    await engine.failpoints.pass(`${points}.end`);
  } finally {
    container.copies.delete(running);
  }
}

/** A path as the kernel has it once it is opened; of one that is not there yet, as far as it is. */
function withoutLinks(directory: string): string {
  try {
    return fs.realpathSync(directory);
  } catch {
    const parent = path.dirname(directory);
    return parent === directory ? directory : path.join(withoutLinks(parent), path.basename(directory));
  }
}

/** A failure here leaves no copy running. */
async function passOrEnd(
  { failpoints }: Engine,
  name: 'copy-in.start' | 'copy-out.start',
  running: RunningCopy,
): Promise<void> {
  try {
    await failpoints.pass(name);
  } catch (error) {
    running.abort();
    await running.ended.catch(() => {});
    throw error;
  }
}

async function start(engine: Engine, container: ManagedContainer, spec: CopySpec): Promise<RunningCopy> {
  try {
    return await container.requireInit().copy(spec);
  } catch (failure) {
    throw await refusal(engine, container, failure, { words: FAILURE, operation: operationOf(spec) });
  }
}

function operationOf({ direction }: Pick<CopySpec, 'direction'>): string {
  return direction === 'in' ? 'copy in' : 'copy out';
}

function checkPath(operation: string, what: string, given: string): void {
  if (given === '') throw invalid(operation, `the ${what} is empty`, given);
  if (given.includes('\0')) throw invalid(operation, `the ${what} holds a NUL byte`, given);
  if (encodeBytes(given).length > MAX_PATH_BYTES)
    throw invalid(operation, `the ${what} is longer than ${MAX_PATH_BYTES} bytes`, given);
}

function invalid(
  operation: string,
  text: string,
  object: string,
  more: { readonly advice?: string } = {},
): WardenError {
  return new WardenError('INVALID_SPEC', `${FAILURE}: ${text}`, {
    fields: { operation, object: object.slice(0, MAX_SHOWN), errno: 'EINVAL', ...more },
  });
}
