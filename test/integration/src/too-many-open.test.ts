/**
 * The daemon has as many descriptors open as it may (spec behaviour.md 4: what cannot be done is refused):
 * nothing that runs is given up for it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer } from '@warden/client';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

/** More than a job may have by default, which could not be started otherwise. */
const LIMIT = 1_100;
const REFUSALS = 5;
const REFUSED = { code: 'NATIVE_FAILED', fields: { errno: 'EMFILE' } };

describeWith(['root', 'isolated', 'overlayfs'], 'a daemon that can open nothing more', () => {
  const suite = withDaemon({ wrapper: ['prlimit', `--nofile=${LIMIT}:${LIMIT}`] });

  /** Starts jobs, whose pipes take two descriptors each, until none can be started any more. */
  async function fill(filler: ClientContainer): Promise<void> {
    for (let refusals = 0; refusals < REFUSALS; ) {
      try {
        await filler.spawn('exec sleep 1000');
        refusals = 0;
      } catch (error) {
        expect(error).toMatchObject(REFUSED);
        refusals++;
        await delay(300); // statistics files stay open for a second
      }
    }
  }

  it.each([0, 1])(
    'refuses a job, and what runs goes on (%i connections more)',
    async (count) => {
      const owner = await suite.daemon.connect();
      await using box = await owner.create();
      const running = await box.spawn('read line; echo "$line"; exit 3', { stdin: 'pipe' });
      for (let i = 0; i < count; i++) await suite.daemon.connect();
      const filler = await owner.create();
      await fill(filler);
      await expect(box.run('exec sleep 999')).rejects.toMatchObject(REFUSED);
      await filler.destroy();
      expect((await box.info()).state).toBe('active');
      expect((await box.run('exit 4')).exitStatus).toBe(4);
      await running.write('still there\n');
      expect(await running.link()).toMatchObject({ exitStatus: 3, stdoutText: 'still there\n' });
      // what was started and could not be taken has ended
      const sleeping = async (): Promise<string> =>
        (await box.run('cat /proc/[1-9]*/comm | grep -c sleep')).stdoutText;
      await expect.poll(sleeping, { timeout: 20_000 }).toBe('0\n');
    },
    120_000,
  );
});
