/** The program `wardend`: options, configuration, signals, exit status. */
import { toWardenError } from '@warden/interface';
import { type Configuration, loadConfiguration } from './config.ts';
import { type LogSink, openLogSink } from './log-sink.ts';
import { parseOptions, USAGE } from './options.ts';
import { type RunningDaemon, startDaemon } from './start.ts';

/** Runs the daemon until a signal ends it. Never rejects; sets the exit status: 0 after a signal, 1 after a failed start, 2 for wrong use. */
export async function main(words: readonly string[] = process.argv.slice(2)): Promise<void> {
  let configuration: Configuration;
  try {
    const options = parseOptions(words);
    if (options.help) {
      process.stdout.write(USAGE);
      return;
    }
    configuration = loadConfiguration(options.config);
    if (options.checkConfig) {
      process.stdout.write(`${JSON.stringify(configuration, null, 2)}\n`);
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
  const { level, file } = configuration.logging;
  const sink = openLogSink({
    level,
    file: file ?? undefined,
    debugScopes: (process.env.WARDEN_DEBUG ?? '').split(',').filter((scope) => scope !== ''),
  });
  const { logger } = sink;
  for (const key of configuration.unknown) logger.warn('unknown-configuration-key', { key });
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
