/**
 * Many clients doing everything at once, inits that die, daemons that are killed: bounded in time,
 * deterministic in what must be true afterwards.
 */
import { isWardenError } from '@warden/interface';
import {
  describeWith,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  takeInventory,
} from '@warden/test-harness';
import { expect, it } from 'vitest';

const HANDLES = ['a', 'b', 'c', 'd', 'e', 'f'];
/** What may be answered while others destroy, stop and kill the same containers. */
const EXPECTED = new Set([
  'UNKNOWN_HANDLE',
  'UNKNOWN_JOB',
  'ALREADY_EXISTS',
  'BAD_STATE',
  'UNAVAILABLE',
  'ABORTED',
  'TIMEOUT',
]);

/** A reproducible sequence of numbers below `limit`. */
function numbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * limit);
  };
}

/** One client's random doings until `deadline`; answers errors that nobody may get. */
async function misbehave(daemon: TestDaemon, seed: number, deadline: number): Promise<string[]> {
  const pick = numbers(seed);
  const client = await daemon.connect();
  const wrong: string[] = [];
  while (Date.now() < deadline) {
    const box = client.container(HANDLES[pick(HANDLES.length)]!);
    const actions: (() => Promise<unknown>)[] = [
      () => client.create({ handle: box.handle }),
      () => client.create({ handle: box.handle }),
      () => box.run('echo x; exit 3'),
      () => box.run('setsid sleep 60 & sleep 60', { timeoutMs: 20 + pick(80) }),
      () => box.spawn('for i in 1 2 3; do echo $i; sleep 0.02; done'),
      () => box.spawn('trap "" TERM; sleep 30'),
      () => box.info(),
      () => client.list(),
      () => box.stop({ kill: true }),
      () => box.destroy(),
      () => box.run('kill -9 1; kill -9 -1', { privileged: true, timeoutMs: 200 }),
    ];
    try {
      await actions[pick(actions.length)]!();
    } catch (error) {
      if (!isWardenError(error) || !EXPECTED.has(error.code)) wrong.push(String(error));
    }
  }
  return wrong;
}

async function destroyEverything(daemon: TestDaemon): Promise<void> {
  const client = await daemon.connect();
  const handles = await client.list();
  await Promise.all(
    handles.map(async (handle) => {
      await client.container(handle).stop({ kill: true });
      await client.container(handle).destroy();
    }),
  );
  expect(await client.list()).toEqual([]);
}

const CONFIG = { network: { release_delay: 0 }, logging: { level: 'warn' } };

describeWith(['root', 'isolated', 'overlayfs'], 'turmoil', () => {
  it('leaves nothing and answers nothing strange', async () => {
    const daemon = await startDaemon({ config: CONFIG });
    const before = takeInventory(daemon.place);
    try {
      const deadline = Date.now() + 6_000;
      const wrong = (
        await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((seed) => misbehave(daemon, seed, deadline)))
      ).flat();
      expect(wrong).toEqual([]);
      await destroyEverything(daemon);
      expect(
        (await remainingLeaks(daemon.place, before)).filter((line) => !line.includes('wardend')),
      ).toEqual([]);
    } finally {
      await daemon.stop();
      await daemon.place.remove();
    }
  });

  it('survives being killed in the middle of it, again and again', async () => {
    let daemon = await startDaemon({ config: CONFIG });
    const { place } = daemon;
    const before = takeInventory(place);
    try {
      for (let round = 1; round <= 4; round++) {
        const deadline = Date.now() + 1_500;
        const doings = [1, 2, 3, 4].map((seed) =>
          misbehave(daemon, seed * 100 + round, deadline).catch(() => []),
        );
        await new Promise((resolve) => setTimeout(resolve, 400 + 150 * round));
        await daemon.kill('SIGKILL');
        await Promise.all(doings);
        daemon = await startDaemon({ place, config: CONFIG });
        const client = await daemon.connect();
        for (const handle of await client.list()) {
          const { state } = await client.container(handle).info();
          expect(['active', 'stopped']).toContain(state);
        }
        const fresh = await client.create();
        expect((await fresh.run('exit 4')).exitStatus).toBe(4);
        await fresh.destroy();
      }
      await destroyEverything(daemon);
      expect((await remainingLeaks(place, before)).filter((line) => !line.includes('wardend'))).toEqual([]);
    } finally {
      await daemon.stop();
      await daemon.kill();
      await place.remove();
    }
  }, 120_000);
});
