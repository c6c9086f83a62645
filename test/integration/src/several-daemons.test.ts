/** Several daemons on one host: each has its own pools, or does not start. */
import fs from 'node:fs';
import path from 'node:path';
import {
  describeWith,
  makePlace,
  startDaemon,
  sweepGroups,
  type TestDaemon,
  type TestPlace,
} from '@warden/test-harness';
import { afterEach, beforeEach, expect, it } from 'vitest';

describeWith(['root', 'isolated', 'overlayfs'], 'a second daemon on one host', () => {
  let place: TestPlace;
  let beside: TestPlace;
  const running: TestDaemon[] = [];
  beforeEach(async () => {
    place = await makePlace();
    const directory = path.join(place.directory, 'beside');
    const depot = path.join(directory, 'depot');
    fs.mkdirSync(depot, { recursive: true, mode: 0o700 });
    beside = {
      ...place,
      directory,
      depot,
      socket: path.join(directory, 'warden.sock'),
      log: path.join(directory, 'wardend.log'),
      name: `${place.name}-b`,
    };
  });
  afterEach(async () => {
    for (const daemon of running.splice(0)) {
      await daemon.stop();
      await daemon.kill();
    }
    await sweepGroups(beside.name); // as the place does for its own
    fs.rmSync(path.join('/run/warden', `${beside.name}.lock`), { force: true });
    await place.remove();
  });
  const start = async (
    at: TestPlace,
    config: Record<string, Record<string, unknown>> = {},
  ): Promise<void> => {
    running.push(await startDaemon({ place: at, config }));
  };
  const PORTS = { port: { pool_start_port: 63_000, pool_size: 1_000 } };
  const FEW = { port: { pool_start_port: 61_000, pool_size: 1_000 } };

  it('is refused with the same pool of networks, and starts with another one [config 3]', async () => {
    await start(place, FEW);
    await expect(start(beside, PORTS)).rejects.toThrow(
      `network.pool_network: 10.254.0.0/22 overlaps 10.254.0.0/22 of the running wardend ${place.name} (pid ${running[0]!.pid}, depot ${place.depot})`,
    );
    await start(beside, { ...PORTS, network: { pool_network: '10.253.0.0/24' } });
    // users in common are told and no more
    expect(running[1]!.readLog()).toContain('"pool-shared"');
  });

  it('is refused with the same ports [config 3]', async () => {
    await start(place);
    await expect(start(beside, { network: { pool_network: '10.253.0.0/24' } })).rejects.toThrow(
      /port\.pool_start_port: \d+ to \d+ overlaps/,
    );
  });

  it('starts when the first one was killed', async () => {
    await start(place);
    await running[0]!.kill('SIGKILL');
    await start(beside);
  });

  it('starts beside one in another network namespace with the same pool', async () => {
    const elsewhere = await makePlace();
    try {
      await start(elsewhere);
      await start(place);
    } finally {
      for (const daemon of running.splice(0)) await daemon.stop();
      await elsewhere.remove();
    }
  });
});
