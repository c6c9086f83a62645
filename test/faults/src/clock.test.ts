/** The wall clock jumps by years while the daemon runs: nothing that waits, times out or is counted goes by it. */
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, makePlace, OUTSIDE_ADDRESS, patience } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { withBench } from './place-suite.ts';

const YEAR = 365 * 86_400_000;
const CLOCK = path.join(import.meta.dirname, 'clock.mjs');

describeWith(['root', 'isolated', 'overlayfs'], 'the wall clock jumps', () => {
  it.each([
    ['forward', YEAR],
    ['back', -YEAR],
  ])(
    '%s a year: grace times, time limits, requests to the kernel and identities hold',
    async (_, jump) => {
      const place = await makePlace();
      const file = path.join(place.directory, 'clock');
      const set = (milliseconds: number): void => fs.writeFileSync(file, String(milliseconds));
      set(0);
      const environment = { NODE_OPTIONS: `--import=${CLOCK}`, WARDEN_TEST_CLOCK: file };
      await withBench({ place, environment }, async (bench) => {
        const warden = await bench.daemon.connect();
        const told = (message: string): number[] =>
          bench.daemon
            .readLog()
            .split('\n')
            .filter((line) => line.includes(`"${message}"`))
            .map((line) => JSON.parse(line).timestamp as number);
        const box = await warden.create({ handle: 'box' });
        const leaver = await bench.daemon.connect();
        await leaver.create({ handle: 'left', graceTime: 5 });
        const job = await box.spawn('sleep 2; exit 7');
        const left = performance.now(); // before the daemon begins to count
        await leaver.close();
        set(jump);
        // netlink has time limits of its own, and so has a stop
        const { hostPort } = await box.netIn();
        await box.netOut({ network: OUTSIDE_ADDRESS, port: 7, protocol: 'tcp' });
        expect((await box.run('exit 4')).exitStatus).toBe(4);
        expect(await warden.list(), 'before the grace time is over').toContain('left');
        expect(performance.now() - left).toBeLessThan(patience(5_000));
        await expect.poll(() => warden.list(), { timeout: patience(20_000) }).toEqual(['box']);
        expect(performance.now() - left).toBeGreaterThan(4_900);
        expect((await job.link()).exitStatus).toBe(7);
        expect(
          Math.abs(told('grace-time-over')[0]! * 1_000 - Date.now() - jump),
          'the log has the clock',
        ).toBeLessThan(3_600_000);
        const second = await warden.create();
        const ids = [box, second].map(async (one) => path.basename((await one.info()).containerPath!));
        const [first, later] = await Promise.all(ids);
        expect(later! > first!, 'identities go up').toBe(true);
        await bench.restart();
        const next = await bench.daemon.connect();
        expect(await next.list()).toEqual(['box', second.handle]);
        const third = await next.create();
        const id = path.basename((await third.info()).containerPath!);
        expect([first, later]).not.toContain(id);
        expect((await next.container('box').netIn({ hostPort })).hostPort).toBe(hostPort);
      });
    },
    120_000,
  );
});
