/**
 * The depot's file system is full, or fills up at each write in turn: what cannot be written down is refused
 * and undone, and nothing is lost.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer, WardenClient } from '@warden/client';
import { isWardenError } from '@warden/interface';
import { describeWith, makePlace, WARDEND } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { type Bench, withBench } from './place-suite.ts';

const PAGE = 4096;
/** So many pages are left to a create, one more each time, until it succeeds. */
const MOST_PAGES = 40;

/** Leaves `pages` pages of room. The answer gives the rest back. */
function fill(mount: string, pages = 0): () => void {
  const file = path.join(mount, 'filler');
  const descriptor = fs.openSync(file, 'w');
  let size = 0;
  for (const chunk of [Buffer.alloc(1 << 20, 1), Buffer.alloc(PAGE, 1)]) {
    try {
      for (;;) {
        const taken = fs.writeSync(descriptor, chunk);
        size += taken;
        if (taken < chunk.length) break;
      }
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
    }
  }
  fs.ftruncateSync(descriptor, Math.max(0, size - pages * PAGE));
  fs.closeSync(descriptor);
  return () => fs.rmSync(file, { force: true });
}

/** Leaves no inode. The answer gives all back. */
function fillInodes(mount: string): () => void {
  const directory = path.join(mount, 'fillers');
  fs.mkdirSync(directory);
  try {
    for (let at = 0; ; at++) fs.writeFileSync(path.join(directory, String(at)), '');
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  }
  return () => fs.rmSync(directory, { recursive: true });
}

/** The daemon makes its reserve behind its start. */
async function allFilesOf(reserve: string): Promise<void> {
  await expect.poll(() => fs.readdirSync(reserve).length, { timeout: 30_000 }).toBe(64);
}

/** Runs `body` with a daemon whose depot is on 64 MiB of its own. Its log is elsewhere. */
async function withSmall(
  body: (bench: Bench, mount: string) => Promise<void>,
  inodes = 16_384,
): Promise<void> {
  const mount = fs.mkdtempSync('/tmp/warden-small-');
  const options = `size=64m,mode=755,nr_inodes=${inodes}`;
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'warden-small', mount]);
  try {
    const place = await makePlace(mount);
    await withBench({ place }, (bench) => body(bench, mount));
  } finally {
    execFileSync('umount', ['-l', mount]);
    fs.rmdirSync(mount);
  }
}

/** The refusal says that there is no room. */
async function expectNoRoom(operation: Promise<unknown>): Promise<void> {
  const error: unknown = await operation.then(
    () => new Error('it succeeded on a full disk'),
    (reason: unknown) => reason,
  );
  if (!isWardenError(error)) throw error;
  expect(`${error.message} ${JSON.stringify(error.fields)}`).toMatch(/ENOSPC|no space left/i);
  expect(error.code).not.toBe('INTERNAL');
}

const RECORDED: Readonly<Record<string, (box: ClientContainer, warden: WardenClient) => Promise<unknown>>> = {
  create: (_, warden) => warden.create({ handle: 'fresh' }),
  'net in': (box) => box.netIn({ hostPort: 8_080 }),
  'net out': (box) => box.netOut({ network: '198.51.100.0/24' }),
  'a memory limit': (box) => box.limitMemory(1n << 27n),
  'cpu shares': (box) => box.limitCpu(300n),
  'a bandwidth limit': (box) => box.limitBandwidth({ rate: 1n << 20n, burst: 1n << 20n }),
};

describeWith(['root', 'isolated', 'overlayfs'], 'a full depot', () => {
  it.each(Object.entries(RECORDED))(
    'refuses %s, which must be written down, and does it when there is room',
    (_, operation) =>
      withSmall(async ({ daemon }, mount) => {
        const warden = await daemon.connect();
        const box = await warden.create({ handle: 'box' });
        const before = await box.info();
        const free = fill(mount);
        await expectNoRoom(operation(box, warden));
        await expectNoRoom(operation(box, warden));
        expect(await warden.list()).toEqual(['box']);
        expect((await box.info()).bandwidthStat).toEqual(before.bandwidthStat);
        free();
        await operation(box, warden);
        expect((await box.run('exit 3')).exitStatus).toBe(3);
      }),
  );

  it('lets jobs run, print and end, containers stop and be destroyed', () =>
    withSmall(async (bench, mount) => {
      const warden = await bench.daemon.connect();
      const [box, stopped, gone] = [
        await warden.create({ handle: 'box' }),
        await warden.create({ handle: 'stopped' }),
        await warden.create({ handle: 'gone' }),
      ];
      const running = await stopped.spawn('sleep 3600');
      const free = fill(mount);
      const spawned = await box.spawn('echo out; echo err >&2; exit 7');
      expect(await spawned.link()).toMatchObject({ exitStatus: 7, stdoutText: 'out\n', stderrText: 'err\n' });
      expect((await box.run('exit 3')).exitStatus).toBe(3);
      await stopped.stop({ kill: true }).catch((error: unknown) => expectNoRoom(Promise.reject(error)));
      expect((await stopped.info()).state).toBe('stopped');
      expect(await running.link()).toMatchObject({
        exitStatus: 255,
        verdict: { reason: 'container-stopped' },
      });
      await gone.destroy();
      expect(await warden.list()).toEqual(['box', 'stopped']);
      free();
      await stopped.stop();
      const next = await bench.restart();
      const client = await next.connect();
      expect(await client.list()).toEqual(['box', 'stopped']);
      expect((await client.container('stopped').info()).state).toBe('stopped');
    }));

  it.each([
    ['blocks', (mount: string) => fill(mount)],
    ['inodes', (mount: string) => fillInodes(mount)],
  ])(
    'lets the next daemon start, which finds everything and can destroy: it lacks %s',
    (_, full) =>
      withSmall(async (bench, mount) => {
        const reserve = path.join(bench.place.depot, '.reserve');
        const warden = await bench.daemon.connect();
        const box = await warden.create({ handle: 'box' });
        await warden.create({ handle: 'gone' });
        const job = await box.spawn('echo out; sleep 1; echo later; exit 7');
        await allFilesOf(reserve);
        const free = full(mount);
        const next = await bench.restart();
        expect(fs.existsSync(reserve)).toBe(false);
        const client = await next.connect();
        expect(await client.list()).toEqual(['box', 'gone']);
        await client.container('gone').destroy();
        const again = client.container('box');
        expect(await again.job(job.id).link()).toMatchObject({ exitStatus: 7, stdoutText: 'out\nlater\n' });
        expect((await again.run('exit 3')).exitStatus).toBe(3);
        free();
        await bench.restart();
        await allFilesOf(reserve);
      }, 1_024),
    120_000,
  );

  it(
    'keeps everything where there is nothing in reserve any more: the next daemon says that there is no room, and what to do',
    () =>
      withSmall(async (bench, mount) => {
        const warden = await bench.daemon.connect();
        const box = await warden.create({ handle: 'box' });
        const job = await box.spawn('echo out; sleep 1; echo later; exit 7');
        const reserve = path.join(bench.place.depot, '.reserve');
        await allFilesOf(reserve);
        fs.rmSync(reserve, { recursive: true });
        const free = fill(mount);
        await expect(bench.restart()).rejects.toThrow(
          /the depot .* has no room for a start: 0 KiB and \d+ inodes are left \(ENOSPC\); make some on its file system, and start again/,
        );
        const words = [WARDEND, 'doctor', '--depot', bench.place.depot];
        const { stdout } = spawnSync(process.execPath, words, { encoding: 'utf8' });
        expect(stdout).toMatch(
          /NO {2}depot .*: there, and full: \d KiB and \d+ inodes are left\n +destroy containers, remove images, or make room/,
        );
        // what failed for want of room needs nothing else
        expect(stdout).toMatch(/NO {2}quota image: [\s\S]*No space left on device.*\n {7}destroy containers/);
        expect(stdout).not.toMatch(/modprobe overlay|install e2fsprogs/);
        free();
        const next = await bench.restart();
        const again = (await next.connect()).container('box');
        expect(await again.job(job.id).link()).toMatchObject({ exitStatus: 7, stdoutText: 'out\nlater\n' });
        expect((await again.run('exit 3')).exitStatus).toBe(3);
      }),
    120_000,
  );

  it(
    'that fills up at each write of a create in turn: each time it is undone, until there is room enough',
    () =>
      withSmall(async ({ daemon, place }, mount) => {
        const warden = await daemon.connect();
        const box = await warden.create({ handle: 'box' });
        let pages = 0;
        for (let isMade = false; !isMade; pages++) {
          expect(pages).toBeLessThan(MOST_PAGES);
          const free = fill(mount, pages);
          try {
            await warden.create({ handle: 'fresh' });
            isMade = true;
          } catch (error) {
            await expectNoRoom(Promise.reject(error));
            expect(await warden.list()).toEqual(['box']);
            expect(fs.readdirSync(place.depot).filter((name) => !name.startsWith('.'))).toHaveLength(1);
          } finally {
            free();
          }
        }
        expect(pages, 'writes at which it failed').toBeGreaterThan(2);
        expect((await warden.container('fresh').run('exit 3')).exitStatus).toBe(3);
        expect((await box.run('exit 4')).exitStatus).toBe(4);
      }),
    120_000,
  );
});
