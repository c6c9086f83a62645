/**
 * Memory that runs out: one event, a graceful stop, whoever asks afterwards finds the reason (spec
 * behaviour.md 7, linux-container.md 14).
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import {
  cgroupParents,
  describeWith,
  patience,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  takeInventory,
  withDaemon,
} from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

const MIB = 1n << 20n;
/** As the original's test: twenty mebibytes in one process that has ten. */
const ALLOCATE = 'head -c 20m /dev/zero | tail -c 20m > /dev/null';
const EVENT = 'out of memory';

/** Generous: the kernel logs a kill to a slow console, and the machine may be busy. */
const PATIENCE = { timeout: patience(20_000), interval: 50 };

async function eventually(box: ClientContainer): Promise<void> {
  await expect.poll(async () => (await box.info()).events, PATIENCE).toEqual([EVENT]);
  await expect.poll(async () => (await box.info()).state, PATIENCE).toBe('stopped');
}

function memoryGroup(daemon: TestDaemon, id: string): string {
  return cgroupParents(daemon.place.name)
    .map((parent) => path.join(parent, `instance-${id}`))
    .find((group) => fs.existsSync(killFile(group)))!;
}

/** Where the kernel counts kills: of v1, or of v2. */
function killFile(group: string): string {
  const first = path.join(group, 'memory.oom_control');
  return fs.existsSync(first) ? first : path.join(group, 'memory.events');
}

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory'], 'memory that runs out', () => {
  const suite = withDaemon();

  it('stops the container and is an event [behaviour 7] [linux-container 25 limit_memory]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitMemory(10n * MIB)).toBe(10n * MIB);
    const { events } = (await box.run(ALLOCATE)).info;
    expect(events).toEqual([EVENT]);
    await eventually(box);
    await expect(box.spawn('true')).rejects.toMatchObject({
      message: "Container state must be one of 'active', current state is 'stopped'",
    });
  });

  it('is stopped gracefully: what is left gets SIGTERM first [behaviour 7]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.limitMemory(10n * MIB);
    const witness = await box.spawn(
      'trap "echo told; exit 17" TERM; echo ready; while :; do sleep 0.05; done',
    );
    const output = witness.stream();
    expect((await output.next()).done).toBe(false); // its trap is set
    await box.spawn(ALLOCATE);
    const { exitStatus, stdout, info } = await witness.link();
    expect([exitStatus, text(stdout)]).toEqual([17, 'ready\ntold\n']);
    expect(info.events).toEqual([EVENT]);
    await output.return(undefined as never);
  });

  it('is in the info of the very answer that tells of the victim, whatever its status [behaviour 7 New]', async () => {
    const warden = await suite.daemon.connect();
    for (let round = 0; round < 5; round++) {
      await using box = await warden.create();
      await box.limitMemory(10n * MIB);
      // the shell itself lives on and ends as it likes; and one whose shell is the victim
      const script = round % 2 === 0 ? `${ALLOCATE}; exit 0` : 'x=x; while :; do x=$x$x; done';
      const job = await box.spawn(script);
      const info = round % 3 === 0 ? await endOfStream(job) : (await job.link()).info;
      expect(info.events, `round ${round}`).toEqual([EVENT]);
    }
  });

  it('happens once for many kills, and stays an event for good [behaviour 7]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.limitMemory(10n * MIB);
    await box.run(`trap "" TERM; for i in 1 2 3; do (${ALLOCATE}); done`);
    await eventually(box);
    await box.stop();
    expect((await box.info()).events).toEqual([EVENT]);
  });

  it('counts what is in /dev/shm: 30 of 32 MiB fit, 45 do not [behaviour 15.2] [linux-container 25 /dev/shm]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.limitMemory(32n * MIB);
    const fits = await box.run(
      'dd if=/dev/zero of=/dev/shm/file bs=1M count=30 2>&1; stat -c %s /dev/shm/file',
    );
    expect([fits.exitStatus, text(fits.stdout).split('\n').at(-2)]).toEqual([0, String(30n * MIB)]);
    expect(fits.info).toMatchObject({ state: 'active', events: [] });
    await box.run('dd if=/dev/zero of=/dev/shm/file bs=1M count=45');
    await eventually(box);
  });

  it('concerns the one container only', async () => {
    const warden = await suite.daemon.connect();
    await using beside = await warden.create();
    await using box = await warden.create();
    await beside.limitMemory(10n * MIB);
    await box.limitMemory(10n * MIB);
    await box.run(ALLOCATE);
    await eventually(box);
    expect(await beside.info()).toMatchObject({ state: 'active', events: [] });
    expect((await beside.run('exit 3')).exitStatus).toBe(3);
  });

  it('is no event where no limit was set, and none when a container ends [behaviour 7]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    expect((await box.run(ALLOCATE)).exitStatus).toBe(0);
    await box.limitMemory(64n * MIB);
    await box.stop({ kill: true });
    expect(await box.info()).toMatchObject({ state: 'stopped', events: [] });
  });

  it('costs no descriptor: watches end with stop and destroy [linux-container 14]', async () => {
    const { daemon } = suite;
    await using warm = await (await daemon.connect()).create(); // what a daemon opens once is not a leak
    await warm.limitMemory(64n * MIB);
    await warm.stop({ kill: true });
    const before = takeInventory(daemon.place, daemon.pid);
    const warden = await daemon.connect();
    for (let round = 0; round < 4; round++) {
      const boxes = await Promise.all([1, 2, 3, 4].map(() => warden.create()));
      for (const box of boxes) {
        await box.limitMemory(64n * MIB);
        await box.limitMemory(32n * MIB);
      }
      await boxes[0]!.limitMemory(10n * MIB);
      await boxes[0]!.run(ALLOCATE);
      await boxes[1]!.stop({ kill: true });
      await boxes[1]!.limitMemory(16n * MIB); // a stopped one is not watched again
      await Promise.all(boxes.map((box) => box.destroy()));
    }
    await warden.close();
    expect(await remainingLeaks(daemon.place, before, { daemonPid: daemon.pid })).toEqual([]);
  });
});

async function endOfStream(
  job: Awaited<ReturnType<ClientContainer['spawn']>>,
): Promise<{ events: readonly string[] }> {
  const chunks = job.stream();
  for (;;) {
    const next = await chunks.next();
    if (next.done) return next.value.info;
  }
}

describeWith(
  ['root', 'isolated', 'overlayfs', 'cgroup-memory'],
  'memory that runs out around a restart',
  () => {
    it.each(['SIGTERM', 'SIGKILL'] as const)(
      'stops the container after a daemon ended by %s has a successor [linux-container 25 limit_memory]',
      async (signal) => {
        await withRestart(
          signal,
          async () => {},
          async (box) => {
            expect((await box.info()).state).toBe('active');
            expect((await box.run(ALLOCATE)).info.events).toEqual([EVENT]);
            await eventually(box);
          },
        );
      },
    );

    it('is found out by the next daemon when it happened while none was there [behaviour 7 New]', async () => {
      await withRestart(
        'SIGKILL',
        async (daemon, box) => {
          const group = memoryGroup(daemon, box.handle);
          const kills = (): string => fs.readFileSync(killFile(group), 'utf8');
          fs.writeFileSync(sharedFile(daemon, 'go'), '');
          await expect.poll(kills, PATIENCE).toMatch(/^oom_kill [1-9]/m);
        },
        eventually,
      );
    });

    function sharedFile({ place }: TestDaemon, name: string): string {
      return path.join(place.directory, 'shared', name);
    }

    async function withRestart(
      signal: NodeJS.Signals,
      between: (daemon: TestDaemon, box: ClientContainer) => Promise<void>,
      after: (box: ClientContainer) => Promise<void>,
    ): Promise<void> {
      let daemon = await startDaemon();
      const { place } = daemon;
      const before = takeInventory(place);
      try {
        const directory = path.dirname(sharedFile(daemon, 'go'));
        fs.mkdirSync(directory);
        const warden = await daemon.connect();
        const box = await warden.create({
          bindMounts: [{ source: directory, target: '/shared', mode: 'rw' }],
        });
        await box.limitMemory(10n * MIB);
        await box.spawn(`until [ -e /shared/go ]; do sleep 0.05; done; ${ALLOCATE}`);
        await daemon.kill(signal);
        await between(daemon, box);
        daemon = await startDaemon({ place });
        const again = (await daemon.connect()).container(box.handle);
        expect(await again.limitMemory()).toBe(10n * MIB);
        await after(again);
      } finally {
        await daemon.stop();
        await daemon.kill();
        try {
          expect((await remainingLeaks(place, before)).filter((line) => !line.includes('wardend'))).toEqual(
            [],
          );
        } finally {
          await place.remove();
        }
      }
    }
  },
);
