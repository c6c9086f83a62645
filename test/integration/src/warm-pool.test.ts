/**
 * `server.warm_containers` with real containers: the client sees nothing of it but the speed, and the host
 * nothing when the daemon has gone.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import {
  describeWith,
  patience,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';
import { expect, it, vi } from 'vitest';
import { text } from './text.ts';

const PREPARED = 3;
const WARM = { server: { warm_containers: PREPARED } };

/** Directories of containers that are complete, claimed or not. */
function containers(place: TestPlace): string[] {
  return fs
    .readdirSync(place.depot)
    .filter((name) => !name.startsWith('.') && fs.existsSync(path.join(place.depot, name, 'run/wshd.pid')))
    .sort();
}

function state(place: TestPlace, id: string): string {
  return JSON.parse(fs.readFileSync(path.join(place.depot, id, 'snapshot.json'), 'utf8')).state;
}

async function prepared(place: TestPlace, count: number): Promise<string[]> {
  return await vi.waitFor(
    () => {
      const born = containers(place).filter((id) => state(place, id) === 'born');
      expect(born).toHaveLength(count);
      return born;
    },
    { timeout: patience(30_000), interval: 20 },
  );
}

async function pathOf(box: ClientContainer): Promise<string> {
  return String((await box.info()).containerPath);
}

async function cleanly(
  body: (start: (config?: object) => Promise<TestDaemon>) => Promise<void>,
): Promise<void> {
  let daemon = await startDaemon(); // only for the place, and for what it leaves when nothing was prepared
  const { place } = daemon;
  await daemon.stop();
  const before = takeInventory(place);
  try {
    await body(async (config = WARM) => {
      daemon = await startDaemon({ place, config: config as typeof WARM });
      return daemon;
    });
    await daemon.stop();
    expect(await remainingLeaks(place, before)).toEqual([]);
  } finally {
    await daemon.kill();
    await place.remove();
  }
}

describeWith(['root', 'isolated', 'overlayfs'], 'prepared containers', () => {
  it('are claimed and replaced, and work as any other: address, ports, jobs, events, destroy', async () => {
    await cleanly(async (start) => {
      const daemon = await start();
      const client = await daemon.connect();
      const born = await prepared(daemon.place, PREPARED);
      expect(await client.list()).toEqual([]);
      const box = await client.create({ handle: 'claimed', graceTime: 60 });
      const info = await box.info();
      expect(born).toContain(path.basename(String(info.containerPath)));
      expect(info).toMatchObject({ state: 'active', events: [], jobIds: [] });
      expect(text((await box.run('hostname; id -un')).stdout)).toBe(
        `${path.basename(String(info.containerPath))}\nvcap\n`,
      );
      const { hostPort } = await box.netIn();
      expect(hostPort).toBeGreaterThan(0);
      expect(await client.list()).toEqual(['claimed']);
      await prepared(daemon.place, PREPARED);
      await box.stop();
      expect((await box.info()).state).toBe('stopped');
      await box.destroy();
      expect(await client.list()).toEqual([]);
      await prepared(daemon.place, PREPARED);
    });
  });

  it('are told apart by what a request names', async () => {
    await cleanly(async (start) => {
      const daemon = await start();
      const client = await daemon.connect();
      const born = await prepared(daemon.place, PREPARED);
      const source = fs.mkdtempSync('/tmp/warden-warm-source-');
      try {
        fs.chmodSync(source, 0o755); // for the user inside
        fs.writeFileSync(path.join(source, 'file'), 'mine');
        const box = await client.create({ bindMounts: [{ source, target: '/mnt', mode: 'ro' }] });
        expect(born).not.toContain(box.handle);
        expect(text((await box.run('cat /mnt/file')).stdout)).toBe('mine');
        const containerPath = await pathOf(box);
        const held = JSON.parse(
          fs.readFileSync(path.join(daemon.place.depot, born[0]!, 'snapshot.json'), 'utf8'),
        );
        const other = await client.create({ network: held.resources.network });
        expect((await other.info()).hostIp).toMatch(held.resources.network.split('.').slice(0, 3).join('.'));
        expect(containerPath).not.toBe(await pathOf(other));
        expect(text((await other.run('echo works')).stdout)).toBe('works\n');
        expect(containers(daemon.place)).not.toContain(born[0]);
        await box.destroy();
        await other.destroy();
      } finally {
        fs.rmSync(source, { recursive: true });
      }
    });
  });

  it('never make a pool smaller: as many containers as without them, then the same error', async () => {
    const pool = { network: { pool_network: '10.254.0.0/28', release_delay: 0 } };
    await cleanly(async (start) => {
      const daemon = await start({ ...WARM, ...pool });
      const client = await daemon.connect();
      await prepared(daemon.place, PREPARED);
      const boxes = await Promise.all(Array.from({ length: 4 }, () => client.create()));
      expect(new Set(boxes.map(({ handle }) => handle)).size).toBe(4);
      await expect(client.create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
      await Promise.all(boxes.map((box) => box.destroy()));
    });
  });

  it('go with a daemon that ends, and claimed ones stay', async () => {
    await cleanly(async (start) => {
      let daemon = await start();
      await prepared(daemon.place, PREPARED);
      const box = await (await daemon.connect()).create();
      await prepared(daemon.place, PREPARED);
      await daemon.kill('SIGTERM');
      expect(containers(daemon.place)).toEqual([box.handle]);
      daemon = await start();
      const again = await daemon.connect();
      expect(await again.list()).toEqual([box.handle]);
      expect(text((await again.container(box.handle).run('echo alive')).stdout)).toBe('alive\n');
      await prepared(daemon.place, PREPARED);
    });
  });

  it.each(['SIGKILL', 'SIGUSR2'] as const)(
    'leave nothing after %s: the next daemon has its own',
    async (signal) => {
      await cleanly(async (start) => {
        let daemon = await start();
        const before = await prepared(daemon.place, PREPARED);
        const box = await (await daemon.connect()).create({ handle: 'survivor' });
        const containerPath = await pathOf(box);
        await daemon.kill(signal);
        daemon = await start({});
        const again = await daemon.connect();
        expect(await again.list()).toEqual(['survivor']);
        expect(containers(daemon.place)).toEqual([path.basename(containerPath)]);
        expect(before).toContain(path.basename(containerPath));
        expect((await again.container('survivor').run('exit 5')).exitStatus).toBe(5);
      });
    },
  );

  it.each([
    ['create.snapshot', 'survivor'],
    ['create.register', 'survivor'],
    ['record.write', 'survivor'],
    ['record.open', undefined],
  ])('a kill at %s of a claim leaves all of the container or nothing', async (failpoint, left) => {
    await cleanly(async (start) => {
      const first = await start({});
      const { place } = first;
      await first.kill('SIGTERM');
      const file = path.join(place.directory, 'failpoints');
      fs.writeFileSync(file, '');
      let daemon = await startDaemon({ place, config: WARM, environment: { WARDEN_FAILPOINT: `@${file}` } });
      try {
        await prepared(place, PREPARED);
        const client = await daemon.connect();
        fs.writeFileSync(file, `${failpoint}=kill`);
        await expect(client.create({ handle: 'survivor' })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      } finally {
        await daemon.kill();
      }
      daemon = await start({});
      const again = await daemon.connect();
      expect(await again.list()).toEqual(left === undefined ? [] : [left]);
      expect(containers(place)).toHaveLength(left === undefined ? 0 : 1);
      if (left !== undefined) expect((await again.container(left).run('exit 4')).exitStatus).toBe(4);
    });
  });
});
