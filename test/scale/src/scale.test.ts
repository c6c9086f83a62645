/**
 * Many containers at once, each with network, rules and a job: reached, kept apart, taken over by the next
 * daemon within seconds, and gone without a trace.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { WardenClient } from '@warden/client';
import {
  describeWith,
  Figures,
  type Inventory,
  makePlace,
  patience,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
  type Vitals,
  vitalsProbe,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  ALLOWED_PORT,
  countOutside,
  DENIED_PORT,
  JOB_STATUS,
  type Member,
  makeMember,
  order,
  probe,
  reach,
} from './crowd.ts';
import { lanes } from './lanes.ts';
import { median, quantile } from './statistics.ts';

const COUNT = Number(process.env.WARDEN_SCALE_COUNT ?? 1_000);
const WIDTH = 4;
const RECOVERY_MS = 10_000;
const LOOP_MS = 10;
/** Creates at the full number, for the event loop's delay. */
const CREATES = 50;

describeWith(['root', 'isolated', 'overlayfs', 'nft'], `${COUNT} containers at once`, () => {
  const figures = new Figures('scale', `${COUNT} containers at once`, ['what', 'value', 'bound']);
  let place: TestPlace;
  let daemon: TestDaemon;
  let wardens: WardenClient[] = [];
  let nothing: Inventory;
  let seen: (port: number) => number;
  let members: Member[] = [];

  async function start(): Promise<void> {
    const { environment } = vitalsProbe(place.directory);
    daemon = await startDaemon({
      place,
      environment,
      readyWithinMs: 120_000,
      config: {
        network: { pool_network: '10.254.0.0/19', release_delay: 0 },
        user: { pool_size: 2_048 },
        logging: { level: 'info' },
      },
    });
    wardens = await Promise.all(Array.from({ length: WIDTH }, () => daemon.connect()));
  }

  const [one, each] = [
    (): WardenClient => wardens[0]!,
    <Result>(action: (warden: WardenClient, member: Member, at: number) => Promise<Result>) =>
      lanes(members, WIDTH, (member, at) => action(wardens[at % WIDTH]!, member, at)),
  ];

  /** The last line of the daemon's log that says this. */
  function logged(message: string): Record<string, number> {
    const line = daemon
      .readLog()
      .split('\n')
      .filter((text) => text.includes(`"message":"${message}"`))
      .at(-1);
    return (JSON.parse(line!) as { data: Record<string, number> }).data;
  }

  beforeAll(async () => {
    place = await makePlace();
    seen = countOutside(place);
    place.network.outside.run('ip', 'route', 'add', '10.254.0.0/16', 'dev', 'wt-out');
    await start();
    nothing = takeInventory(place);
    figures.add('processors, load before', `${os.cpus().length}, ${os.loadavg()[0]!.toFixed(1)}`, '');
  });

  afterAll(async () => {
    await daemon?.stop().catch(() => {});
    await daemon?.kill();
    await place.remove();
  });

  it('are made, each with network, a published port, an egress rule and a job', async () => {
    const began = performance.now();
    const times: number[] = [];
    members = await lanes(Array.from({ length: COUNT }), WIDTH, async (_, at) => {
      const start = performance.now();
      const member = await makeMember(wardens[at % WIDTH]!);
      times.push(performance.now() - start);
      return member;
    });
    const tenth = Math.ceil(COUNT / 10);
    figures.add(`made, ${WIDTH} at a time`, `${seconds(performance.now() - began)}`, '');
    figures.add(
      'create, port, rule, job, info: first tenth',
      `median ${median(times.slice(0, tenth)).toFixed(1)} ms`,
      '',
    );
    figures.add(
      'create, port, rule, job, info: last tenth',
      `median ${median(times.slice(-tenth)).toFixed(1)} ms`,
      '',
    );
    expect(await one().list()).toHaveLength(COUNT);
    expect(new Set(members.map(({ address }) => address)).size).toBe(COUNT);
    expect(new Set(members.map(({ port }) => port)).size).toBe(COUNT);
  });

  it('are reached from outside at their ports, each answering with its own name, and nowhere else', async () => {
    const { failures, opened } = await reach(place, members, { direct: true });
    expect(failures).toEqual([]);
    expect(opened, 'own addresses that answered to the outside').toEqual([]);
    figures.add('reached at their ports', `${COUNT - failures.length} of ${COUNT}`, 'all');
    figures.add('own addresses that answered to the outside', opened.length, 'none');
  });

  it('send what is allowed and nothing else, also not to each other', async () => {
    const before = seen(ALLOWED_PORT);
    const answers = await lanes(members, 16, (member, at) =>
      probe(wardens[at % WIDTH]!, member, members[(at + 1) % members.length]!),
    );
    expect(answers.filter((answer) => answer !== 'denied')).toEqual([]);
    const allowed = seen(ALLOWED_PORT) - before;
    figures.add('allowed packets that came out', `${allowed} of ${COUNT}`, 'all');
    figures.add('denied packets that came out', seen(DENIED_PORT), 'none');
    expect(allowed).toBe(COUNT);
    expect(seen(DENIED_PORT)).toBe(0);
  });

  it(`do not let a create hold up the event loop for over ${LOOP_MS} ms`, async (context) => {
    const probe = vitalsProbe(place.directory);
    await (await one().create()).destroy();
    const idler = await startIdler(path.join(place.directory, 'idler'));
    await Promise.all([probe.read(daemon.pid), idler.read()]); // begin anew
    const spent = processorTime(daemon.pid);
    const times: number[] = [];
    const boxes = [];
    for (let at = 0; at < CREATES; at++) {
      const began = performance.now();
      boxes.push(await one().create());
      times.push(performance.now() - began);
    }
    const perCreate = (processorTime(daemon.pid) - spent) / CREATES;
    const { loop, heapUsed, rss } = await probe.read(daemon.pid);
    const { loop: floor } = await idler.read();
    idler.end();
    for (const box of boxes) await box.destroy();
    figures.add(`create at ${COUNT} alive`, `median ${median(times).toFixed(1)} ms`, '');
    figures.add(
      `event loop late during ${CREATES} creates`,
      `p99 ${loop.p99.toFixed(1)} ms, at most ${loop.max.toFixed(1)} ms`,
      `p99 within ${LOOP_MS} ms`,
    );
    figures.add(
      'an idle process meanwhile',
      `p99 ${floor.p99.toFixed(1)} ms, at most ${floor.max.toFixed(1)} ms`,
      '',
    );
    figures.add(
      'processor time of the daemon per create, in several turns',
      `${perCreate.toFixed(1)} ms`,
      '',
    );
    figures.add('daemon: memory, of which heap', `${mega(rss)}, ${mega(heapUsed)}`, '');
    figures.add('daemon: descriptors', fs.readdirSync(`/proc/${daemon.pid}/fd`).length, '');
    const isRestless = floor.p99 > LOOP_MS / 2;
    if (isRestless)
      context.skip(`a machine with less to do: an idle process was ${floor.p99.toFixed(1)} ms late, too`);
    // what the machine itself was late by is not the daemon's
    expect(loop.p99 - floor.p99).toBeLessThan(LOOP_MS);
  });

  it(`are all recovered within ${RECOVERY_MS / 1_000} s of a kill -9, reachable all the time, with exact pools`, async () => {
    await daemon.kill('SIGKILL');
    const { failures } = await reach(place, members);
    expect(failures, 'without a daemon').toEqual([]);
    const load = Math.max(1, os.loadavg()[0]! / os.cpus().length);
    const began = performance.now();
    await start();
    const took = performance.now() - began;
    const spent = processorTime(daemon.pid);
    const recovered = logged('recovered');
    figures.add(
      'restart to the first answer',
      `${seconds(took)}, of which ${seconds(spent)} of processor time of the daemon; load ${os.loadavg()[0]!.toFixed(1)}`,
      `${seconds(RECOVERY_MS)} on a machine without other work`,
    );
    expect(recovered).toEqual({ containers: COUNT, setAside: 0, networks: COUNT, uids: COUNT, ports: COUNT });
    expect(took).toBeLessThan(patience(RECOVERY_MS) * load);
    figures.add('recovered', `${recovered.containers} of ${COUNT}`, 'all');
    const again = await reach(place, members, { direct: true });
    expect(again).toEqual({ failures: [], opened: [] });
    await using fresh = await one().create();
    const { containerIp } = await fresh.info();
    expect(members.map(({ address }) => address)).not.toContain(containerIp);
  });

  it('have their jobs, with all output, and rules in force as before', async () => {
    await each((warden, member) => order(warden, member, 'again', 'end'));
    const results = await each((warden, { handle, job }) => warden.container(handle).job(job).link());
    const wrong = results.filter(
      ({ exitStatus, stdoutText }) => exitStatus !== JOB_STATUS || stdoutText !== 'ready\nagain\nend\n',
    );
    figures.add('jobs with complete output and status', `${COUNT - wrong.length} of ${COUNT}`, 'all');
    expect(wrong.map(({ exitStatus, stdoutText }) => [exitStatus, stdoutText])).toEqual([]);
    const before = seen(ALLOWED_PORT);
    const some = members.slice(0, 100);
    const answers = await lanes(some, 16, (member, at) =>
      probe(wardens[at % WIDTH]!, member, members[(at + 1) % members.length]!),
    );
    // the neighbours' servers have ended with their jobs: what counts is what came out
    expect(answers.filter((answer) => answer !== 'denied')).toEqual([]);
    expect(seen(ALLOWED_PORT) - before).toBe(some.length);
    expect(seen(DENIED_PORT)).toBe(0);
  });

  it('are destroyed, and nothing is left', async () => {
    const began = performance.now();
    const times = await each(async (warden, { handle }) => {
      const start = performance.now();
      await warden.container(handle).destroy();
      return performance.now() - start;
    });
    figures.add(
      `destroyed, ${WIDTH} at a time`,
      `${seconds(performance.now() - began)}; p95 ${quantile(times, 0.95).toFixed(0)} ms`,
      '',
    );
    expect(logged('container-destroyed')).toMatchObject({ networks: 0, uids: 0, ports: 0 });
    const left = await remainingLeaks(place, nothing, { withinMs: 60_000 });
    const foreign = left.filter((line) => !line.includes('wardend'));
    figures.add('left behind', foreign.length, 'nothing');
    expect(foreign).toEqual([]);
  });
});

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function mega(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

/** A process that only waits: what its event loop is late by is the machine's. */
async function startIdler(directory: string): Promise<{ end(): void; read(): Promise<Vitals> }> {
  fs.mkdirSync(directory, { recursive: true });
  const probe = vitalsProbe(directory);
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6); console.log("ready")'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...probe.environment },
  });
  await once(child.stdout, 'data');
  return { end: () => child.kill('SIGKILL'), read: () => probe.read(child.pid!) };
}

/** Milliseconds that a process has spent on processors. */
function processorTime(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
