/** kill -9 of the daemon: containers, jobs, output and statuses are all there for the next one. */
import fs from 'node:fs';
import path from 'node:path';
import {
  describeWith,
  HOST_ADDRESS,
  OUTSIDE_ADDRESS,
  patience,
  startDaemon,
  takeInventory,
} from '@warden/test-harness';
import { expect, it } from 'vitest';
import { endCleanly } from './end-cleanly.ts';
import { text } from './text.ts';

function isAlive(pid: number): boolean {
  return fs.existsSync(`/proc/${pid}`);
}

describeWith(['root', 'isolated', 'overlayfs'], 'a killed daemon', () => {
  it('finds its containers and jobs again, and cleans what died meanwhile', async () => {
    let daemon = await startDaemon();
    const { place } = daemon;
    const before = takeInventory(place);
    try {
      const warden = await daemon.connect();
      const box = await warden.create({ handle: 'survivor' });
      const { containerIp: address, containerPath } = await box.info();
      const ending = await box.spawn('sleep 0.5; echo printed while away; exit 21');
      const lasting = await box.spawn('trap "exit 22" TERM; while :; do sleep 0.05; done');
      const later = [await box.spawn('sleep 1000'), await box.spawn('sleep 1000')];
      const init = fs.readFileSync(path.join(containerPath!, 'run/wshd.pid'), 'utf8').trim();
      await daemon.kill('SIGKILL');
      const children = (): number =>
        fs.readFileSync(`/proc/${init}/task/${init}/children`, 'utf8').trim().split(' ').length;
      await expect.poll(children, { timeout: patience(20_000) }).toBe(3);

      daemon = await startDaemon({ place });
      const again = await daemon.connect();
      expect(await again.list()).toEqual(['survivor']);
      const same = again.container('survivor');
      const info = await same.info();
      expect(info).toMatchObject({ state: 'active', containerIp: address });
      expect(info.jobIds, 'in the order in which they were started').toEqual(
        [lasting, ...later].map(({ id }) => id),
      );
      const result = await same.job(ending.id).link();
      expect([text(result.stdout), result.exitStatus]).toEqual(['printed while away\n', 21]);
      expect(text((await same.run('echo alive')).stdout)).toBe('alive\n');
      const waiting = same.job(lasting.id).link();
      await same.stop();
      expect((await waiting).exitStatus).toBe(22);
      await same.destroy();
      const other = await again.create();
      expect((await other.info()).containerIp).not.toBe(undefined);
      await other.destroy();
    } finally {
      await endCleanly(daemon, before);
    }
  });

  it('leaves containers running after SIGTERM and takes their place in the pools into account', async () => {
    let daemon = await startDaemon({
      config: { network: { pool_network: '10.254.0.0/29', release_delay: 0 } },
    });
    const { place } = daemon;
    try {
      const box = await (await daemon.connect()).create();
      await daemon.kill('SIGTERM');
      daemon = await startDaemon({
        place,
        config: { network: { pool_network: '10.254.0.0/29', release_delay: 0 } },
      });
      const again = await daemon.connect();
      expect(await again.list()).toEqual([box.handle]);
      const second = await again.create();
      await expect(again.create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
      await second.destroy();
    } finally {
      await daemon.stop();
      await daemon.kill();
      await place.remove();
    }
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'nft'], 'a daemon', () => {
  it('that was putting lost rules back when it was killed leaves everybody denied, and the next one puts them back', async () => {
    let daemon = await startDaemon();
    const { place } = daemon;
    const before = takeInventory(place);
    const { host, outside } = place.network;
    try {
      const warden = await daemon.connect();
      const ports = new Map<string, number>();
      for (const handle of ['one', 'two']) {
        const box = await warden.create({ handle });
        await box.spawn('while :; do echo hello | nc -l -p 8080; done');
        ports.set(handle, (await box.netIn({ containerPort: 8080 })).hostPort);
        await box.netOut({ network: OUTSIDE_ADDRESS, port: 7001 });
      }
      await daemon.kill();
      daemon = await startDaemon({
        place,
        // once when it starts
        environment: { WARDEN_FAILPOINT: 'nftables.setup=1*off->kill' },
      });
      host.run('nft', 'flush', 'ruleset');
      await expect.poll(() => isAlive(daemon.pid), { timeout: patience(20_000) }).toBe(false);
      const table = (): string => host.run('nft', 'list', 'table', 'inet', place.name);
      expect(table()).toMatch(/drop/);
      expect(table()).not.toMatch(/dport 7001/);
      daemon = await startDaemon({ place });
      const again = await daemon.connect();
      expect(await again.list()).toEqual(['one', 'two']);
      for (const [handle, port] of ports) {
        expect(outside.run('bash', '-c', `exec 3<>/dev/tcp/${HOST_ADDRESS}/${port}; cat <&3`)).toBe(
          'hello\n',
        );
        expect(await again.container(handle).netRules()).toMatchObject({ ports: [{ hostPort: port }] });
      }
      expect(table().match(/dport 7001/g)).toHaveLength(2);
    } finally {
      await endCleanly(daemon, before);
    }
  });
});
