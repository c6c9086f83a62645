/**
 * A small platform: an app is a directory with a program `start`, which serves HTTP at the port in $PORT. What is
 * known of it is in its container's properties: no database, and neither our end nor the daemon's ends an app.
 *
 *     mini-paas.ts deploy NAME DIRECTORY | ps | logs NAME | limit NAME MIB | allow NAME ADDRESS PORT
 *                  | delete NAME | watch
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { WardenClient } from '@warden/client';
import { type ClientContainer, type ContainerReport, connect, isWardenError, sh } from '@warden/client';

const HOME = '/home/vcap/app';
const LOG = '/home/vcap/log';
const PORT_INSIDE = 8080;
const MEMORY_MIB = 64;
const FOR_EVER = 2 ** 32 - 1;

const handleOf = (name: string): string => `app-${name}`;

/** Starts the app's program, which its container knows from then on. A log at its size ends it, and begins anew. */
async function start(box: ClientContainer): Promise<void> {
  const job = await box.spawn(sh`exec ./start > ${LOG} 2>&1`, {
    workingDirectory: HOME,
    environment: { PORT: String(PORT_INSIDE) },
    rlimits: { fsize: 64n << 20n },
    discardOutput: true,
  });
  await box.setProperties({ job: String(job.id) });
}

/** Answers the port; a given one is taken. Nothing is left of an app that could not be deployed. */
async function deploy(warden: WardenClient, name: string, source: string, port?: number): Promise<number> {
  const properties = { platform: 'mini-paas', name, source };
  const box = await warden.create({ handle: handleOf(name), graceTime: FOR_EVER, properties });
  try {
    await box.limitMemory(BigInt(MEMORY_MIB) << 20n);
    await box.copyIn(`${source}/`, HOME);
    const { hostPort } = await box.netIn({ hostPort: port, containerPort: PORT_INSIDE });
    await box.setProperties({ port: String(hostPort) });
    await start(box);
    return hostPort;
  } catch (error) {
    await box.destroy();
    throw error;
  }
}

/** Asks an app at its published port, as anybody would; `undefined` when it answers as it should. */
async function illness(port: string | undefined): Promise<string | undefined> {
  try {
    const { status } = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) });
    return status < 500 ? undefined : `status ${status}`;
  } catch (error) {
    const { cause, message } = error as Error;
    return cause instanceof Error ? cause.message : message;
  }
}

async function apps(warden: WardenClient): Promise<readonly ContainerReport[]> {
  return warden.infoMany({ properties: { platform: 'mini-paas' } });
}

async function list(warden: WardenClient): Promise<void> {
  for (const { info } of await apps(warden)) {
    const { name, port } = info?.properties ?? {};
    const mib = Number((info?.memoryStat?.rss ?? 0n) >> 20n);
    console.log(`${name} ${info?.state} port ${port} ${mib} MiB ${(await illness(port)) ?? 'healthy'}`);
  }
}

/** What is in the log, and what comes. */
async function follow(box: ClientContainer): Promise<void> {
  const changes = await box.files.watch(LOG);
  let offset = 0n;
  do {
    for await (const data of box.files.read(LOG, { offset })) {
      process.stdout.write(data);
      offset += BigInt(data.length);
    }
  } while (!(await changes.next()).done);
}

/** Gives an app what it lacks; answers what was done. A container that ran out of memory is stopped for good. */
async function repair(warden: WardenClient, { handle, info }: ContainerReport): Promise<string | undefined> {
  const { job, name, port, source } = info?.properties ?? {};
  if (info === undefined || name === undefined || source === undefined) return undefined;
  const box = warden.container(handle);
  if (info.state === 'stopped') {
    await box.destroy().catch(() => undefined); // gone, when the deployment below has failed before
    await deploy(warden, name, source, Number(port));
    return `deployed again (${info.events.join(', ')})`;
  }
  if (info.jobIds.includes(Number(job))) return undefined;
  await start(box);
  return 'started again';
}

/** Repairs what has ended, and tells each change. Apps go on, and are asked, while the daemon is away. */
async function watch(warden: WardenClient): Promise<never> {
  const told = new Map<string, string>();
  const tell = (subject: string, state: string): void => {
    if (told.get(subject) !== state) console.log(`${subject}: ${state}`);
    told.set(subject, state);
  };
  const ailing = new Map<string, ContainerReport>(); // whose repair failed: some are gone
  for (let known: readonly ContainerReport[] = []; ; await delay(500)) {
    try {
      known = await apps(warden);
      tell('daemon', 'present');
      for (const app of new Map([...ailing, ...known.map((one) => [one.handle, one] as const)]).values()) {
        ailing.set(app.handle, app);
        const repaired = await repair(warden, app);
        ailing.delete(app.handle);
        if (repaired !== undefined) tell(app.info?.properties?.name ?? app.handle, repaired);
      }
    } catch (error) {
      if (!isWardenError(error)) throw error;
      if (error.code === 'UNAVAILABLE') tell('daemon', 'away');
      else tell('repair', error.message);
    }
    for (const { handle, info } of known) {
      const problem = await illness(info?.properties?.port);
      tell(info?.properties?.name ?? handle, problem === undefined ? 'healthy' : `ill: ${problem}`);
    }
  }
}

const [command, name = '', ...words] = process.argv.slice(2);
try {
  await using warden = await connect({ path: process.env.WARDEN_SOCKET ?? '/tmp/warden.sock' });
  const box = warden.container(handleOf(name));
  if (command === 'deploy' && words[0] !== undefined)
    console.log(`${name} at port ${await deploy(warden, name, path.resolve(words[0]))}`);
  else if (command === 'ps') await list(warden);
  else if (command === 'logs') await follow(box);
  else if (command === 'limit') await box.limitMemory(BigInt(words[0] ?? MEMORY_MIB) << 20n);
  else if (command === 'allow') await box.netOut({ network: words[0], port: Number(words[1]) });
  else if (command === 'delete') await box.destroy();
  else if (command === 'watch') await watch(warden);
  else
    throw new Error(
      'usage: deploy NAME DIRECTORY | ps | logs NAME | limit NAME MIB | allow … | delete NAME | watch',
    );
} catch (error) {
  console.error(
    `mini-paas: ${isWardenError(error) ? `${error.code}: ${error.message}` : (error as Error).message}`,
  );
  process.exitCode = 1;
}
