/**
 * Storms from inside: a container takes all there is of one thing. It is contained, others are answered
 * within the bounds below meanwhile, and a destroy removes it within five seconds. Everything is bounded in
 * number and time by itself.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ClientContainer, ClientJob, WardenClient } from '@warden/client';
import { describeWith, Figures, patience, withDaemon } from '@warden/test-harness';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { Bystander, type Waits } from './bystander.ts';
import { guard } from './guard.ts';
import { makeImage } from './image.ts';
import { startReceiver } from './syslog-receiver.ts';

const IS_SHORT = Boolean(process.env.WARDEN_STORMS_SHORT);
const RUN_STORM = fileURLToPath(new URL('./run-storm.mjs', import.meta.url));
/** How long a storm that does not end by itself goes on. */
const RAGE_MS = IS_SHORT ? 1_000 : 5_000;
/** How long others may wait, in 95 of 100 times, on a machine that has nothing else to do. */
const PING_MS = 100;
const RUN_MS = 1_000;
const DESTROY_MS = 5_000;
const MEMORY = 192n << 20n;
const DISK_KIB = 64n << 10n;
/** More than this the daemon must not have grown by, nor its log, nor those of init. */
const GROWTH_BYTES = 128 << 20;
const LOG_BYTES = 1 << 20;
const CLIENTS = 50;

const figures = new Figures('storms', 'Storms from inside, and what others wait meanwhile', [
  'storm',
  'how it was contained',
  'ping: median, p95, most',
  'run: median, p95, most',
  'destroy',
  'daemon',
]);

/** What a storm is, and what ends it. */
interface Storm {
  readonly name: string;
  readonly script: string;
  readonly privileged?: boolean;
  /** Of what the probe or the script says last; `killed`: nothing, because it was killed. */
  readonly ends: RegExp;
  readonly limitDisk?: boolean;
}

const probe = (kind: string): string => `exec abuse-probe storm ${kind} ${IS_SHORT ? 1 : 2}`;
const STORMS: readonly Storm[] = [
  { name: 'processes', script: probe('processes'), ends: /EAGAIN/ },
  { name: 'zombies', script: probe('zombies'), ends: /EAGAIN/ },
  { name: 'orphans for init to reap', script: probe('orphans'), ends: /-|EAGAIN/ },
  { name: 'threads', script: probe('threads'), ends: /EAGAIN/ },
  { name: 'memory', script: probe('memory'), ends: /killed|ENOMEM/ },
  { name: 'tmpfs: /dev/shm', script: probe('shm'), ends: /ENOSPC|killed|ENOMEM/ },
  { name: 'tmpfs: /dev', script: probe('dev'), privileged: true, ends: /ENOSPC/ },
  { name: 'tmpfs: files of /dev/shm', script: probe('shm-inodes'), ends: /ENOSPC|killed|ENOMEM/ },
  { name: 'descriptors', script: probe('descriptors'), ends: /EMFILE/ },
  { name: 'terminals', script: probe('ptys'), ends: /ENOSPC|EIO|EMFILE/ },
  { name: 'pipes', script: probe('pipes'), ends: /EMFILE|killed|ENFILE/ },
  {
    name: 'disk',
    script:
      'dd if=/dev/zero of=/tmp/fill bs=1M count=4096 2>&1 | grep -o "No space left on device\\|[Qq]uota exceeded"',
    ends: /no space|quota/i,
    limitDisk: true,
  },
  {
    name: 'files on disk',
    // each takes a block: how many inodes there are, was said when the image was made
    script:
      'mkdir /tmp/many; cd /tmp/many; for ((i = 0; i < 100000; i++)); do echo x > $i || break; done 2>&1 | grep -o "No space left on device\\|[Qq]uota exceeded"; echo $(ls | wc -l) files, then no space',
    ends: /no space|quota/i,
    limitDisk: true,
  },
];
const SHORT = [
  'processes',
  'zombies',
  'memory',
  'tmpfs: /dev/shm',
  'descriptors',
  'terminals',
  'disk',
  'files on disk',
];

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory', 'python3'], 'storms from inside', () => {
  // named before the daemon is there; a relative path would be its own
  const socket = path.join(os.tmpdir(), `warden-storms-${process.pid}.log`);
  const suite = withDaemon({
    config: {
      server: { quota: { disk_quota_enabled: true }, syslog_socket: socket },
      drivers: { quota: 'image' },
      logging: { level: 'info' },
    },
  });
  let warden: WardenClient;
  let other: ClientContainer;
  let guardMet: () => number;
  let image = '';
  /** What this machine waits for anyway, because of others; from before the storms, which are load themselves. */
  let load = 1;

  beforeAll(async () => {
    load = Math.max(1, os.loadavg()[0]! / os.cpus().length);
    warden = await suite.daemon.connect();
    guardMet = guard(suite.daemon.place);
    image = path.join(suite.daemon.place.directory, 'image');
    makeImage(image);
    const bystander = await suite.daemon.connect();
    other = await bystander.create();
    const calm = new Bystander(warden, other);
    await delay(2_000);
    const waits = await calm.stop();
    const about = `${os.cpus().length} processors, load ${os.loadavg()[0]!.toFixed(1)}`;
    figures.add('none', about, spread(waits.ping), spread(waits.run), '', '');
    return () => fs.rmSync(socket, { force: true });
  });

  beforeEach(() => {
    // grows while others work on the machine, but not by more than it was: the storm before is over
    load = Math.min(load * 1.5, Math.max(load, os.loadavg()[0]! / os.cpus().length));
  });

  async function make(): Promise<ClientContainer> {
    const box = await warden.create({ rootfs: image });
    await box.limitMemory(MEMORY);
    return box;
  }

  /** Lets it rage while somebody else works, and destroys it; everything is held against its bound. */
  async function endure(
    name: string,
    box: ClientContainer,
    rage: (served: () => number) => Promise<string>,
  ): Promise<void> {
    const before = { resident: resident(suite.daemon.pid), log: fs.statSync(suite.daemon.place.log).size };
    const bystander = new Bystander(warden, other);
    const { containerPath } = await box.info();
    let outcome = 'not contained';
    let waits: Waits;
    try {
      outcome = await rage(() => bystander.count);
      await expect.poll(() => bystander.count, { timeout: patience(60_000) }).toBeGreaterThan(2);
    } finally {
      waits = await bystander.stop();
    }
    const logs = ['wshd.out.log', 'wshd.err.log'].map((file) => size(path.join(containerPath!, 'run', file)));
    const began = performance.now();
    await box.destroy();
    const destroyed = performance.now() - began;
    const grown = resident(suite.daemon.pid) - before.resident;
    const logged = fs.statSync(suite.daemon.place.log).size - before.log;
    figures.add(
      name,
      outcome,
      spread(waits.ping),
      spread(waits.run),
      `${destroyed.toFixed(0)} ms`,
      `${(grown / (1 << 20)).toFixed(0)} MiB, ${logged} bytes of log`,
    );
    expect(quantile(waits.ping, 0.95), 'a ping of somebody else').toBeLessThan(patience(PING_MS) * load);
    expect(quantile(waits.run, 0.95), 'a job of somebody else').toBeLessThan(patience(RUN_MS) * load);
    expect(destroyed, 'the destroy').toBeLessThan(patience(DESTROY_MS) * load);
    expect(grown, 'bytes the daemon has grown by').toBeLessThan(GROWTH_BYTES);
    for (const bytes of [logged, ...logs]) expect(bytes, 'bytes of log').toBeLessThan(LOG_BYTES);
    expect(guardMet(), 'how often the outer memory limit was met').toBe(0);
  }

  it.each(STORMS.filter(({ name }) => !IS_SHORT || SHORT.includes(name)))(
    '$name: an end, others served, gone within 5 s [SECURITY R]',
    async ({ name, script, privileged = false, ends, limitDisk }) => {
      const box = await make();
      if (limitDisk) await box.limitDisk({ blockHard: DISK_KIB });
      await endure(name, box, async () => {
        const job = await box.spawn(script, { privileged });
        const { stdoutText, stderrText, verdict } = await job.result();
        const outcome = outcomeOf(`${stderrText}\n${stdoutText}`, verdict?.reason);
        expect(outcome).toMatch(ends);
        return outcome;
      });
    },
  );

  it.each([
    ['fork bomb', 'exec abuse-probe storm fork-bomb 0'],
    // a shell that cannot fork sleeps over the signal that would end it, and tries again
    ['fork bomb of the shell', 'bomb() { bomb | bomb & }; bomb; sleep 600'],
  ])('a %s: others served, gone within 5 s [SECURITY R01]', async (name, script) => {
    const box = await make();
    await endure(name, box, async () => {
      await box.spawn(script);
      const count = processCounter(suite.daemon.place.name, box.handle);
      await expect.poll(count, { timeout: patience(60_000) }).toBeGreaterThan(400);
      await delay(RAGE_MS);
      return `held at ${count()} processes`;
    });
  });

  it('output that nobody takes: ends at the limit of output [SECURITY R17]', async () => {
    const box = await make();
    await endure('output that nobody takes', box, async () => {
      const job = await box.spawn('exec yes');
      // asked for its state, not for its output
      await expect.poll(async () => (await box.info()).jobIds, { timeout: patience(120_000) }).toEqual([]);
      expect((await box.info()).events).toContain('command exceeded maximum output');
      const { stdout, verdict } = await job.result();
      return `${verdict?.reason} after ${(stdout.length / (1 << 20)).toFixed(0)} MiB`;
    });
  });

  it('output for a reader that does not read: the job waits, or ends at its limit [SECURITY R17]', async () => {
    const box = await make();
    await endure('output for a reader that does not read', box, async () => {
      const job: ClientJob = await box.spawn('exec yes');
      const chunks = job.stream();
      await chunks.next();
      await delay(RAGE_MS);
      const { events } = await box.info();
      await job.kill();
      await chunks.return({} as never);
      return events.length === 0 ? 'held back' : events.join(', ');
    });
  });

  it.each([
    ['nobody listens', undefined],
    ['a receiver that never reads', 'deaf'],
    ['a receiver that reads', 'reads'],
  ] as const)('a flood of log lines, %s: others served [behaviour 6.4]', async (what, kind) => {
    const box = await make();
    const close = kind === undefined ? undefined : await startReceiver(socket, kind);
    try {
      await endure(`log lines: ${what}`, box, async () => {
        const job = await box.spawn("exec yes ''", { logTag: 'flood', discardOutput: true });
        await delay(RAGE_MS);
        await job.kill();
        await job.result();
        return 'held back until it was ended';
      });
    } finally {
      await close?.();
      fs.rmSync(socket, { force: true });
    }
  });

  it('jobs that cannot be started, as many as can be asked for: neither log grows [SECURITY R]', async () => {
    const box = await make();
    await box.run('mkdir /tmp/empty', { check: true });
    await endure('jobs that cannot be started', box, async (served) => {
      const removed = await box.run('mv /bin/bash /bin/other', { privileged: true });
      expect(removed.exitStatus).toBe(0);
      const until = performance.now() + RAGE_MS;
      let tried = 0;
      while (performance.now() < until || served() < 3) {
        const ends = await Promise.allSettled(Array.from({ length: 10 }, () => box.run('true')));
        for (const end of ends) if (end.status === 'fulfilled') expect(end.value.exitStatus).not.toBe(0);
        tried += ends.length;
      }
      return `${tried} refused`;
    });
  });

  it(`jobs for ${CLIENTS} clients in one container: all right, others served [SECURITY N]`, async () => {
    const box = await make();
    await endure(`jobs for ${CLIENTS} clients`, box, async () => {
      const words = [
        RUN_STORM,
        suite.daemon.place.socket,
        box.handle,
        String(CLIENTS),
        String(RAGE_MS / 1_000),
      ];
      const child = spawn(process.execPath, words, {
        stdio: ['ignore', 'pipe', 'inherit'],
        timeout: patience(120_000),
      });
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      await once(child, 'close');
      const { runs, wrong } = JSON.parse(text) as { runs: number; wrong: string[] };
      expect(wrong).toEqual([]);
      expect(runs).toBeGreaterThanOrEqual(CLIENTS);
      return `${runs} jobs, each with its own answer`;
    });
  });
});

/** The probe's `KIND COUNT ERRNO held`, what a script has said, or how it ended. */
function outcomeOf(said: string, reason: string | undefined): string {
  const [, count, errno] = /^\S+ (\d+) (\S+) held$/m.exec(said) ?? [];
  if (errno !== undefined) return `${errno} after ${count}`;
  const words = said.trim().split('\n').at(-1)!;
  if (words !== '') return words;
  return reason === undefined || reason === 'exited' ? 'killed' : `killed: ${reason}`;
}

function processCounter(name: string, handle: string): () => number {
  const groups = fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => path.join(line.split(' ')[4]!, name, `instance-${handle}`, 'pids.current'))
    .filter((file) => fs.existsSync(file));
  if (groups[0] === undefined) throw new Error('there is no process group to count in');
  return () => Number(fs.readFileSync(groups[0]!, 'utf8'));
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

function spread(values: readonly number[]): string {
  return `${[quantile(values, 0.5), quantile(values, 0.95), Math.max(...values)].map((ms) => ms.toFixed(1)).join(', ')} ms`;
}

function resident(pid: number): number {
  return 1_024 * Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}

function size(file: string): number {
  return fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
