/**
 * Configuration to running daemon, in the order of spec behaviour.md 2. Each step has its undo, so that a
 * failed start leaves neither lock, nor socket, nor pidfile behind.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { makeCgroupView } from '@warden/cgroup';
import { type Core, createCore } from '@warden/core';
import type { Failpoints, LogFields, Logger } from '@warden/interface';
import { peerCredentials } from '@warden/native';
import {
  type ClientPolicy,
  requireFreePath,
  type WardenServer,
  type WardenServerOptions,
  wardenServer,
} from '@warden/server';
import { type Configuration, isInsecure } from './config.ts';
import { coreOptions, rootfsOf } from './core-options.ts';
import { makeConfiguredRootfs } from './default-rootfs.ts';
import { claimDepot, makeDepot, spreadContainers } from './depot.ts';
import { lockDepot } from './depot-lock.ts';
import { readFailpoints } from './failpoints.ts';
import { images, imagesDirectory } from './images.ts';
import { type ImagesLock, imagesLock } from './images-lock.ts';
import { lockName, type NameLock } from './name-lock.ts';
import { writePidfile } from './pidfile.ts';
import { claimPools } from './pool-claims.ts';
import { keepReserve, spendReserve } from './reserve.ts';
import {
  ConfigurationInForce,
  type DaemonParts,
  type RunningDaemon,
  StartedDaemon,
} from './running-daemon.ts';
import { type DriverSet, type GivenDrivers, selectDrivers } from './select-drivers.ts';
import { keepShellInMemory } from './shell-memory.ts';
import { ShutdownSteps } from './shutdown-steps.ts';
import { checkStart } from './start-checks.ts';
import { unsafeSettings } from './unsafe-settings.ts';
import { Watchers } from './watchers.ts';

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
 * Starts everything and answers when clients can connect. Drivers in `given` stand in the place of the
 * configured ones.
 *
 * Errors: `UNSUPPORTED` (not root, no driver works), `INVALID_SPEC` (configuration), `ALREADY_EXISTS` (depot,
 * socket, port or pidfile in use).
 */
export async function startDaemon(
  configuration: Configuration,
  logger: Logger,
  given: GivenParts = {},
): Promise<RunningDaemon> {
  const shutdown = new ShutdownSteps(logger);
  try {
    return await start({ configuration, logger, given, shutdown, failpoints: readFailpoints() });
  } catch (error) {
    await shutdown.run();
    throw error;
  }
}

interface Starting {
  readonly configuration: Configuration;
  readonly logger: Logger;
  readonly given: GivenParts;
  readonly shutdown: ShutdownSteps;
  readonly failpoints: Failpoints;
}

async function start(starting: Starting): Promise<RunningDaemon> {
  const { configuration, logger, given, shutdown, failpoints } = starting;
  checkStart(configuration, {
    hasClientSocket: given.clientSocket !== undefined,
    logger: logger.child('configuration'),
  });
  process.umask(0o022); // modes of everything made below are meant as written
  const { depot, claim, imagesHeld } = await takeLocks(starting);
  const locks = shutdown.count;
  if (given.clientSocket === undefined)
    await requireFreePath(configuration.server.unix_domain_path, 'server.unix_domain_path');
  // behind the socket: a daemon that was started twice is told so
  await claim(configuration);
  const watchers = await startWatching(starting, depot);

  const { drivers } = await selectDrivers(configuration, { logger, failpoints }, given);
  shutdown.push(() => drivers.network.close());
  await failpoints.pass('start.drivers');
  makeConfiguredRootfs(configuration);
  const core = await createCore({
    ...coreOptions(configuration, depot, drivers, logger),
    images: isInsecure(configuration)
      ? undefined
      : images(configuration, depot, drivers, { logger, failpoints, lock: imagesHeld }),
    failpoints,
  });
  shutdown.push(() => core.close());
  await failpoints.pass('start.core');
  watchers.core = core;
  showCgroups(configuration, drivers, logger);

  const inForce = new ConfigurationInForce(configuration, given.clientPolicy);
  const server = await serve(starting, { core, inForce, watchers });
  watchers.server = server;
  watchers.phase = 'ready';
  // both last until all but the locks are gone: who watches them waits for the end
  await watchers.answerHealthChecks(configuration);
  const { pidfile } = configuration.server;
  if (pidfile) shutdown.insert(locks, writePidfile(pidfile));
  for (const { name, means, advice } of unsafeSettings(configuration))
    logger.warn(`unsafe-${name}`, { means, advice });
  logger.info('listening', { ...listeningAt(starting), depot });
  const reserve = keepReserve(depot, logger);
  shutdown.push(() => reserve); // the depot is the next daemon's as soon as the lock is released
  if (!isInsecure(configuration))
    shutdown.push(keepShellInMemory(() => rootfsOf(inForce.current.server.container_rootfs_path), logger));
  const parts = { inForce, depot, drivers, core, server, watchers };
  return new StartedDaemon({ ...parts, logger, failpoints, shutdown, claim });
}

/** What makes sure that nothing of another daemon's is touched. */
interface Locks {
  readonly depot: string;
  /** Notes the pools of a configuration as this daemon's. */
  readonly claim: DaemonParts['claim'];
  readonly imagesHeld: ImagesLock;
}

async function takeLocks({ configuration, logger, shutdown, failpoints }: Starting): Promise<Locks> {
  const { server: settings } = configuration;
  const depot = makeDepot(settings.container_depot_path);
  const lock = lockDepot(depot);
  shutdown.push(() => lock.release());
  await failpoints.pass('start.lock');
  spendReserve(depot, logger);
  claimDepot(depot, settings.container_klass);
  spreadContainers(depot, logger);
  const name = await holdName(configuration);
  shutdown.push(() => name?.release());
  const claim = async (wanted: Configuration): Promise<void> => {
    if (name !== undefined) await claimPools(name, wanted, { depot, logger: logger.child('configuration') });
  };
  const imagesHeld = holdImages(configuration, depot);
  shutdown.push(() => imagesHeld.release());
  return { depot, claim, imagesHeld };
}

/** Early, so that whoever watches sees a daemon that starts; closed last of all but the locks. */
async function startWatching(
  { configuration, logger, shutdown }: Starting,
  depot: string,
): Promise<Watchers> {
  const watchers = new Watchers({
    get version() {
      return readVersion();
    },
    depot,
    socketMode: configuration.monitoring.socket_permissions,
    logger: logger.child('monitoring'),
  });
  shutdown.push(() => watchers.close());
  await watchers.monitor(configuration);
  return watchers;
}

async function serve(
  { configuration, logger, given, shutdown, failpoints }: Starting,
  parts: { readonly core: Core; readonly inForce: ConfigurationInForce; readonly watchers: Watchers },
): Promise<WardenServer> {
  const { core, inForce, watchers } = parts;
  const { server: settings } = configuration;
  const server = wardenServer({
    host: core,
    path: settings.unix_domain_path,
    ...(given.clientSocket !== undefined && { descriptor: given.clientSocket }),
    mode: settings.unix_domain_permissions,
    maxFrameBytes: settings.max_frame_bytes,
    peerOf: peerCredentials,
    // both are asked for each client: they may change
    get policy() {
      return inForce.policy;
    },
    get maxConnections() {
      return inForce.maxConnections;
    },
    observer: watchers.observer,
    enclose: given.enclose,
    logger: logger.child('server'),
  });
  await server.listen();
  shutdown.push(() => server.close());
  await failpoints.pass('start.listen');
  return server;
}

function listeningAt({ configuration, given: { clientSocket } }: Starting): LogFields {
  return clientSocket === undefined
    ? { path: configuration.server.unix_domain_path }
    : { descriptor: clientSocket };
}

/**
 * Plain processes leave nothing in the kernel that is found by a name, and have neither addresses nor users
 * of a pool.
 */
async function holdName(configuration: Configuration): Promise<NameLock | undefined> {
  return isInsecure(configuration) ? undefined : await lockName(configuration.drivers.name);
}

/**
 * Images that are there are nobody else's from the start on. In the depot none are made, and nothing is
 * locked, until they are needed.
 */
function holdImages(configuration: Configuration, depot: string): ImagesLock {
  const directory = imagesDirectory(configuration, depot);
  const lock = imagesLock(directory);
  if (!isInsecure(configuration) && (configuration.images.path !== null || fs.existsSync(directory)))
    lock.take();
  return lock;
}

/** Where programs of the original's time look for the control groups. */
function showCgroups({ compat, drivers: { name } }: Configuration, drivers: DriverSet, logger: Logger): void {
  if (compat.cgroup_view === null || drivers.cgroup.name === 'none') return;
  makeCgroupView({ directory: compat.cgroup_view, prefix: name, logger: logger.child('cgroup') });
}
