/** The program `wardend`: options, configuration, signals, exit status. */
import { isatty } from 'node:tty';
import { type Logger, toWardenError, WardenError } from '@warden/interface';
import { raiseOpenFileLimit } from '@warden/native';
import type { Configuration } from './config.ts';
import { loadFromSources } from './config-sources.ts';
import { FAILPOINTS } from './failpoints.ts';
import { type LogSettings, type LogSink, openLogSink } from './log-sink.ts';
import { type DaemonOptions, parseOptions, USAGE } from './options.ts';
import type { ReloadReport } from './reload.ts';
import { RequestContext } from './request-context.ts';
import type { RunningDaemon } from './running-daemon.ts';
import { type InheritedSocket, type ServiceManager, serviceManager } from './service-manager.ts';
import { readVersion, startDaemon } from './start.ts';

/**
 * Runs the daemon until a signal ends it. Never rejects; sets the exit status: 0 after a signal, 1 after a
 * failed start, 2 for wrong use. `keep` is called once, some time after a start: what it needed is compiled
 * then.
 */
export async function main(
  words: readonly string[] = process.argv.slice(2),
  keep?: () => void,
): Promise<void> {
  const [word = '', ...others] = words;
  if (Object.hasOwn(COMMANDS, word)) {
    const command = await COMMANDS[word]!();
    process.exitCode = await command(others);
    return;
  }
  let start: Start | undefined;
  try {
    start = await readStart(words);
  } catch (error) {
    complain(error);
    process.exitCode = 2;
    return;
  }
  if (start === undefined) return;
  try {
    await run(start, keep);
  } catch (error) {
    complain(error);
    // a timer or a socket of somebody else's driver must not hold a daemon that has let go of everything
    process.exit(1);
  }
}

/** What the daemon does not need is loaded by those words that do: it takes some of its start. */
const COMMANDS: Readonly<Record<string, () => Promise<(words: readonly string[]) => Promise<number>>>> = {
  doctor: async () => (await import('./doctor.ts')).doctor,
  cleanup: async () => (await import('./cleanup.ts')).cleanupCommand,
  config: async () => (await import('./config-command.ts')).configCommand,
};

interface Start {
  readonly options: DaemonOptions;
  readonly configuration: Configuration;
}

/** `undefined`: something was to be told, and has been. Errors: `INVALID_SPEC` of words and configuration. */
async function readStart(words: readonly string[]): Promise<Start | undefined> {
  const options = parseOptions(words);
  const tell = (text: string): undefined => void process.stdout.write(text);
  if (options.help) return tell(USAGE);
  if (options.version) return tell(`wardend ${readVersion()}\n`);
  if (options.listFailpoints) return tell(FAILPOINTS.map((name) => `${name}\n`).join(''));
  const { configuration } = loadFromSources(options);
  if (!options.checkConfig) return { options, configuration };
  const { effective } = await import('./config-command.ts');
  return tell(effective(configuration));
}

/** The first requests come right after a start, and are not to wait. */
const KEEP_AFTER_MS = 1_000;

async function run({ options, configuration }: Start, keep: (() => void) | undefined): Promise<void> {
  const debugScopes = (process.env.WARDEN_DEBUG ?? '').split(',').filter((scope) => scope !== '');
  const requests = new RequestContext();
  requests.configure(configuration.logging, debugScopes);
  const sink = openLogSink({
    ...logSettings(configuration),
    syslog: configuration.logging.syslog ?? undefined,
    syslogSocket: configuration.server.syslog_socket ?? undefined,
    debugScopes,
    requestId: () => requests.current(),
  });
  const { logger } = sink;
  opensNoDebugger(logger);
  tellsOfDefects(logger);
  // whoever looks at a failed start wants to see one line, not the same again behind pages of JSON
  const release = isatty(2) ? sink.hold() : undefined;
  raiseOpenFiles(logger);
  tellOddities(configuration, logger);
  logger.info('configuration', { configuration });
  // armed before the first await: a signal during the start must not kill a half-made container
  const signal = firstSignal();
  const hangups = watchHangups();
  let manager: ServiceManager;
  let daemon: RunningDaemon;
  try {
    manager = serviceManager(process.env, (facts) => logger.warn('service-manager-not-told', facts));
    daemon = await startDaemon(configuration, logger, {
      clientSocket: clientSocket(manager.sockets),
      enclose: (id, action) => requests.enclose(id, action),
    });
  } catch (error) {
    if (release === undefined) logger.error('start-failed', { error });
    release?.(false);
    sink.close();
    throw error;
  }
  release?.(true);
  manager.ready(`serving ${daemon.containerCount} containers`);
  if (keep !== undefined) setTimeout(keep, KEEP_AFTER_MS).unref();
  let inForce = configuration;
  hangups.begin(async () => {
    manager.reloading();
    const status = await reload({ options, inForce, daemon, sink }).then((next) => {
      inForce = next.configuration;
      requests.configure(inForce.logging, debugScopes);
      return next.status;
    });
    manager.ready(status);
  });
  const how = await signal;
  hangups.end();
  await endBy(how, { daemon, sink, manager });
}

/**
 * At this signal Node, unless it is listened to, opens a debugger at a port of 127.0.0.1, where every user of
 * the host may run programs as the user of this process. Other daemons open their logs again at it, or drain.
 */
function opensNoDebugger(logger: Logger): void {
  process.on('SIGUSR1', () =>
    logger.warn('signal-ignored', {
      signal: 'SIGUSR1',
      advice: 'SIGHUP opens the log again and reads the configuration, SIGUSR2 drains',
    }),
  );
}

/**
 * Node ends a process for what nobody has caught, as in a timer of somebody else's driver, and says so on
 * standard error alone: whoever reads the log finds it there, too.
 */
function tellsOfDefects(logger: Logger): void {
  process.on('uncaughtExceptionMonitor', (error: unknown, origin) =>
    logger.error('ended-by-defect', {
      origin,
      error,
      stack: error instanceof Error ? error.stack : undefined,
      advice: 'start the daemon again; containers go on',
    }),
  );
}

function logSettings({ logging: { level, file, format } }: Configuration): LogSettings {
  return { level, file: file ?? undefined, format };
}

function tellOddities({ unknown, warnings }: Configuration, logger: Logger): void {
  for (const key of unknown) logger.warn('unknown-configuration-key', { key });
  for (const text of warnings) logger.warn('configuration-warning', { text });
}

interface Reloading {
  readonly options: DaemonOptions;
  readonly inForce: Configuration;
  readonly daemon: RunningDaemon;
  readonly sink: LogSink;
}

/** Reads everything again. What is wrong changes nothing and is told. Never rejects. */
async function reload({ options, inForce, daemon, sink }: Reloading): Promise<{
  readonly configuration: Configuration;
  readonly status: string;
}> {
  const { logger } = sink;
  try {
    const next = loadFromSources(options).configuration;
    tellOddities(next, logger);
    sink.reconfigure(logSettings(next)); // the file may have been moved away: it is opened again in any case
    let report: ReloadReport;
    try {
      report = await daemon.reload(next);
    } catch (error) {
      sink.reconfigure(logSettings(inForce));
      throw error;
    }
    const { changed, needsRestart } = report;
    logger.info('reloaded', { changed, needsRestart });
    if (needsRestart.length > 0)
      logger.warn('restart-needed', {
        keys: needsRestart.map(({ key }) => key),
        advice: 'restart the daemon for these; containers go on',
      });
    const rest =
      needsRestart.length > 0 ? `, ${needsRestart.map(({ key }) => key).join(', ')} after a restart` : '';
    return { configuration: next, status: `reloaded: ${changed.length} settings changed${rest}` };
  } catch (error) {
    logger.error('reload-failed', { error, advice: 'nothing has changed; wardend config check tells more' });
    return {
      configuration: inForce,
      status: `reload failed, nothing has changed: ${toWardenError(error).message}`,
    };
  }
}

/**
 * Of what the service manager has opened, the socket for clients. Errors: `INVALID_SPEC` when there are
 * several: one would never be served.
 */
function clientSocket(sockets: readonly InheritedSocket[]): number | undefined {
  const [first, ...others] = sockets;
  if (others.length === 0) return first?.descriptor;
  const names = sockets.map(({ name }) => name).join(', ');
  throw new WardenError(
    'INVALID_SPEC',
    `the service manager has opened ${sockets.length} sockets (${names}), wardend serves clients on one; keep one ListenStream`,
    { fields: { operation: 'take sockets over', names } },
  );
}

/**
 * Some descriptors per container and per client; the original wanted so many, and ended where it could not
 * have them.
 */
const OPEN_FILES = 32_768;

function raiseOpenFiles(logger: Logger): void {
  try {
    const limit = raiseOpenFileLimit(OPEN_FILES);
    if (limit < OPEN_FILES)
      logger.info('open-file-limit', {
        limit,
        advice: `raise the hard limit of open files to ${OPEN_FILES} for many containers`,
      });
  } catch (error) {
    logger.warn('open-file-limit', { error });
  }
}

type EndSignal = 'SIGTERM' | 'SIGINT' | 'SIGUSR2';

function firstSignal(): Promise<EndSignal> {
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGUSR2'] as const) process.on(name, () => resolve(name));
  });
}

/**
 * SIGHUP: during the start it is kept for later, and several while one is worked on are one. A closed
 * terminal is no reason to stop.
 */
function watchHangups(): { begin(action: () => Promise<void>): void; end(): void } {
  let action: (() => Promise<void>) | undefined;
  let isWanted = false;
  let isRunning = false;
  const work = async (): Promise<void> => {
    if (isRunning || action === undefined) return;
    isRunning = true;
    while (isWanted && action !== undefined) {
      isWanted = false;
      await action();
    }
    isRunning = false;
  };
  process.on('SIGHUP', () => {
    isWanted = true;
    void work();
  });
  return {
    begin: (given) => {
      action = given;
      void work();
    },
    end: () => {
      action = undefined;
    },
  };
}

interface Ending {
  readonly daemon: RunningDaemon;
  readonly sink: LogSink;
  readonly manager: ServiceManager;
}

async function endBy(signal: EndSignal, { daemon, sink, manager }: Ending): Promise<void> {
  sink.logger.info('ending', { signal });
  if (signal === 'SIGUSR2') {
    manager.stopping('draining: requests that do not only wait come to their ends', true);
    // whoever drains may still decide that it takes too long; further SIGUSR2 change nothing
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => void daemon.close());
    await daemon.drain();
  } else {
    manager.stopping('ending; containers go on');
    await daemon.close();
  }
  sink.logger.info('ended', { signal });
  manager.close();
  sink.close();
  // containers are no children of the event loop, but a pending timer or reader must not hold a finished daemon
  process.exit(0);
}

function complain(error: unknown): void {
  const { code, message } = toWardenError(error);
  process.stderr.write(`wardend: ${message} (${code})\n`);
}
