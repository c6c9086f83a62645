/**
 * Everything by which others watch the daemon: the original's health check, the monitoring endpoint, the
 * numbers and the page that it shows.
 */
import type { Core } from '@warden/core';
import type { Logger } from '@warden/interface';
import type { StatusPage } from '@warden/page';
import type { RequestObserver, WardenServer } from '@warden/server';
import type { Configuration } from './config.ts';
import { listenForHealthChecks } from './health-check.ts';
import { type EndListener, ListenerSlot } from './listener-slot.ts';
import { Metrics } from './metrics.ts';
import {
  listenOnMonitoringPort,
  listenOnMonitoringSocket,
  type Monitored,
  type Phase,
} from './monitoring.ts';

interface Sources {
  readonly version: string;
  readonly depot: string;
  readonly socketMode: number;
  readonly logger: Logger;
}

/** See the file's head. */
export class Watchers {
  phase: Phase = 'starting';
  server: WardenServer | undefined;
  readonly #sources: Sources;
  /** Only while somebody could ask for them. */
  #metrics: Metrics | undefined;
  /** Only where it is wanted. */
  #page: StatusPage | undefined;
  #core: Core | undefined;
  readonly #health = new ListenerSlot((port: number | null) =>
    port ? listenForHealthChecks(port) : Promise.resolve(undefined),
  );
  readonly #port = new ListenerSlot((port: number | null) =>
    port ? listenOnMonitoringPort(port, this.#monitored()) : Promise.resolve(undefined),
  );
  readonly #socket = new ListenerSlot((path: string | null) =>
    path
      ? listenOnMonitoringSocket(
          path,
          { mode: this.#sources.socketMode, logger: this.#sources.logger },
          this.#monitored(),
        )
      : Promise.resolve(undefined),
  );

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  get core(): Core | undefined {
    return this.#core;
  }

  set core(core: Core | undefined) {
    this.#core = core;
    this.#page?.begin();
  }

  /** Counts requests while anybody could ask for the numbers. */
  readonly observer: RequestObserver = {
    requestEnded: (request, milliseconds, errorCode) =>
      this.#metrics?.requestEnded(request, milliseconds, errorCode),
  };

  /** Listens for whoever asks for health, readiness and numbers. Errors: see {@link listenOnMonitoringPort}. */
  async monitor(configuration: Configuration): Promise<void> {
    await (await this.#moveMonitoring(configuration)).commit();
  }

  /** Listens for the original's health checks. Errors: `ALREADY_EXISTS`. */
  async answerHealthChecks({ health_check_server }: Configuration): Promise<void> {
    await (await this.#health.move(health_check_server.port)).commit();
  }

  /**
   * Listens where the configuration says now; either `commit` or `revert` ends what is not needed. Errors:
   * nothing has changed then.
   */
  async move(configuration: Configuration): Promise<{ commit: EndListener; revert: EndListener }> {
    const monitoring = await this.#moveMonitoring(configuration);
    try {
      return both(monitoring, await this.#health.move(configuration.health_check_server.port));
    } catch (error) {
      await monitoring.revert();
      throw error;
    }
  }

  /** Ends all. Idempotent. */
  async close(): Promise<void> {
    this.#metrics?.close();
    await this.#page?.close();
    await Promise.all([this.#health.close(), this.#port.close(), this.#socket.close()]);
  }

  async #moveMonitoring({
    monitoring,
  }: Configuration): Promise<{ commit: EndListener; revert: EndListener }> {
    const isWanted = Boolean(monitoring.port) || monitoring.socket !== null;
    const fresh = isWanted && this.#metrics === undefined ? this.#makeMetrics() : undefined;
    this.#metrics ??= fresh;
    const revert = async (): Promise<void> => {
      if (fresh === undefined) return;
      fresh.close();
      this.#metrics = undefined;
    };
    const commit = async (): Promise<void> => {
      if (isWanted) return;
      this.#metrics?.close();
      this.#metrics = undefined;
    };
    const done = [{ commit, revert }];
    try {
      done.push(await this.#movePage(isWanted && monitoring.page));
      done.push(await this.#port.move(monitoring.port));
      done.push(await this.#socket.move(monitoring.socket));
    } catch (error) {
      for (const one of done) await one.revert();
      throw error;
    }
    return done.reduce(both);
  }

  async #movePage(isWanted: boolean): Promise<Move> {
    const before = this.#page;
    if (isWanted === (before !== undefined)) return { commit: nothing, revert: nothing };
    if (!isWanted)
      return {
        commit: async () => {
          this.#page = undefined;
          await before?.close();
        },
        revert: nothing,
      };
    // loading it takes some of the daemon's start, which only those pay who want it
    const { StatusPage } = await import('@warden/page');
    const page = new StatusPage({
      version: this.#sources.version,
      phase: () => this.phase,
      numbers: () => this.core?.statistics(),
      onlooker: () => this.core?.onlooker,
    });
    this.#page = page;
    page.begin();
    return {
      commit: nothing,
      revert: async () => {
        this.#page = undefined;
        await page.close();
      },
    };
  }

  #makeMetrics(): Metrics {
    return new Metrics({
      version: this.#sources.version,
      depot: this.#sources.depot,
      statistics: () => this.core?.statistics(),
      connections: () =>
        this.server && { open: this.server.connectionCount, refused: this.server.refusedCount },
    });
  }

  #monitored(): Monitored {
    return {
      phase: () => this.phase,
      metrics: () => this.#metrics?.text() ?? '# EOF\n',
      page: (request) => this.#page?.answer(request),
    };
  }
}

interface Move {
  commit: EndListener;
  revert: EndListener;
}

async function nothing(): Promise<void> {}

function both(one: Move, other: Move): Move {
  return {
    commit: async () => {
      await one.commit();
      await other.commit();
    },
    revert: async () => {
      await one.revert();
      await other.revert();
    },
  };
}
