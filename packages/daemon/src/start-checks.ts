/**
 * What this host has against a configuration, found out without making, taking or changing anything: a start
 * looks first and stops at the first thing, `wardend config check` tells all. What somebody has in use at the
 * moment is not among it: that is for the start alone.
 */
import fs from 'node:fs';
import { FOREIGN_ROLES, type Logger, toWardenError, WardenError } from '@warden/interface';
import { requireSocketPlace } from '@warden/server';
import { checkRights, requireRootfs } from './check-host.ts';
import { type Configuration, isInsecure } from './config.ts';
import { checkCoreSocket } from './core-socket.ts';
import { requireDepotPlace } from './depot.ts';
import { isModule, loadDriver } from './driver-module.ts';
import { requireLogFile } from './log-sink.ts';
import { checkOwnLimits } from './own-limits.ts';
import { requirePidfilePlace } from './pidfile.ts';
import { checkPorts, checkUserPool } from './pools.ts';
import { registryAuthorities } from './registry-authorities.ts';

/** What is there already when a daemon starts. */
export interface StartParts {
  /** The socket for clients is somebody else's, and not made. */
  readonly hasClientSocket: boolean;
  readonly logger: Logger;
}

type Check = (configuration: Configuration, parts: StartParts) => void;

const ofRights: Check = (configuration) => checkRights(configuration);
const ofLimits: Check = (configuration, { logger }) => checkOwnLimits(configuration, logger);

/** In the order of spec behaviour.md 2. Each throws a `WardenError`, and has no effects. */
const CHECKS: readonly Check[] = [
  checkUserPool,
  ({ port }, { logger }) => checkPorts(port, logger),
  ofRights,
  ofLimits,
  (configuration, { logger }) => checkCoreSocket(configuration, logger),
  requireRootfs,
  ({ server }) => requireDepotPlace(server.container_depot_path, server.container_klass),
  ({ server }, { hasClientSocket }) => {
    if (!hasClientSocket) requireSocketPlace(server.unix_domain_path, 'server.unix_domain_path');
  },
  ({ monitoring: { socket } }) => {
    if (socket) requireSocketPlace(socket, 'monitoring.socket');
  },
  ({ server: { pidfile } }) => {
    if (pidfile) requirePidfilePlace(pidfile);
  },
  requireHooks,
];

/** Before anything is touched. Errors: those of the first check that fails. */
export function checkStart(configuration: Configuration, parts: StartParts): void {
  for (const check of CHECKS) check(configuration, parts);
}

/** What came of all checks. */
export interface StartFindings {
  /** A daemon would be refused for each of these, on this host. */
  readonly refusals: readonly string[];
  /** Could not be looked at by this user. */
  readonly unseen: readonly string[];
}

/**
 * Everything that a start looks at, also what it finds out later: log, authorities of registries, modules of
 * drivers, which are loaded and make their drivers. Never rejects.
 */
export async function findStartProblems(
  configuration: Configuration,
  { logger }: Pick<StartParts, 'logger'>,
): Promise<StartFindings> {
  const { logging, images, drivers } = configuration;
  const modules = isInsecure(configuration)
    ? []
    : FOREIGN_ROLES.filter((role) => isModule(drivers[role])).map((role) => [role, drivers[role]] as const);
  const attempts: readonly (() => unknown)[] = [
    // whoever checks is not whom the daemon runs as
    ...CHECKS.filter((check) => check !== ofRights && check !== ofLimits).map(
      (check) => () => check(configuration, { hasClientSocket: false, logger }),
    ),
    () => logging.file && requireLogFile(logging.file),
    () => registryAuthorities(images.certificates),
    ...modules.map(
      ([role, value]) =>
        async () =>
          (await loadDriver(role, value))({ logger }),
    ),
  ];
  const refusals: string[] = [];
  const unseen: string[] = [];
  for (const attempt of attempts) {
    try {
      await attempt();
    } catch (error) {
      (isOfRights(error) ? unseen : refusals).push(toWardenError(error).message);
    }
  }
  return { refusals, unseen };
}

/** Who is not root learns little about what root could do. */
function isOfRights(error: unknown): boolean {
  if (process.geteuid?.() === 0) return false;
  const { code } = error as NodeJS.ErrnoException;
  const { errno } = error instanceof WardenError ? error.fields : {};
  return [code, errno].some((one) => one === 'EACCES' || one === 'EPERM');
}

/** As the init driver reads them: what cannot be read would be found when most has been made. */
function requireHooks(configuration: Configuration): void {
  const { hooks_path: directory } = configuration.drivers;
  if (!directory || isInsecure(configuration)) return;
  try {
    fs.readdirSync(directory);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new WardenError(
      'INVALID_SPEC',
      `drivers.hooks_path: the directory ${directory} cannot be read (${code}); make it, or configure another one or null`,
      { cause, fields: { operation: 'start', object: directory, errno: code } },
    );
  }
}
