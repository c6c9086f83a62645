/**
 * Races against the moments in which something could be reached. Each counts its windows; without enough of
 * them it has proved nothing and fails as inconclusive. The long form goes on until 10,000 are hit, or its
 * time is over: on a busy machine the table says how many there were.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer, WardenClient } from '@warden/client';
import { describeWith, withDaemon } from '@warden/test-harness';
import { beforeAll, expect, it, vi } from 'vitest';
import { giveBirth } from './births.ts';
import { makeImage } from './image.ts';
import { hostFacts, makeSentinel, times, until } from './place.ts';
import { addRow } from './report.ts';
import { text } from './text.ts';

/**
 * Windows after which a race has tried enough, and seconds it may take: on a quiet machine of two processors
 * 10,000 need some five minutes.
 */
const ENOUGH = times(10_000, 60);
const SECONDS = times(900, 6);
/** Copies and creations at a time: each waits now and then. */
const LANES = 4;
/** What a copy may answer when the container has put something else where it looks. */
const REFUSED = /^(COMMAND_FAILED|FORBIDDEN|NATIVE_FAILED|INVALID_SPEC)$/;

vi.setConfig({ testTimeout: (SECONDS + 300) * 1000 });

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'races', () => {
  const suite = withDaemon();
  let warden: WardenClient;
  let image = '';
  let sentinel = '';
  let facts = '';

  beforeAll(async () => {
    warden = await suite.daemon.connect();
    image = path.join(suite.daemon.place.directory, 'image');
    makeImage(image);
    sentinel = makeSentinel(suite.daemon.place);
    // what the races look for under the names they swap
    fs.copyFileSync(sentinel, path.join(path.dirname(sentinel), 'file'));
    facts = hostFacts(sentinel);
  });

  function held(name: string, role: 'user' | 'root', windows: number, least: number): void {
    addRow(
      'races',
      name,
      role,
      windows < least ? `inconclusive ${windows} windows` : `refused in ${windows} windows`,
    );
    expect(windows, `inconclusive: ${name} hit ${windows} windows`).toBeGreaterThanOrEqual(least);
    expect(hostFacts(sentinel)).toBe(facts);
  }

  /**
   * Starts a race in the container and answers its last line when `whileRacing` is done and the race has
   * ended by itself.
   */
  async function race(
    box: ClientContainer,
    words: string,
    whileRacing: (isOver: () => boolean) => Promise<void>,
    privileged = true,
  ): Promise<Map<string, number>> {
    const job = await box.spawn(`exec abuse-probe race ${words}`, { privileged });
    let isOver = false;
    const ended = job.result().finally(() => {
      isOver = true;
    });
    const [result] = await Promise.all([ended, whileRacing(() => isOver)]);
    expect(text(result.stderr)).toBe('');
    const words_ = text(result.stdout).trim().split('\n').at(-1)!.split(' ');
    return new Map(
      words_.flatMap((word, at) => (at % 2 === 0 ? [[word, Number(words_[at + 1])] as const] : [])),
    );
  }

  /** All lanes at once; then what swaps is no longer needed. */
  async function inLanes(box: ClientContainer, lane: (number: number) => Promise<void>): Promise<void> {
    const lanes = await Promise.allSettled(Array.from({ length: LANES }, (_none, number) => lane(number)));
    await box.run('pkill abuse-probe', { privileged: true });
    for (const one of lanes) if (one.status === 'rejected') throw one.reason;
  }

  it.each([
    ['root', true],
    ['user', false],
  ] as const)(
    'a job of %s is out of reach between its birth in init and its exec [SECURITY E07 E20 E22]',
    async (role, privileged) => {
      await using box = await warden.create({ rootfs: image });
      const found = await race(
        box,
        `--sentinel ${sentinel} newcomers ${SECONDS} ${ENOUGH}`,
        async (isOver) => {
          const births = giveBirth((await box.info()).containerPath!, privileged ? 'root' : 'vcap');
          try {
            await until(() => isOver() || births.isGone);
            expect(births.isGone).toBe(false);
          } finally {
            await births.stop();
          }
        },
        privileged,
      );
      for (const way of ['exe', 'write', 'fd', 'mem', 'trace', 'cwd']) expect(found.get(way), way).toBe(0);
      held('race/newcomers', role, found.get('windows')!, times(1000, 10));
    },
  );

  it("init's program and descriptors cannot be opened for writing however often one tries [SECURITY E07]", async () => {
    await using box = await warden.create({ rootfs: image });
    const program = `${(await box.info()).containerPath}/bin/wshd`;
    const before = fs.readFileSync(program);
    const found = await race(box, `init-exe ${times(20, 2)}`, async () => {
      for (let i = 0; i < 20; i++) await box.run(':', { privileged: true });
    });
    expect(found.get('wins')).toBe(0);
    expect(fs.readFileSync(program).equals(before)).toBe(true);
    held('race/init-exe', 'root', found.get('tries')!, times(10_000, 1000));
  });

  it('a copy out of a name that is swapped for a link never brings a file of the host [SECURITY F01]', async () => {
    await using box = await warden.create({ rootfs: image });
    const outside = path.dirname(sentinel);
    await box.run(`mkdir ~/d; echo inside > ~/d/file; ln -s ../../../../../../../..${outside} ~/e`);
    const target = path.join(suite.daemon.place.directory, 'copied');
    let inside = 0;
    let refused = 0;
    await race(box, `swap /home/vcap/d /home/vcap/e ${SECONDS}`, (isOver) =>
      inLanes(box, async (lane) => {
        while (refused < ENOUGH && !isOver()) {
          try {
            await box.copyOut('/home/vcap/d/file', `${target}${lane}`);
            expect(fs.readFileSync(`${target}${lane}`, 'utf8')).toBe('inside\n');
            inside++;
          } catch (error) {
            expect(error).toMatchObject({ code: expect.stringMatching(REFUSED) });
            refused++;
          }
        }
      }),
    );
    expect(inside).toBeGreaterThan(0);
    // each refusal is a copy that found the link
    held('race/copy-out', 'root', refused, times(200, 5));
  });

  it('a copy into a name that is swapped for a link never leaves a file on the host [SECURITY F01 F07]', async () => {
    await using box = await warden.create({ rootfs: image });
    const outside = path.dirname(sentinel);
    await box.run(`mkdir ~/d; ln -s ../../../../../../../..${outside} ~/e`);
    const source = path.join(suite.daemon.place.directory, 'incoming');
    fs.writeFileSync(source, 'incoming');
    let arrived = 0;
    let refused = 0;
    await race(box, `swap /home/vcap/d /home/vcap/e ${SECONDS}`, (isOver) =>
      inLanes(box, async (lane) => {
        while (refused < ENOUGH && !isOver()) {
          try {
            await box.copyIn(source, `/home/vcap/d/${lane}`);
            arrived++;
          } catch (error) {
            expect(error).toMatchObject({ code: expect.stringMatching(REFUSED) });
            refused++;
          }
        }
      }),
    );
    expect(arrived).toBeGreaterThan(0);
    held('race/copy-in', 'root', refused, times(200, 5));
  });

  it('a bind mount into a directory that another container swaps for a link lands inside [SECURITY E49]', async () => {
    const shared = path.join(suite.daemon.place.directory, 'shared');
    const outside = path.dirname(sentinel);
    fs.mkdirSync(path.join(shared, 'd'), { recursive: true });
    fs.symlinkSync(`../../../../../../../..${outside}`, path.join(shared, 'e'));
    const what = path.join(suite.daemon.place.directory, 'what');
    fs.mkdirSync(what);
    await using swapper = await warden.create({
      rootfs: image,
      bindMounts: [{ source: shared, target: '/shared', mode: 'rw' }],
    });
    let byDirectory = 0;
    let byLink = 0;
    // each of these is bound by itself, and finds what stands there in its moment
    const names = Array.from({ length: 100 }, (_none, at) => `inner${at}`);
    const binds = names.map((name) => `/data/d/${name}`);
    // both exist, so that few are refused for what was swapped between two of their own steps
    for (const name of names)
      for (const place of [path.join(shared, 'd'), path.join(image, outside)])
        fs.mkdirSync(path.join(place, name), { recursive: true });
    await race(swapper, `swap /shared/d /shared/e ${SECONDS}`, (isOver) =>
      inLanes(swapper, async () => {
        while (Math.min(byDirectory, byLink) < ENOUGH && !isOver()) {
          const box = await warden
            .create({
              rootfs: image,
              bindMounts: [
                { source: shared, target: '/data', mode: 'rw' },
                ...binds.map((target) => ({ source: what, target, mode: 'rw' as const })),
              ],
            })
            .catch((error: unknown) => {
              expect(error).toMatchObject({ code: expect.stringMatching(REFUSED) });
              byLink++;
            });
          if (box === undefined) continue;
          const { stdout } = await box.run('cut -d" " -f5 /proc/self/mountinfo | grep inner');
          await box.destroy();
          const mounted = text(stdout).trim().split('\n');
          expect(mounted).toHaveLength(binds.length);
          const direct = mounted.filter((one) => one.startsWith('/data/')).length;
          byDirectory += direct;
          byLink += mounted.length - direct;
          expect(fs.readdirSync(outside).sort()).toEqual(['file', 'secret']);
        }
      }),
    );
    expect(byDirectory + byLink).toBeGreaterThan(0);
    held('race/bind-target', 'root', Math.min(byDirectory, byLink), times(500, 2));
  });
});
