/**
 * One place with a daemon that is killed again and again, and a witness: a container made before, whose one
 * job counts aloud and sends a denied packet to the outside about a thousand times a second.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer, ClientJob, WardenClient } from '@warden/client';
import {
  type Inventory,
  makePlace,
  OUTSIDE_ADDRESS,
  patience,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
  WARDEND,
} from '@warden/test-harness';
import { expect } from 'vitest';

export const DENIED_PORT = 7777;
export const ALLOWED_PORT = 7778;
const STEP = 50;
const WITNESS = 'witness';
const WITNESS_MEMORY = 256n * 1024n * 1024n;

const PROBE = `
mkfifo /tmp/never; exec 4<>/tmp/never 3<>/dev/udp/${OUTSIDE_ADDRESS}/${DENIED_PORT}
n=0
while :; do
  printf x >&3
  n=$((n + 1))
  if ((n % ${STEP} == 0)); then echo $n; fi
  read -r -t 0.0007 -u 4
done 2>/dev/null
`;

/** What a daemon says at the end of its recovery. */
export interface Recovered {
  readonly containers: number;
  readonly setAside: number;
  readonly networks: number;
  readonly uids: number;
  readonly ports: number;
}

/** How a daemon is started. */
export interface StartOptions {
  readonly points?: string;
  readonly quota?: boolean | undefined;
  readonly warm?: boolean | undefined;
  readonly unflushed?: boolean | undefined;
}

/** The names a program lists. */
export function listed(program: 'wardend' | 'wshd'): string[] {
  const wshd = path.resolve(WARDEND, `../../../wshd/prebuilt/linux-${process.arch}`);
  const words =
    program === 'wardend'
      ? [process.execPath, WARDEND]
      : [path.join(process.env.WARDEN_WSHD_DIRECTORY ?? wshd, 'wshd')];
  const { stdout } = spawnSync(words[0]!, [...words.slice(1), '--list-failpoints'], { encoding: 'utf8' });
  return stdout.split('\n').filter((name) => name !== '');
}

/** See the file's head. */
export class World {
  readonly place: TestPlace;
  readonly #points: string;
  #daemon: TestDaemon | undefined;
  #client: WardenClient | undefined;
  #baseline: Inventory | undefined;
  #job = 0;
  #counted = 0;

  private constructor(place: TestPlace) {
    this.place = place;
    this.#points = path.join(place.directory, 'failpoints');
    fs.writeFileSync(path.join(place.directory, 'source'), 'to be copied');
  }

  static async make(): Promise<World> {
    const world = new World(await makePlace());
    const { outside } = world.place.network;
    outside.run('nft', 'add table inet seen; add chain inet seen in { type filter hook input priority 0; }');
    for (const port of [DENIED_PORT, ALLOWED_PORT]) {
      outside.run('nft', `add counter inet seen port${port}`);
      outside.run('nft', `add rule inet seen in udp dport ${port} counter name port${port}`);
    }
    await world.start();
    const box = await world.client.create({ handle: WITNESS });
    await box.limitMemory(WITNESS_MEMORY);
    world.#job = (await box.spawn(PROBE)).id;
    world.#baseline = takeInventory(world.place);
    await world.expectWitness();
    return world;
  }

  get client(): WardenClient {
    return this.#client!;
  }

  /** A client of its own, to be closed by whoever asks. */
  connect(): Promise<WardenClient> {
    return this.#daemon!.connect();
  }

  get witness(): ClientContainer {
    return this.client.container(WITNESS);
  }

  /** How often the witness has tried so far, as far as it has told. */
  get tries(): number {
    return this.#counted;
  }

  get pid(): number {
    return this.#daemon!.pid;
  }

  arm(points: string): void {
    fs.writeFileSync(`${this.#points}.new`, points);
    fs.renameSync(`${this.#points}.new`, this.#points);
  }

  /** Starts a daemon with these failpoints. Throws when it ends before it listens. */
  async start(options: StartOptions = {}): Promise<void> {
    this.arm(options.points ?? '');
    fs.writeFileSync(this.place.log, '');
    this.#daemon = await startDaemon({
      place: this.place,
      environment: { WARDEN_FAILPOINT: `@${this.#points}` },
      config: {
        network: { pool_network: '10.254.0.0/27', release_delay: 0 },
        user: { pool_size: 8 },
        server: {
          quota: { disk_quota_enabled: options.quota === true },
          warm_containers: options.warm === true ? 1 : 0,
        },
        drivers: { durable: options.unflushed !== true, quota: options.quota === true ? 'image' : 'none' },
      },
    });
    this.#client = await this.#daemon.connect();
    if (options.warm) await this.#prepared();
  }

  /** Another container than the witness has been made, without anybody having asked for it. */
  async #prepared(): Promise<void> {
    const listening = (): string[] =>
      fs
        .readdirSync(this.place.depot)
        .filter((name) => fs.existsSync(path.join(this.place.depot, name, 'run/wshd.pid')));
    await expect.poll(listening, { timeout: patience(20_000) }).toHaveLength(2);
  }

  /** Waits until the daemon is dead. */
  async died(): Promise<void> {
    const deadline = Date.now() + patience(30_000);
    while (fs.existsSync(`/proc/${this.pid}`)) {
      if (Date.now() > deadline) throw new Error('the daemon was not killed: the failpoint was not reached');
      await delay(5);
    }
    await this.#daemon!.kill();
  }

  /** Killed, and started as the options say. */
  async restart(options: StartOptions = {}): Promise<void> {
    await this.kill();
    await this.start(options);
  }

  async kill(): Promise<void> {
    await this.#daemon!.kill('SIGKILL');
  }

  log(): string {
    return this.#daemon!.readLog();
  }

  /** What the running daemon found. */
  recovered(): Recovered {
    const line = this.#logged('recovered').at(-1);
    if (line === undefined) throw new Error('the daemon did not say what it has recovered');
    return line as unknown as Recovered;
  }

  /** The pools after the latest container that went. */
  poolsAtEnd(): { networks: number; uids: number; ports: number } | undefined {
    const { networks, uids, ports } = this.#logged('container-destroyed').at(-1) ?? {};
    return networks === undefined ? undefined : ({ networks, uids, ports } as never);
  }

  #logged(message: string): Record<string, number>[] {
    return this.log()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { message: string; data?: Record<string, number> })
      .filter((line) => line.message === message)
      .map((line) => line.data ?? (line as never));
  }

  /** The witness runs, and its job has counted on without a gap, from its first line to now. */
  async expectWitness(): Promise<void> {
    const job: ClientJob = this.witness.job(this.#job);
    let text = '';
    const before = this.#counted;
    const deadline = Date.now() + patience(30_000);
    for await (const { stream, data } of job.output) {
      if (stream === 'stdout') text += Buffer.from(data).toString();
      const last = Number(text.slice(0, text.lastIndexOf('\n')).split('\n').at(-1) || 0);
      if (last > before) {
        this.#counted = last;
        break;
      }
      if (Date.now() > deadline) throw new Error(`the witness does not count on from ${before}`);
    }
    const lines = text.slice(0, text.lastIndexOf('\n')).split('\n').map(Number);
    expect(lines, 'the output of the witness').toEqual(lines.map((_, at) => (at + 1) * STEP));
    expect((await this.witness.info()).state).toBe('active');
    expect(await this.witness.limitMemory(), 'the limit of the witness').toBe(WITNESS_MEMORY);
    expect(this.seen(DENIED_PORT), 'denied packets that came out').toBe(0);
  }

  /** A job of the witness that has ended, with its result left for whoever asks; the record knows. */
  async leaveJob(): Promise<ClientJob> {
    const job = await this.witness.spawn('echo left; exit 7');
    const { containerPath } = await this.witness.info();
    const file = path.join(containerPath!, 'snapshot.json');
    await expect
      .poll(() => JSON.parse(fs.readFileSync(file, 'utf8')).jobs[job.id]?.status?.[0], {
        timeout: patience(20_000),
      })
      .toBe(7);
    // the file was seen before the daemon had passed the last failpoint of writing it
    await this.client.ping();
    return job;
  }

  /** Packets that have arrived outside. */
  seen(port: number): number {
    const text = this.place.network.outside.run('nft', `list counter inet seen port${port}`);
    return Number(/packets (\d+)/.exec(text)![1]);
  }

  /** Nothing is there that was not there when only the witness was. */
  async expectClean(): Promise<void> {
    const left = await remainingLeaks(this.place, this.#baseline!);
    expect(left.filter((line) => !line.includes('wardend'))).toEqual([]);
  }

  /** A packet of a container that is allowed comes out: the counter would have told. */
  async expectCounterWorks(): Promise<void> {
    await this.witness.netOut({ network: OUTSIDE_ADDRESS, port: ALLOWED_PORT, protocol: 'udp' });
    await expectAllowed(this, this.witness);
  }

  async end(): Promise<void> {
    try {
      if (this.#daemon && fs.existsSync(`/proc/${this.#daemon.pid}`)) {
        this.arm('');
        await this.#daemon.stop();
      }
    } finally {
      await this.#daemon?.kill();
      await this.place.remove();
    }
  }
}

/** A packet to the allowed port arrives. */
export async function expectAllowed(world: World, box: ClientContainer): Promise<void> {
  const before = world.seen(ALLOWED_PORT);
  await expect
    .poll(
      async () => {
        await box.run(`printf x > /dev/udp/${OUTSIDE_ADDRESS}/${ALLOWED_PORT}`);
        return world.seen(ALLOWED_PORT);
      },
      { timeout: patience(20_000) },
    )
    .toBeGreaterThan(before);
}

/** No packet to that port arrives. */
export async function expectClosed(world: World, box: ClientContainer): Promise<void> {
  const before = world.seen(ALLOWED_PORT);
  for (let round = 0; round < 3; round++)
    await box.run(`printf x > /dev/udp/${OUTSIDE_ADDRESS}/${ALLOWED_PORT}`);
  expect(world.seen(ALLOWED_PORT)).toBe(before);
}

/** Ends the init of a container without a daemon, if the number in its directory is still its own. */
export async function endInit(world: World, directory: string): Promise<void> {
  const init = Number(fs.readFileSync(path.join(directory, 'run/wshd.pid'), 'utf8'));
  const isIts = (): boolean => {
    try {
      return fs.readFileSync(`/proc/${init}/cgroup`, 'utf8').includes(`/${world.place.name}/`);
    } catch {
      return false; // gone
    }
  };
  if (isIts()) process.kill(init, 'SIGKILL');
  await expect.poll(isIts, { timeout: patience(20_000) }).toBe(false);
}
