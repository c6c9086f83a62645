/**
 * Configuration to running daemon, in the order of spec behaviour.md 2. Each step has its undo, so that a failed start leaves
 * neither lock, nor socket, nor pidfile behind.
 */
import { makeCgroupView } from '@warden/cgroup';
import { type Core, createCore } from '@warden/core';
import type { Failpoints, Logger } from '@warden/interface';
import { peerCredentials } from '@warden/native';
import { type ClientPolicy, type WardenServer, wardenServer } from '@warden/server';
import { checkHost } from './check-host.ts';
import { bothPolicies, clientPolicy } from './client-policy.ts';
import type { Configuration } from './config.ts';
import { connectionLimit, readOpenFileLimit } from './connection-limit.ts';
import { coreOptions } from './core-options.ts';
import { claimDepot, makeDepot } from './depot.ts';
import { lockDepot } from './depot-lock.ts';
import { readFailpoints } from './failpoints.ts';
import { listenForHealthChecks } from './health-check.ts';
import { writePidfile } from './pidfile.ts';
import { checkPools } from './pools.ts';
import { type DriverSet, type GivenDrivers, selectDrivers } from './select-drivers.ts';
import { unsafeSettings } from './unsafe-settings.ts';

/** A running daemon. */
export interface RunningDaemon {
  /** Ends at once, also a drain: requests in progress are cut off, containers and jobs live on. Idempotent. */
  close(): Promise<void>;
  /** Finishes what is in progress, as SIGUSR2 does (spec behaviour.md 11), then ends. Idempotent. */
  drain(): Promise<void>;
}

/** What the assembler brings itself. */
export interface GivenParts extends GivenDrivers {
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
    checkPools(configuration, logger.child('configuration'));
    checkHost(configuration);
    process.umask(0o022); // modes of everything made below are meant as written
    const depot = makeDepot(settings.container_depot_path);
    const lock = lockDepot(depot);
    undo.push(() => lock.release());
    await failpoints.pass('start.lock');
    claimDepot(depot, settings.container_klass);

    const { drivers } = await selectDrivers(configuration, { logger, failpoints }, given);
    undo.push(() => drivers.network.close());
    await failpoints.pass('start.drivers');
    const core = await createCore({
      ...coreOptions(configuration, depot, drivers, logger),
      failpoints,
    });
    undo.push(() => core.close());
    await failpoints.pass('start.core');
    showCgroups(configuration, drivers, logger);

    const policy = bothPolicies(clientPolicy(settings.allowed_uids), given.clientPolicy);
    const server = wardenServer({
      host: core,
      path: settings.unix_domain_path,
      mode: settings.unix_domain_permissions,
      maxFrameBytes: settings.max_frame_bytes,
      peerOf: peerCredentials,
      ...(policy === undefined ? {} : { policy }),
      maxConnections: connectionLimit(settings.max_connections, readOpenFileLimit()),
      logger: logger.child('server'),
    });
    await server.listen();
    undo.push(() => server.close());
    await failpoints.pass('start.listen');
    // both last until all but the lock is gone: who watches them waits for the end
    const { port } = configuration.health_check_server;
    if (port) undo.splice(1, 0, await listenForHealthChecks(port));
    if (settings.pidfile) undo.splice(1, 0, writePidfile(settings.pidfile));
    for (const { name, means, advice } of unsafeSettings(configuration))
      logger.warn(`unsafe-${name}`, { means, advice });
    logger.info('listening', { path: settings.unix_domain_path, depot });

    let ended: Promise<void> | undefined;
    const end = (before?: () => Promise<void>): Promise<void> => {
      ended ??= (async () => {
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
    const impatience = new AbortController();
    return {
      close: () => {
        impatience.abort();
        return end();
      },
      drain: () =>
        end(() => drain(server, core, { impatience, seconds: settings.drain_timeout, logger, failpoints })),
    };
  } catch (error) {
    await unwind();
    throw error;
  }
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
