/**
 * What is not the daemon's own: processes whose numbers stand in its files, in its groups, in mount
 * namespaces that hold its mounts, at its socket.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { cgroupParents, describeWith, patience, startDaemon, WARDEND } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { withBench } from './place-suite.ts';

/** A process of nobody's, which a signal ends. */
async function stranger(words: readonly string[] = ['sleep', '3600']): Promise<ChildProcess> {
  const child = spawn(words[0]!, words.slice(1), { stdio: 'ignore' });
  await once(child, 'spawn');
  return child;
}

async function withStranger(
  body: (child: ChildProcess) => Promise<void>,
  words?: readonly string[],
): Promise<void> {
  const child = await stranger(words);
  const gone = once(child, 'exit');
  try {
    await body(child);
    expect({ exit: child.exitCode, signal: child.signalCode }, 'the stranger').toEqual({
      exit: null,
      signal: null,
    });
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
}

describeWith(['root', 'isolated', 'overlayfs'], 'a stranger', () => {
  it('whose number stands in the file of a living init is not touched: destroy goes by what the kernel says', () =>
    withStranger((child) =>
      withBench({}, async ({ daemon }) => {
        const warden = await daemon.connect();
        const box = await warden.create();
        const { containerPath = '' } = await box.info();
        const file = path.join(containerPath, 'run/wshd.pid');
        const init = Number(fs.readFileSync(file, 'utf8'));
        fs.writeFileSync(file, `${child.pid}\n`);
        await box.destroy();
        await expect.poll(() => fs.existsSync(`/proc/${init}`), { timeout: patience(20_000) }).toBe(false);
      }),
    ));

  it('that has got the number of a dead init is not touched by the next daemon', () =>
    withStranger((child) =>
      withBench({}, async (bench) => {
        const warden = await bench.daemon.connect();
        const box = await warden.create();
        const { containerPath = '' } = await box.info();
        const file = path.join(containerPath, 'run/wshd.pid');
        const init = Number(fs.readFileSync(file, 'utf8'));
        await bench.daemon.kill('SIGKILL');
        process.kill(init, 'SIGKILL');
        await expect.poll(() => fs.existsSync(`/proc/${init}`), { timeout: patience(20_000) }).toBe(false);
        fs.writeFileSync(file, `${child.pid}\n`);
        const next = await bench.restart();
        expect(await (await next.connect()).list()).toEqual([]);
        expect(fs.existsSync(containerPath)).toBe(false);
      }),
    ));

  it('that holds copies of its mounts does not keep a container from being destroyed', () =>
    withBench(
      { config: { server: { quota: { disk_quota_enabled: true } }, drivers: { quota: 'image' } } },
      async ({ daemon, place }) => {
        const warden = await daemon.connect();
        const box = await warden.create();
        const { containerPath = '' } = await box.info();
        const words = place.network.host.enter([
          'unshare',
          '--mount',
          '--propagation',
          'private',
          'sleep',
          '3600',
        ]);
        await withStranger(async (child) => {
          const mounts = `/proc/${child.pid}/mountinfo`;
          await expect
            .poll(() => fs.readlinkSync(`/proc/${child.pid}/ns/mnt`), { timeout: patience(20_000) })
            .not.toBe(fs.readlinkSync(`/proc/${place.network.host.pid}/ns/mnt`));
          await expect
            .poll(() => fs.readFileSync(mounts, 'utf8'), { timeout: patience(20_000) })
            .toContain(containerPath);
          await box.destroy();
          expect(fs.existsSync(containerPath)).toBe(false);
          expect(await warden.list()).toEqual([]);
          await using again = await warden.create();
          expect((await again.run('exit 3')).exitStatus).toBe(3);
        }, words);
      },
    ));

  it.each(['one of its groups', 'all of its groups'])(
    'in %s: destroy neither hangs nor fails, and the log tells',
    (where) =>
      withBench({}, async ({ daemon, place }) => {
        const warden = await daemon.connect();
        const box = await warden.create();
        const id = path.basename((await box.info()).containerPath!);
        const child = await stranger();
        const gone = once(child, 'exit');
        try {
          const groups = cgroupParents(place.name)
            .map((parent) => path.join(parent, `instance-${id}`))
            .filter((group) => fs.existsSync(group));
          expect(groups.length).toBeGreaterThan(0);
          const chosen = where.startsWith('one')
            ? groups.filter((group) => /memory|unified/.test(group)).slice(0, 1)
            : groups;
          for (const group of chosen) fs.writeFileSync(path.join(group, 'cgroup.procs'), String(child.pid));
          await box.destroy();
          for (const group of groups) expect(fs.existsSync(group), group).toBe(false);
          // the memory group may be waiting to be emptied still, under another name
          await expect
            .poll(() => daemon.readLog(), { timeout: patience(20_000) })
            .toMatch(new RegExp(`(stranger-moved|processes-left).*${child.pid}`));
          // who was put into one group of several was never part of the container
          if (where.startsWith('one') && groups.length > 1) expect(child.signalCode).toBeNull();
        } finally {
          child.kill('SIGKILL');
          await gone;
        }
      }),
  );

  it('daemon in the same depot, at the same socket or with the same name is refused, and the first serves on', () =>
    withBench({}, async ({ daemon, place }) => {
      const warden = await daemon.connect();
      const box = await warden.create();
      const file = path.join(place.directory, 'wardend.yml');
      const kept = fs.readFileSync(file, 'utf8');
      const second = async (changes: Readonly<Record<string, unknown>>, name: string): Promise<string> => {
        const configuration = JSON.parse(kept);
        Object.assign(configuration.server, changes);
        configuration.drivers.name = name;
        const other = path.join(place.directory, 'second.yml');
        fs.writeFileSync(other, JSON.stringify(configuration));
        const words = place.network.host.enter([process.execPath, WARDEND, '--config', other]);
        const child = spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
        let text = '';
        for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
        await once(child, 'close');
        expect(child.exitCode).not.toBe(0);
        return text;
      };
      const [depot, socket] = ['second', 'second.sock'].map((one) => path.join(place.directory, one));
      fs.mkdirSync(depot!);
      const [own, other] = [place.name, `${place.name}-b`];
      expect(await second({ unix_domain_path: socket }, other)).toMatch(
        /belongs to a running wardend \(pid \d+\)/,
      );
      expect(await second({ container_depot_path: depot }, other)).toMatch(/is in use by a running daemon/);
      // what carries its name it would take for its own, and remove
      expect(await second({ container_depot_path: depot, unix_domain_path: socket }, own)).toMatch(
        /another wardend with the name \S+ is running on this host; stop it or configure another drivers.name/,
      );
      expect((await box.run('exit 3')).exitStatus).toBe(3);
    }));

  it.each(['unlinked', 'replaced'])(
    'has %s the socket: who is connected is served on, the end leaves what is not ours, the next daemon starts',
    (what) =>
      withBench({}, async (bench) => {
        const { place } = bench;
        const warden = await bench.daemon.connect();
        const box = await warden.create({ handle: 'box' });
        fs.rmSync(place.socket);
        const thief = net.createServer((socket) => socket.destroy());
        if (what === 'replaced') {
          thief.listen(place.socket);
          await once(thief, 'listening');
        }
        await warden.ping(); // the session's own connection is still there
        expect(await warden.list()).toEqual(['box']);
        await bench.daemon.kill('SIGTERM');
        if (what === 'replaced') {
          expect(fs.existsSync(place.socket), 'the socket of somebody else').toBe(true);
          await expect(startDaemon({ place })).rejects.toThrow(/is in use by a running daemon/);
          thief.close();
          fs.rmSync(place.socket, { force: true });
        }
        const next = await bench.restart();
        expect((await (await next.connect()).container('box').run('exit 3')).exitStatus).toBe(3);
        expect(box.handle).toBe('box');
      }),
  );
});
