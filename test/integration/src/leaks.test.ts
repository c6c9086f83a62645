/** Many containers, many jobs, then an audit of everything a host can show. */
import { describeWith, remainingLeaks, takeInventory, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

describeWith(['root', 'isolated', 'overlayfs'], 'after a busy day', () => {
  const suite = withDaemon({ config: { network: { release_delay: 0 } } });

  it('nothing is left: processes, mounts, cgroups, namespaces, links, rules, sockets, descriptors', async () => {
    await (await (await suite.daemon.connect()).create()).destroy(); // what a daemon opens once is not a leak
    const before = takeInventory(suite.daemon.place, suite.daemon.pid);
    const warden = await suite.daemon.connect();
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        Array.from({ length: 12 }, async (_, at) => {
          const box = await warden.create();
          await Promise.all([box.run(`echo ${at}`), box.run('sleep 0.05 & exit 3'), box.spawn('sleep 100')]);
          if (at % 3 === 0) await box.stop({ kill: true });
          await box.destroy();
        }),
      );
    }
    await warden.close();
    expect(await remainingLeaks(suite.daemon.place, before, { daemonPid: suite.daemon.pid })).toEqual([]);
  }, 120_000);
});
