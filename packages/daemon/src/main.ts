/** The program `wardend`: options, configuration, signals, exit status. */
import { type Logger, toWardenError } from '@warden/interface';
import { raiseOpenFileLimit } from '@warden/native';
import { type Configuration, loadConfiguration } from './config.ts';
import { doctor } from './doctor.ts';
import { FAILPOINTS } from './failpoints.ts';
import { type LogSink, openLogSink } from './log-sink.ts';
import { parseOptions, USAGE } from './options.ts';
import { type RunningDaemon, startDaemon } from './start.ts';

/** Runs the daemon until a signal ends it. Never rejects; sets the exit status: 0 after a signal, 1 after a failed start, 2 for wrong use. */
export async function main(words: readonly string[] = process.argv.slice(2)): Promise<void> {
  if (words[0] === 'doctor') {
    process.exitCode = await doctor(words.slice(1));
    return;
  }
  let configuration: Configuration;
  try {
    const options = parseOptions(words);
    if (options.help) {
      process.stdout.write(USAGE);
      return;
    }
    if (options.listFailpoints) {
      process.stdout.write(FAILPOINTS.map((name) => `${name}\n`).join(''));
      return;
    }
    configuration = loadConfiguration(options.config);
    if (options.checkConfig) {
      process.stdout.write(`${JSON.stringify(configuration, bigintAsText, 2)}\n`);
      return;
    }
  } catch (error) {
    complain(error);
    process.exitCode = 2;
    return;
  }
  try {
    await run(configuration);
  } catch (error) {
    complain(error);
    process.exitCode = 1;
  }
}

async function run(configuration: Configuration): Promise<void> {
  const { level, file, syslog } = configuration.logging;
  const sink = openLogSink({
    level,
    file: file ?? undefined,
    syslog: syslog ?? undefined,
    syslogSocket: configuration.server.syslog_socket ?? undefined,
    debugScopes: (process.env.WARDEN_DEBUG ?? '').split(',').filter((scope) => scope !== ''),
  });
  const { logger } = sink;
  raiseOpenFiles(logger);
  for (const key of configuration.unknown) logger.warn('unknown-configuration-key', { key });
  for (const text of configuration.warnings) logger.warn('configuration-warning', { text });
  logger.info('configuration', { configuration });
  // armed before the first await: a signal during the start must not kill a half-made container
  const signal = firstSignal();
  let daemon: RunningDaemon;
  try {
    daemon = await startDaemon(configuration, logger);
  } catch (error) {
    logger.error('start-failed', { error });
    sink.close();
    throw error;
  }
  await endBy(await signal, daemon, sink);
}

/** A process limit beyond 2^53, which `JSON.stringify` does not take. */
function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** Some descriptors per container and per client; the original wanted so many, and ended where it could not have them. */
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
    process.on('SIGHUP', () => {}); // a closed terminal is no reason to stop
  });
}

async function endBy(signal: EndSignal, daemon: RunningDaemon, sink: LogSink): Promise<void> {
  sink.logger.info('ending', { signal });
  if (signal === 'SIGUSR2') {
    // whoever drains may still decide that it takes too long; further SIGUSR2 change nothing
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => void daemon.close());
    await daemon.drain();
  } else {
    await daemon.close();
  }
  sink.logger.info('ended', { signal });
  sink.close();
  // containers are no children of the event loop, but a pending timer or reader must not hold a finished daemon
  process.exit(0);
}

function complain(error: unknown): void {
  const { code, message } = toWardenError(error);
  process.stderr.write(`wardend: ${message} (${code})\n`);
}
