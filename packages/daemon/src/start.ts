/**
 * Configuration to running daemon, in the order of spec behaviour.md 2. Each step has its undo, so that a failed start leaves
 * neither lock, nor socket, nor pidfile behind.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { makeCgroupView } from '@warden/cgroup';
import { type Core, createCore } from '@warden/core';
import { type Failpoints, type Logger, WardenError } from '@warden/interface';
import { peerCredentials } from '@warden/native';
import {
  type ClientPolicy,
  requireFreePath,
  type WardenServer,
  type WardenServerOptions,
  wardenServer,
} from '@warden/server';
import { requireRootfs } from './check-host.ts';
import { bothPolicies, clientPolicy } from './client-policy.ts';
import { type Configuration, isInsecure } from './config.ts';
import { connectionLimit, readOpenFileLimit } from './connection-limit.ts';
import { coreChanges, coreOptions, rootfsOf } from './core-options.ts';
import { DEFAULT_ROOTFS, makeDefaultRootfs } from './default-rootfs.ts';
import { claimDepot, makeDepot, spreadContainers } from './depot.ts';
import { lockDepot } from './depot-lock.ts';
import { readFailpoints } from './failpoints.ts';
import { images, imagesDirectory } from './images.ts';
import { type ImagesLock, imagesLock } from './images-lock.ts';
import { lockName, type NameLock } from './name-lock.ts';
import { writePidfile } from './pidfile.ts';
import { claimPools } from './pool-claims.ts';
import { checkPorts, checkUserPool } from './pools.ts';
import { compareConfigurations, merged, type ReloadReport } from './reload.ts';
import { type DriverSet, type GivenDrivers, selectDrivers } from './select-drivers.ts';
import { keepShellInMemory } from './shell-memory.ts';
import { checkStart } from './start-checks.ts';
import { unsafeSettings } from './unsafe-settings.ts';
import { Watchers } from './watchers.ts';

/** A running daemon. */
export interface RunningDaemon {
  /** Containers that can be asked for now. */
  readonly containerCount: number;
  /**
   * Puts what can change of another configuration in force, one reload after the other, and answers what did. Errors: nothing has changed
   * then; `INVALID_SPEC`, `ALREADY_EXISTS` (a port or path is in use), `UNAVAILABLE` (the end has begun), the network driver's.
   */
  reload(configuration: Configuration): Promise<ReloadReport>;
  /** Ends at once, also a drain: requests in progress are cut off, containers and jobs live on. Idempotent. */
  close(): Promise<void>;
  /** Finishes what is in progress, as SIGUSR2 does (spec behaviour.md 11), then ends. Idempotent. */
  drain(): Promise<void>;
}

/** Of this package; read when somebody asks. */
export function readVersion(): string {
  return (createRequire(import.meta.url)('../package.json') as { readonly version: string }).version;
}

/** What the assembler brings itself. */
export interface GivenParts extends GivenDrivers {
  /** A listening socket for clients, opened by somebody else; see `WardenServerOptions.descriptor`. */
  readonly clientSocket?: number | undefined;
  /** See `WardenServerOptions.enclose`. */
  readonly enclose?: WardenServerOptions['enclose'];
  /** Who may be a client, beside what `server.allowed_uids` says: both must agree. */
  readonly clientPolicy?: ClientPolicy;
}

/**
 * Starts everything and answers when clients can connect. Drivers in `given` stand in the place of the configured ones.
 *
 * Errors: `UNSUPPORTED` (not root, no driver works), `INVALID_SPEC` (configuration), `ALREADY_EXISTS` (depot, socket, port or pidfile in use).
 */
export async function startDaemon(
  configuration: Configuration,
  logger: Logger,
  given: GivenParts = {},
): Promise<RunningDaemon> {
  const { server: settings } = configuration;
  const undo: (() => void | Promise<void>)[] = [];
  const unwind = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        logger.error('shutdown-step-failed', { error });
      }
    }
  };
  try {
    const failpoints = readFailpoints();
    checkStart(configuration, {
      hasClientSocket: given.clientSocket !== undefined,
      logger: logger.child('configuration'),
    });
    process.umask(0o022); // modes of everything made below are meant as written
    const depot = makeDepot(settings.container_depot_path);
    const lock = lockDepot(depot);
    undo.push(() => lock.release());
    await failpoints.pass('start.lock');
    claimDepot(depot, settings.container_klass);
    spreadContainers(depot, logger);
    // before anything is touched that might be another daemon's
    const name = await holdName(configuration);
    undo.push(() => name?.release());
    const claim = async (wanted: Configuration): Promise<void> => {
      if (name !== undefined)
        await claimPools(name, wanted, { depot, logger: logger.child('configuration') });
    };
    const imagesHeld = holdImages(configuration, depot);
    undo.push(() => imagesHeld.release());
    const locks = undo.length;
    if (given.clientSocket === undefined)
      await requireFreePath(settings.unix_domain_path, 'server.unix_domain_path');
    // behind the socket: a daemon that was started twice is told so
    await claim(configuration);
    // early, so that whoever watches sees a daemon that starts; closed last of all but the locks
    const watchers = new Watchers({
      get version() {
        return readVersion();
      },
      depot,
      socketMode: configuration.monitoring.socket_permissions,
    });
    undo.push(() => watchers.close());
    await watchers.monitor(configuration);

    const { drivers } = await selectDrivers(configuration, { logger, failpoints }, given);
    undo.push(() => drivers.network.close());
    await failpoints.pass('start.drivers');
    makeRootfs(configuration);
    const core = await createCore({
      ...coreOptions(configuration, depot, drivers, logger),
      images: isInsecure(configuration)
        ? undefined
        : images(configuration, depot, drivers, { logger, failpoints, lock: imagesHeld }),
      failpoints,
    });
    undo.push(() => core.close());
    await failpoints.pass('start.core');
    watchers.core = core;
    showCgroups(configuration, drivers, logger);

    let current = configuration;
    const policyOf = ({ server: { allowed_uids } }: Configuration): ClientPolicy | undefined =>
      bothPolicies(clientPolicy(allowed_uids), given.clientPolicy);
    let policy = policyOf(current);
    const server = wardenServer({
      host: core,
      path: settings.unix_domain_path,
      ...(given.clientSocket !== undefined && { descriptor: given.clientSocket }),
      mode: settings.unix_domain_permissions,
      maxFrameBytes: settings.max_frame_bytes,
      peerOf: peerCredentials,
      // both are asked for each client: they may change
      get policy() {
        return policy;
      },
      get maxConnections() {
        return connectionLimit(current.server.max_connections, readOpenFileLimit());
      },
      observer: watchers.observer,
      enclose: given.enclose,
      logger: logger.child('server'),
    });
    await server.listen();
    undo.push(() => server.close());
    await failpoints.pass('start.listen');
    watchers.server = server;
    watchers.phase = 'ready';
    // both last until all but the locks are gone: who watches them waits for the end
    await watchers.answerHealthChecks(configuration);
    if (settings.pidfile) undo.splice(locks, 0, writePidfile(settings.pidfile));
    for (const { name, means, advice } of unsafeSettings(configuration))
      logger.warn(`unsafe-${name}`, { means, advice });
    const { clientSocket } = given;
    const at =
      clientSocket === undefined ? { path: settings.unix_domain_path } : { descriptor: clientSocket };
    logger.info('listening', { ...at, depot });
    if (!isInsecure(configuration))
      undo.push(keepShellInMemory(() => rootfsOf(current.server.container_rootfs_path), logger));

    let ended: Promise<void> | undefined;
    const end = (before?: () => Promise<void>): Promise<void> => {
      watchers.phase = 'draining';
      ended ??= (async () => {
        await reloading; // what it has begun must not be taken apart under its hands
        try {
          await before?.();
        } catch (error) {
          // what a drain did not get done, the next daemon does; one that neither serves nor ends helps nobody
          logger.error('drain-failed', { error });
        }
        await unwind();
        await failpoints.pass('drain.close');
      })();
      return ended;
    };
    const reload = async (next: Configuration): Promise<ReloadReport> => {
      if (ended !== undefined) throw new WardenError('UNAVAILABLE', 'the daemon is going away');
      const report = compareConfigurations(current, next);
      const target = merged(current, next);
      requireRootfs(target);
      if (report.changed.some(({ key }) => /^(port|user)\./.test(key))) {
        checkUserPool(target);
        checkPorts(target.port, logger.child('configuration'));
      }
      makeRootfs(target);
      const moved = await watchers.move(target);
      const hasNewPools = report.changed.some(({ key }) => /^(port\.|user\.|network\.pool_)/.test(key));
      try {
        if (hasNewPools) await claim(target);
        await core.reconfigure(coreChanges(coreOptions(target, depot, drivers, logger)));
      } catch (error) {
        // what was this daemon's alone is so still: pools only grow while it runs
        if (hasNewPools)
          await claim(current).catch((failure: unknown) =>
            logger.error('pools-not-noted', { error: failure }),
          );
        await moved.revert();
        throw error;
      }
      current = target;
      policy = policyOf(target);
      await moved.commit();
      return report;
    };
    let reloading: Promise<unknown> = Promise.resolve();
    const impatience = new AbortController();
    return {
      get containerCount() {
        return core.containerCount;
      },
      reload: (next) => {
        const result = reloading.then(() => reload(next));
        reloading = result.catch(() => {});
        return result;
      },
      close: () => {
        impatience.abort();
        return end();
      },
      drain: () =>
        end(() =>
          drain(server, core, { impatience, seconds: current.server.drain_timeout, logger, failpoints }),
        ),
    };
  } catch (error) {
    await unwind();
    throw error;
  }
}

/** Only what is going to make containers makes it. Errors: as {@link makeDefaultRootfs}. */
function makeRootfs(configuration: Configuration): void {
  if (isInsecure(configuration)) return;
  if (configuration.server.container_rootfs_path === undefined) makeDefaultRootfs(DEFAULT_ROOTFS);
}

/** Plain processes leave nothing in the kernel that is found by a name, and have neither addresses nor users of a pool. */
async function holdName(configuration: Configuration): Promise<NameLock | undefined> {
  return isInsecure(configuration) ? undefined : await lockName(configuration.drivers.name);
}

/** Images that are there are nobody else's from the start on. In the depot none are made, and nothing is locked, until they are needed. */
function holdImages(configuration: Configuration, depot: string): ImagesLock {
  const directory = imagesDirectory(configuration, depot);
  const lock = imagesLock(directory);
  if (!isInsecure(configuration) && (configuration.images.path !== null || fs.existsSync(directory)))
    lock.take();
  return lock;
}

/** Lets running requests and what was asked for in the background come to their ends, for `seconds` at most. */
async function drain(
  server: WardenServer,
  core: Core,
  options: {
    readonly impatience: AbortController;
    readonly seconds: number | null;
    readonly logger: Logger;
    readonly failpoints: Failpoints;
  },
): Promise<void> {
  const { impatience, seconds, logger, failpoints } = options;
  const giveUp = (): void => {
    logger.error('drain-timeout', {
      seconds,
      advice: 'what was running is taken up or undone by the next daemon',
    });
    impatience.abort();
  };
  const timer = seconds === null ? undefined : setTimeout(giveUp, seconds * 1_000);
  await server.drain(impatience.signal);
  await failpoints.pass('drain.requests');
  const cut = new Promise<void>((resolve) => {
    if (impatience.signal.aborted) resolve();
    impatience.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.race([core.settle(), cut]);
  clearTimeout(timer);
}

/** Where programs of the original's time look for the control groups. */
function showCgroups({ compat, drivers: { name } }: Configuration, drivers: DriverSet, logger: Logger): void {
  if (compat.cgroup_view === null || drivers.cgroup.name === 'none') return;
  makeCgroupView({ directory: compat.cgroup_view, prefix: name, logger: logger.child('cgroup') });
}
