/**
 * What a daemon does with containers of an earlier one that had another driver, other helpers, or left a
 * directory incomplete.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  describeWith,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  takeInventory,
} from '@warden/test-harness';
import { afterEach, expect, it } from 'vitest';
import { text } from './text.ts';

const PREBUILT = path.resolve(import.meta.dirname, `../../../packages/wshd/prebuilt/linux-${process.arch}`);

/** Of users of the host, without its end. */
type Range = readonly [first: number, end: number];

/** Those of a user namespace, by user_namespaces(7). */
function rangesIn(map: string): Range[] {
  const lines = map.trim().split('\n');
  return lines
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([, first = 0, count = 0]) => [first, first + count]);
}

function common(some: readonly Range[], others: readonly Range[]): Range[] {
  return others.filter(([first, end]) => some.some((one) => first < one[1] && one[0] < end));
}

let daemon: TestDaemon | undefined;
afterEach(async () => {
  const place = daemon?.place;
  await daemon?.stop();
  await daemon?.kill();
  await place?.remove();
  daemon = undefined;
});

describeWith(['root', 'isolated', 'overlayfs'], 'a daemon that follows another', () => {
  it.each([
    ['overlayfs', 'bind'],
    ['bind', 'overlayfs'],
  ])('keeps containers of %s and makes new ones with %s [drivers 5]', async (first, second) => {
    daemon = await startDaemon({ config: { drivers: { filesystem: first }, network: { release_delay: 0 } } });
    const { place } = daemon;
    const before = takeInventory(place);
    const old = await (await daemon.connect()).create({ handle: 'old' });
    await old.run('echo kept > ~/file');
    await daemon.kill();
    daemon = await startDaemon({
      place,
      config: { drivers: { filesystem: second }, network: { release_delay: 0 } },
    });
    const warden = await daemon.connect();
    const again = warden.container('old');
    expect(
      text((await again.run('cat ~/file; (: > /usr/x) 2>/dev/null; true', { privileged: true })).stdout),
    ).toBe('');
    expect(text((await again.run('cat ~/file')).stdout)).toBe('kept\n');
    const fresh = await warden.create({ handle: 'new' });
    const writable = async (box: typeof fresh): Promise<string> =>
      text(
        (await box.run('(: > /usr/written) 2>/dev/null && echo yes || echo no', { privileged: true })).stdout,
      );
    expect([await writable(again), await writable(fresh)]).toEqual(
      first === 'overlayfs' ? ['yes\n', 'no\n'] : ['no\n', 'yes\n'],
    );
    const { containerPath } = await again.info();
    await again.destroy();
    await fresh.destroy();
    expect(fs.existsSync(containerPath!)).toBe(false);
    await warden.close();
    expect((await remainingLeaks(place, before)).filter((line) => !line.includes('wardend'))).toEqual([]);
  });

  it('takes no container for lost that was made in another network namespace, nor one out of its pool', async () => {
    daemon = await startDaemon();
    const { place } = daemon;
    await (await daemon.connect()).create({ handle: 'lives' });
    await daemon.kill();
    daemon = await startDaemon({ place, wrapper: ['unshare', '--net', '--'] });
    expect(await (await daemon.connect()).list()).toEqual([]);
    expect(daemon.readLog()).toMatch(/container-quarantined.*was made in the network namespace net:/);
    await daemon.kill();
    const elsewhere = { network: { pool_network: '10.253.0.0/22' } };
    await expect(startDaemon({ place, config: elsewhere })).rejects.toThrow(
      /containers live outside of 10\.253\.0\.0\/22: lives \(10\.254\.0\.2\)/,
    );
    daemon = await startDaemon({ place });
    const warden = await daemon.connect();
    expect(await warden.list()).toEqual(['lives']);
    expect((await warden.container('lives').run('exit 3')).exitStatus).toBe(3);
  });

  it('that has no control groups knows who lives by the links, on another depot or with another pool', async () => {
    const drivers = { cgroup: 'none' };
    daemon = await startDaemon({ config: { drivers } });
    const { place } = daemon;
    await (await daemon.connect()).create({ handle: 'lives' });
    await daemon.kill();
    const container_depot_path = path.join(place.directory, 'other');
    await expect(
      startDaemon({ place, config: { drivers, server: { container_depot_path } } }),
    ).rejects.toThrow(/containers live that have no directory in the depot/);
    await expect(
      startDaemon({ place, config: { drivers, network: { pool_network: '10.253.0.0/22' } } }),
    ).rejects.toThrow(/containers live outside of 10\.253\.0\.0\/22: lives \(10\.254\.0\.2\)/);
    daemon = await startDaemon({ place, config: { drivers } });
    const warden = await daemon.connect();
    expect(await warden.list()).toEqual(['lives']);
    const { containerIp = '' } = await warden.container('lives').info();
    expect(place.network.host.run('ip', '-o', 'route', 'get', containerIp)).toMatch(/dev w-/);
  });

  it('gives no container users of the host that a living one has, wherever its own begin', async () => {
    daemon = await startDaemon({ config: { user: { pool_start_uid: 10_000, pool_size: 8 } } });
    const { place } = daemon;
    await (await daemon.connect()).create({ handle: 'old' });
    await daemon.kill();
    daemon = await startDaemon({ place, config: { user: { pool_start_uid: 10_001, pool_size: 8 } } });
    const warden = await daemon.connect();
    await warden.create({ handle: 'new' });
    const rangesOf = async (handle: string): Promise<readonly Range[]> =>
      rangesIn(text((await warden.container(handle).run('cat /proc/self/uid_map')).stdout));
    expect(common(await rangesOf('old'), await rangesOf('new'))).toEqual([]);
    expect(daemon.readLog()).toMatch(/uids-left-out/);
  });

  it('gives no container users of the host that one has whose record nobody can read', async () => {
    daemon = await startDaemon({ config: { user: { pool_start_uid: 10_000, pool_size: 8 } } });
    const { place } = daemon;
    const { containerPath } = await (await (await daemon.connect()).create({ handle: 'old' })).info();
    const pid = fs.readFileSync(path.join(containerPath!, 'run/wshd.pid'), 'utf8').trim();
    await daemon.kill();
    fs.writeFileSync(path.join(containerPath!, 'snapshot.json'), '{"broken"');
    const old = rangesIn(fs.readFileSync(`/proc/${pid}/uid_map`, 'utf8'));
    expect(old.length).toBeGreaterThan(1);
    for (const handle of ['set-aside-now', 'set-aside-before']) {
      daemon = await startDaemon({ place, config: { user: { pool_start_uid: 20_000, pool_size: 8 } } });
      const warden = await daemon.connect();
      const { stdout } = await (await warden.create({ handle })).run('cat /proc/self/uid_map');
      expect(common(old, rangesIn(text(stdout)))).toEqual([]);
      expect(daemon.readLog()).toMatch(/uids-left-out/);
      await warden.container(handle).destroy();
      await daemon.kill();
    }
  });

  it('removes a container whose etc/config is missing, and does not list it [linux-container 25 recovery, behaviour 15.5]', async () => {
    daemon = await startDaemon();
    const { place } = daemon;
    const box = await (await daemon.connect()).create({ handle: 'given-up' });
    const { containerPath } = await box.info();
    await daemon.kill();
    fs.rmSync(path.join(containerPath!, 'etc/config'));
    daemon = await startDaemon({ place });
    expect(await (await daemon.connect()).list()).toEqual([]);
    expect(fs.existsSync(containerPath!)).toBe(false);
  });

  it('accepts an etc/config with the nine keys of older ones, and keeps the helpers a container has [linux-container 1.1, 5.1]', async () => {
    daemon = await startDaemon();
    const { place } = daemon;
    const box = await (await daemon.connect()).create({ handle: 'older' });
    const { containerPath } = await box.info();
    const config = path.join(containerPath!, 'etc/config');
    fs.writeFileSync(config, fs.readFileSync(config, 'utf8').replace(/^network_ifb_iface=.*\n/m, ''));
    const program = fs.statSync(path.join(containerPath!, 'bin/wshd')).ino;
    // an upgrade: the daemon stages another build, whose bytes differ
    const binaries = fs.mkdtempSync(path.join(place.directory, 'binaries-'));
    for (const name of fs.readdirSync(PREBUILT)) {
      fs.copyFileSync(path.join(PREBUILT, name), path.join(binaries, name));
      fs.appendFileSync(path.join(binaries, name), 'another build');
    }
    await daemon.kill();
    daemon = await startDaemon({ place, environment: { WARDEN_WSHD_DIRECTORY: binaries } });
    const warden = await daemon.connect();
    expect(await warden.list()).toEqual(['older']);
    expect((await warden.container('older').run('exit 3')).exitStatus).toBe(3);
    expect(fs.statSync(path.join(containerPath!, 'bin/wshd')).ino).toBe(program);
    await using fresh = await warden.create();
    const { containerPath: other } = await fresh.info();
    expect(fs.readFileSync(path.join(other!, 'bin/wshd')).subarray(-13).toString()).toBe('another build');
  });
});
