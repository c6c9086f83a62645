/**
 * The real thing beside the model: one place, one daemon that is killed again and again, and what can be seen
 * of both from outside.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer, WardenClient } from '@warden/client';
import {
  forensics,
  type Inventory,
  makePlace,
  OUTSIDE_ADDRESS,
  patience,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';
import { expect } from 'vitest';
import { CAPACITY, type Settings } from './model.ts';

export const DENIED_PORT = 7777;
export const ALLOWED_PORT = 7778;
export const FIRST_PORT = 61_001;
export const OUTPUT_LIMIT = 400_000;
const SMALL = '192m';
const SMALL_PREFIX = '/tmp/warden-model-';
const QUOTA_IMAGE = 64 * 1024 * 1024;

/** How much of what was done, for the closing table. */
export interface Counts {
  [what: string]: number;
}

/** See the file's head. */
export class World {
  readonly place: TestPlace;
  readonly settings: Settings;
  readonly counts: Counts;
  /** Seen by containers as `/bound`. */
  readonly shared: string;
  readonly #mount: string | undefined;
  #daemon: TestDaemon | undefined;
  #client: WardenClient | undefined;
  #baseline: Inventory | undefined;
  #logFrom = 0;

  private constructor(place: TestPlace, settings: Settings, counts: Counts, mount: string | undefined) {
    this.place = place;
    this.settings = settings;
    this.counts = counts;
    this.#mount = mount;
    this.shared = path.join(place.directory, 'shared');
  }

  static async make(settings: Settings, counts: Counts): Promise<World> {
    const mount = settings.small ? mountSmall() : undefined;
    let world: World | undefined;
    try {
      world = new World(await makePlace(mount), settings, counts, mount);
      await world.#begin();
      return world;
    } catch (error) {
      await world?.place.remove();
      if (mount !== undefined) unmountSmall(mount);
      throw error;
    }
  }

  async #begin(): Promise<void> {
    fs.mkdirSync(this.shared);
    fs.chmodSync(this.shared, 0o777);
    fs.writeFileSync(path.join(this.shared, 'hello'), 'hello');
    const { outside } = this.place.network;
    outside.run('nft', 'add table inet seen; add chain inet seen in { type filter hook input priority 0; }');
    for (const port of [DENIED_PORT, ALLOWED_PORT]) {
      outside.run('nft', `add counter inet seen port${port}`);
      outside.run('nft', `add rule inet seen in udp dport ${port} counter name port${port}`);
    }
    await this.start();
    if (!this.settings.warm) this.#baseline = takeInventory(this.place);
  }

  get client(): WardenClient {
    return this.#client!;
  }

  get pid(): number {
    return this.#daemon!.pid;
  }

  box(handle: string): ClientContainer {
    return this.client.container(handle);
  }

  /** What was done, for whoever reads a failure, or looks on. */
  readonly story: string[] = [];
  say(line: string): void {
    this.story.push(line);
    if (process.env.WARDEN_MODEL_LOUD) process.stdout.write(`  ${line}\n`);
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  /** A client of its own, to be closed by whoever asks. */
  connect(): Promise<WardenClient> {
    return this.#daemon!.connect();
  }

  /** The client, which references what it finds, comes when `isTime`. */
  async start({ isTime = () => true }: { readonly isTime?: () => boolean } = {}): Promise<void> {
    const { quota, warm } = this.settings;
    this.#logFrom = fs.existsSync(this.place.log) ? fs.readFileSync(this.place.log, 'utf8').length : 0;
    this.#daemon = await startDaemon({
      place: this.place,
      config: {
        network: { pool_network: '10.254.0.0/28', release_delay: 0 },
        port: { pool_start_port: FIRST_PORT, pool_size: 1_000 },
        user: { pool_size: CAPACITY },
        server: {
          quota: { disk_quota_enabled: quota },
          warm_containers: warm ? 1 : 0,
          job_output_limit: OUTPUT_LIMIT,
        },
        drivers: { quota: quota ? 'image' : 'none', quota_image_size: QUOTA_IMAGE },
      },
    });
    await expect.poll(isTime, { timeout: patience(20_000) }).toBe(true);
    this.#client = await this.#daemon.connect();
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    await this.#daemon!.kill(signal);
  }

  /** Of this daemon, and since the disk was full if it was. */
  log(): string {
    return this.#daemon!.readLog().slice(this.#logFrom);
  }

  /** Log entries with this message. */
  logged(message: string): Record<string, unknown>[] {
    return this.log()
      .split('\n')
      .filter((line) => line.includes(`"${message}"`))
      .flatMap((line) => {
        try {
          return [JSON.parse(line) as { message: string; data?: Record<string, unknown> }];
        } catch {
          return []; // the disk was full in the middle of it
        }
      })
      .filter((line) => line.message === message)
      .map((line) => line.data ?? {});
  }

  /** Waits until the daemon executes nothing but `waiting` requests that somebody waits for. */
  async quiet(waiting: number): Promise<void> {
    for (let round = 0; round < 3; round++) await this.client.ping();
    await expect
      .poll(
        () =>
          this.logged('request').length - this.logged('answer').length - this.logged('request-failed').length,
        { timeout: patience(30_000), interval: 20 },
      )
      .toBeLessThanOrEqual(waiting);
  }

  /** The process of a container's init, if it is still that. */
  initOf(directory: string): number {
    const pid = Number(fs.readFileSync(path.join(directory, 'run/wshd.pid'), 'utf8'));
    const groups = fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    if (!groups.includes(`/${this.place.name}/`)) throw new Error(`${pid} is no init of ours`);
    return pid;
  }

  /** Packets that have arrived outside. */
  seen(port: number): number {
    const text = this.place.network.outside.run('nft', `list counter inet seen port${port}`);
    return Number(/packets (\d+)/.exec(text)![1]);
  }

  readonly outside = OUTSIDE_ADDRESS;

  /** Takes all room there is in the depot's file system. The answer gives it back. */
  fillDepot(): () => void {
    if (this.#mount === undefined) throw new Error('the depot has no file system of its own');
    const file = path.join(this.#mount, 'filler');
    const descriptor = fs.openSync(file, 'w');
    for (const size of [1 << 20, 4096]) {
      const chunk = Buffer.alloc(size, 1);
      try {
        for (;;) if (fs.writeSync(descriptor, chunk) < size) break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
    fs.closeSync(descriptor);
    return () => {
      fs.rmSync(file, { force: true });
      this.#logFrom = this.#daemon!.readLog().length; // what was logged meanwhile is not there
    };
  }

  /** Links of containers in the daemon's namespace. */
  links(): number {
    const text = fs.readFileSync(`/proc/${this.place.network.host.pid}/net/dev`, 'utf8');
    return text.split('\n').filter((line) => /^\s*w-[0-9a-v]{11}-0:/.test(line)).length;
  }

  /** Directories of containers. */
  directories(): string[] {
    return fs.readdirSync(this.place.depot).filter((name) => !name.startsWith('.'));
  }

  /** Nothing is left of what was there. */
  async expectClean(): Promise<void> {
    if (this.#baseline === undefined) return;
    // other histories run at the same time, with file systems of theirs
    const left = (await remainingLeaks(this.place, this.#baseline)).filter(
      (line) => !line.includes('wardend') && !line.includes(` ${SMALL_PREFIX}`),
    );
    if (left.length > 0) throw new Error(`left behind: ${left.join('; ')}`);
  }

  forensics(): string {
    return ['steps:', ...this.story, forensics(this.place)].join('\n');
  }

  /** Everything goes, whatever state it is in. */
  async close(): Promise<void> {
    try {
      if (this.#mount !== undefined) fs.rmSync(path.join(this.#mount, 'filler'), { force: true });
      if (this.#daemon && fs.existsSync(`/proc/${this.#daemon.pid}`)) {
        await Promise.race([
          this.#daemon.stop(),
          new Promise((resolve) => setTimeout(resolve, 30_000).unref()),
        ]);
      }
    } catch {
      // what failed before is what is reported
    } finally {
      await this.#daemon?.kill('SIGKILL');
      await this.place.remove();
      if (this.#mount !== undefined) unmountSmall(this.#mount);
    }
  }
}

function mountSmall(): string {
  const mount = fs.mkdtempSync(SMALL_PREFIX);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SMALL},mode=755`, 'warden-model', mount]);
  return mount;
}

function unmountSmall(mount: string): void {
  execFileSync('umount', ['-l', mount]);
  fs.rmdirSync(mount);
}
