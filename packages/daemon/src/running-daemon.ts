/** A daemon between its start and its end: reloads, the drain, the end. */
import type { Core } from '@warden/core';
import { type Failpoints, type Logger, WardenError } from '@warden/interface';
import type { ClientPolicy, WardenServer } from '@warden/server';
import { requireRootfs } from './check-host.ts';
import { bothPolicies, clientPolicy } from './client-policy.ts';
import type { Configuration } from './config.ts';
import { connectionLimit, readOpenFileLimit } from './connection-limit.ts';
import { coreChanges, coreOptions } from './core-options.ts';
import { makeConfiguredRootfs } from './default-rootfs.ts';
import { checkPorts, checkUserPool } from './pools.ts';
import { compareConfigurations, merged, type ReloadReport } from './reload.ts';
import type { DriverSet } from './select-drivers.ts';
import type { ShutdownSteps } from './shutdown-steps.ts';
import type { Watchers } from './watchers.ts';

/** A running daemon. */
export interface RunningDaemon {
  /** Containers that can be asked for now. */
  readonly containerCount: number;
  /**
   * Puts what can change of another configuration in force, one reload after the other, and answers what did.
   * Errors: nothing has changed then; `INVALID_SPEC`, `ALREADY_EXISTS` (a port or path is in use),
   * `UNAVAILABLE` (the end has begun), the network driver's.
   */
  reload(configuration: Configuration): Promise<ReloadReport>;
  /** Ends at once, also a drain: requests in progress are cut off, containers and jobs live on. Idempotent. */
  close(): Promise<void>;
  /** Finishes what is in progress, as SIGUSR2 does (spec behaviour.md 11), then ends. Idempotent. */
  drain(): Promise<void>;
}

/** The configuration in force, which reloads replace, and what is asked of it for each client. */
export class ConfigurationInForce {
  #current: Configuration;
  #policy: ClientPolicy | undefined;
  readonly #given: ClientPolicy | undefined;

  /** @param given Who may be a client, beside what the configuration says: both must agree. */
  constructor(configuration: Configuration, given: ClientPolicy | undefined) {
    this.#given = given;
    this.#current = configuration;
    this.#policy = this.#policyOf(configuration);
  }

  get current(): Configuration {
    return this.#current;
  }

  get policy(): ClientPolicy | undefined {
    return this.#policy;
  }

  get maxConnections(): number {
    return connectionLimit(this.#current.server.max_connections, readOpenFileLimit());
  }

  replace(configuration: Configuration): void {
    this.#current = configuration;
    this.#policy = this.#policyOf(configuration);
  }

  #policyOf({ server: { allowed_uids } }: Configuration): ClientPolicy | undefined {
    return bothPolicies(clientPolicy(allowed_uids), this.#given);
  }
}

/** What a start has made. */
export interface DaemonParts {
  readonly inForce: ConfigurationInForce;
  readonly depot: string;
  readonly drivers: DriverSet;
  readonly core: Core;
  readonly server: WardenServer;
  readonly watchers: Watchers;
  readonly logger: Logger;
  readonly failpoints: Failpoints;
  readonly shutdown: ShutdownSteps;
  /** Notes the pools of a configuration as this daemon's. Errors: `ALREADY_EXISTS`, another daemon has them. */
  claim(configuration: Configuration): Promise<void>;
}

/** See the file's head. */
export class StartedDaemon implements RunningDaemon {
  readonly #parts: DaemonParts;
  /** One reload after the other. */
  #reloading: Promise<unknown> = Promise.resolve();
  /** Ends a drain at once, and a reload that waits for containers. */
  readonly #impatience = new AbortController();
  #ended: Promise<void> | undefined;

  constructor(parts: DaemonParts) {
    this.#parts = parts;
  }

  get containerCount(): number {
    return this.#parts.core.containerCount;
  }

  reload(configuration: Configuration): Promise<ReloadReport> {
    const result = this.#reloading.then(() => this.#reload(configuration));
    this.#reloading = result.catch(() => {});
    return result;
  }

  close(): Promise<void> {
    this.#impatience.abort();
    return this.#end();
  }

  drain(): Promise<void> {
    return this.#end(() => this.#finishRequests());
  }

  async #reload(next: Configuration): Promise<ReloadReport> {
    if (this.#ended !== undefined) throw new WardenError('UNAVAILABLE', 'the daemon is going away');
    const { inForce, watchers, logger } = this.#parts;
    const report = compareConfigurations(inForce.current, next);
    const target = merged(inForce.current, next);
    requireRootfs(target);
    if (report.changed.some(({ key }) => /^(port|user)\./.test(key))) {
      checkUserPool(target);
      checkPorts(target.port, logger.child('configuration'));
    }
    makeConfiguredRootfs(target);
    const moved = await watchers.move(target);
    const isNew = (keys: RegExp): boolean => report.changed.some(({ key }) => keys.test(key));
    try {
      await this.#reconfigureCore(target, {
        hasNewPools: isNew(/^(port\.|user\.|network\.pool_)/),
        hasNewPorts: isNew(/^port\./),
      });
    } catch (error) {
      await moved.revert();
      throw error;
    }
    inForce.replace(target);
    await moved.commit();
    return report;
  }

  async #reconfigureCore(
    target: Configuration,
    { hasNewPools, hasNewPorts }: { readonly hasNewPools: boolean; readonly hasNewPorts: boolean },
  ): Promise<void> {
    const { core, depot, drivers, logger, inForce, claim } = this.#parts;
    try {
      if (hasNewPools) await claim(target);
      const { ports, ...others } = coreChanges(coreOptions(target, depot, drivers, logger));
      // ports that nobody configures come from the host, which may have others for its own connections by now
      const changes = { ...others, ...(hasNewPorts && ports !== undefined && { ports }) };
      await core.reconfigure(changes, this.#impatience.signal);
    } catch (error) {
      // what was this daemon's alone is so still: pools only grow while it runs
      if (hasNewPools)
        await claim(inForce.current).catch((failure: unknown) =>
          logger.error('pools-not-noted', { error: failure }),
        );
      throw error;
    }
  }

  #end(before?: () => Promise<void>): Promise<void> {
    this.#parts.watchers.phase = 'draining';
    this.#ended ??= this.#takeApart(before);
    return this.#ended;
  }

  async #takeApart(before: (() => Promise<void>) | undefined): Promise<void> {
    const { logger, shutdown, failpoints } = this.#parts;
    try {
      await before?.();
    } catch (error) {
      // what a drain did not get done, the next daemon does; one that neither serves nor ends helps nobody
      logger.error('drain-failed', { error });
    }
    await this.#reloading; // what it has begun must not be taken apart under its hands
    await shutdown.run();
    await failpoints.pass('drain.close');
  }

  /**
   * Lets running requests and what was asked for in the background come to their ends, for as long as the
   * configuration says.
   */
  async #finishRequests(): Promise<void> {
    const { server, core, logger, failpoints, inForce } = this.#parts;
    const seconds = inForce.current.server.drain_timeout;
    const giveUp = (): void => {
      logger.error('drain-timeout', {
        seconds,
        advice: 'what was running is taken up or undone by the next daemon',
      });
      this.#impatience.abort();
    };
    const timer = seconds === null ? undefined : setTimeout(giveUp, seconds * 1_000);
    const { signal } = this.#impatience;
    try {
      await this.#reloading; // it may listen elsewhere
      await server.drain(signal);
      await failpoints.pass('drain.requests');
      const cut = new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await Promise.race([core.settle(), cut]);
    } finally {
      clearTimeout(timer);
    }
  }
}
