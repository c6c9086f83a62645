/**
 * A warden in a container of a warden, which `allow_nested_warden` permits and names unsafe (spec
 * linux-container.md 22).
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeWith, remainingLeaks, takeInventory, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

const REPOSITORY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/** Run inside: starts the inner daemon, uses it as any client would, prints what it saw, and ends it. */
const INNER = `
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { connect } from '${REPOSITORY}/packages/client/dist/index.js';
const output = fs.openSync('/tmp/inner.log', 'a');
const daemon = spawn(process.execPath, ['${REPOSITORY}/packages/daemon/bin/wardend.js', '--config', '/tmp/inner.json'], { stdio: ['ignore', output, output] });
const deadline = Date.now() + 60000;
let warden;
while (warden === undefined) {
  if (daemon.exitCode !== null || Date.now() > deadline) throw new Error(fs.readFileSync('/tmp/inner.log', 'utf8'));
  warden = await connect({ path: '/tmp/inner.sock' }).catch(() => undefined);
  if (warden === undefined) await new Promise((resolve) => setTimeout(resolve, 50));
}
const box = await warden.create();
const result = await box.run('id -u; hostname; cat /proc/self/cgroup; echo x > ~/file && cat ~/file');
await box.limitMemory(64n << 20n);
const group = fs.readdirSync('/tmp/warden/cgroup').map((name) => '/tmp/warden/cgroup/' + name + '/inner/instance-' + box.handle).filter((one) => fs.existsSync(one));
const limit = group.map((one) => one + '/memory.limit_in_bytes').filter((one) => fs.existsSync(one)).map((one) => fs.readFileSync(one, 'utf8').trim());
const info = await box.info();
await box.destroy();
const left = fs.readdirSync('/srv/depot').filter((name) => !name.startsWith('.'));
await warden.close();
daemon.kill('SIGTERM');
await new Promise((resolve) => daemon.once('exit', resolve));
const chosen = fs.readFileSync('/tmp/inner.log', 'utf8').split('\\n').filter((line) => line.includes('driver-chosen')).map((line) => JSON.parse(line).data.driver);
console.log(JSON.stringify({ handle: box.handle, stdout: Buffer.from(result.stdout).toString(), exitStatus: result.exitStatus, groups: group.length, limit, hostIp: info.hostIp, left, chosen }));
`;

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-v1-memory'], 'a nested warden', () => {
  const suite = withDaemon({
    config: {
      server: { allow_nested_warden: true },
      network: { allow_networks: ['0.0.0.0/0'], release_delay: 0 },
    },
  });

  it('creates, runs and destroys in a container, below the outer limits, and leaves nothing [linux-container 22]', async () => {
    const { place } = suite.daemon;
    const warden = await suite.daemon.connect();
    const before = takeInventory(place, suite.daemon.pid);
    const work = fs.mkdtempSync(path.join(place.directory, 'nested-'));
    fs.mkdirSync(`${work}/depot`, { mode: 0o700 });
    fs.writeFileSync(`${work}/inner.mjs`, INNER);
    fs.writeFileSync(
      `${work}/inner.json`,
      JSON.stringify({
        server: {
          unix_domain_path: '/tmp/inner.sock',
          container_rootfs_path: '/srv/rootfs',
          container_depot_path: '/srv/depot',
          quota: { disk_quota_enabled: false },
        },
        logging: { level: 'debug' },
        network: { pool_network: '10.253.0.0/24' },
        user: { pool_start_uid: 20_000, pool_size: 16 },
        port: { pool_start_port: 61_001, pool_size: 1_000 },
        drivers: { name: 'inner' },
      }),
    );
    const readOnly = (source: string, target = source) => ({ source, target, mode: 'ro' as const });
    const libraries = ['/usr', '/lib64', '/lib'].filter((one) => fs.existsSync(one));
    const box = await warden.create({
      bindMounts: [
        ...libraries.map((one) => readOnly(one)),
        readOnly(REPOSITORY),
        readOnly(place.rootfs, '/srv/rootfs'),
        readOnly(`${work}/inner.json`, '/tmp/inner.json'),
        readOnly(`${work}/inner.mjs`, '/tmp/inner.mjs'),
        { source: `${work}/depot`, target: '/srv/depot', mode: 'rw' },
      ],
    });
    try {
      const result = await box.run(`exec ${process.execPath} /tmp/inner.mjs`, { privileged: true });
      expect(text(result.stderr)).toBe('');
      const seen = JSON.parse(text(result.stdout));
      expect(seen).toMatchObject({ exitStatus: 0, left: [], limit: [String(64 << 20)] });
      expect(seen.chosen.slice(0, 3)).toEqual(['wshd', 'overlayfs', 'nftables']);
      expect(seen.hostIp).toMatch(/^10\.253\.0\./);
      const [uid, hostname, ...lines] = seen.stdout.trim().split('\n');
      expect([Number(uid) >= 20_000, hostname, lines.pop()]).toEqual([true, seen.handle, 'x']);
      // the groups of the inner container lie below the outer one's (the limit above was read there), and are its root
      expect(seen.groups).toBeGreaterThan(0);
      expect(lines.find((line: string) => line.includes(':memory:'))).toMatch(/:memory:\/$/);
      expect(suite.daemon.readLog()).toContain('unsafe-nested-warden');
    } finally {
      await box.destroy();
    }
    await warden.close();
    expect(await remainingLeaks(place, before, { daemonPid: suite.daemon.pid })).toEqual([]);
    expect(fs.readdirSync(`${work}/depot`).filter((name) => !name.startsWith('.'))).toEqual([]);
    expect(execFileSync('find', [place.rootfs, '-uid', '+9999'], { encoding: 'utf8' })).toBe('');
  }, 180_000);
});

describeWith(['root', 'isolated', 'overlayfs'], 'without the opt-in', () => {
  const suite = withDaemon();

  it('shows no control group and allows no further device [linux-container 22, behaviour 15.3]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run(
      'grep -c " cgroup2* " /proc/mounts; ls /tmp/warden 2>/dev/null; mknod /tmp/full c 1 7 2>/dev/null && (: < /tmp/full) 2>/dev/null && echo opened; echo end',
      { privileged: true },
    );
    expect(text(stdout)).toBe('0\nend\n');
  });
});
