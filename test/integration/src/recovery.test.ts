/** What a starting daemon makes of its depot. */
import fs from 'node:fs';
import path from 'node:path';
import {
  describeWith,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
  WARDEND,
} from '@warden/test-harness';
import { expect, it } from 'vitest';
import { endCleanly } from './end-cleanly.ts';
import { text } from './text.ts';

/** A killed daemon with one container, changed by `meanwhile`, then its successor. */
async function afterKill(
  meanwhile: (containerPath: string, pid: number, place: TestPlace) => void | Promise<void>,
  check: (daemon: TestDaemon, containerPath: string) => Promise<void>,
): Promise<void> {
  let daemon = await startDaemon();
  const { place } = daemon;
  const before = takeInventory(place);
  try {
    const box = await (await daemon.connect()).create({ handle: 'the one' });
    const { containerPath = '' } = await box.info();
    const { stdout } = await box.run('echo kept > /home/vcap/file; id -u');
    expect(text(stdout)).not.toBe('');
    const pid = Number(fs.readFileSync(path.join(containerPath, 'run/wshd.pid'), 'utf8'));
    await daemon.kill('SIGKILL');
    await meanwhile(containerPath, pid, place);
    daemon = await startDaemon({ place });
    await check(daemon, containerPath);
  } finally {
    await endCleanly(daemon, before);
  }
}

async function expectGone(daemon: TestDaemon, containerPath: string): Promise<void> {
  expect(await (await daemon.connect()).list()).toEqual([]);
  expect(fs.existsSync(containerPath)).toBe(false);
}

describeWith(['root', 'isolated', 'overlayfs'], 'recovery', () => {
  it('destroys a container without a snapshot [linux-container 25 recovery]', async () => {
    await afterKill((directory) => fs.rmSync(path.join(directory, 'snapshot.json')), expectGone);
  });

  it('destroys a container whose init is dead [linux-container 25 recovery]', async () => {
    await afterKill(async (_, pid) => {
      process.kill(pid, 'SIGKILL');
      await expect.poll(() => fs.existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
    }, expectGone);
  });

  it('destroys a container without etc/config [linux-container 25 recovery]', async () => {
    await afterKill((directory) => fs.rmSync(path.join(directory, 'etc/config')), expectGone);
  });

  it('destroys what is left of a container without snapshot and etc/config [linux-container 25 recovery]', async () => {
    await afterKill((directory) => {
      fs.rmSync(path.join(directory, 'snapshot.json'));
      fs.rmSync(path.join(directory, 'etc/config'));
    }, expectGone);
  });

  it('finds a container under another name of its directory [behaviour 10 changed directory]', async () => {
    await afterKill(
      (directory) => fs.renameSync(directory, path.join(directory, '../moved by an operator')),
      async (daemon, containerPath) => {
        const box = (await daemon.connect()).container('the one');
        const info = await box.info();
        expect(info.containerPath).toBe(path.join(containerPath, '../moved by an operator'));
        expect(text((await box.run('cat file; echo new > other; echo out >&2; exit 3')).stdout)).toBe(
          'kept\n',
        );
        expect(fs.existsSync(path.join(info.containerPath!, 'tmp/rootfs/home/vcap/other'))).toBe(true);
        const job = await box.spawn('sleep 600');
        expect(fs.existsSync(path.join(info.containerPath!, `jobs/${job.id}/stdout.sock`))).toBe(true);
        await box.stop({ kill: true });
        await box.destroy();
        expect(fs.existsSync(info.containerPath!)).toBe(false);
      },
    );
  });

  it('sets a container whose record cannot be read aside, alive, and tells the doctor [behaviour 10]', async () => {
    await afterKill(
      (directory) => fs.writeFileSync(path.join(directory, 'snapshot.json'), '{"handle":'),
      async (daemon, containerPath) => {
        const id = path.basename(containerPath);
        const aside = path.join(path.dirname(containerPath), `.quarantine-${id}`);
        expect(await (await daemon.connect()).list()).toEqual([]);
        const pid = fs.readFileSync(path.join(aside, 'run/wshd.pid'), 'utf8').trim();
        expect(fs.readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('wshd\n');
        const config = path.join(daemon.place.directory, 'wardend.yml');
        const { stdout } = daemon.place.network.host.try([
          process.execPath,
          WARDEND,
          'doctor',
          '--config',
          config,
        ]);
        expect(stdout).toContain(`NO  container ${id}: set aside`);
        expect(stdout).toContain('the record is no JSON');
        process.kill(Number(pid), 'SIGKILL');
        await expect.poll(() => fs.existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
        fs.rmSync(aside, { recursive: true });
        // as the advice says: what else carries its id is swept at the next start
        await daemon.kill();
        const next = await startDaemon({ place: daemon.place });
        await next.stop();
      },
    );
  });

  it('has all containers again when the network driver is what it was: none is lost to another one', async () => {
    let daemon = await startDaemon();
    const { place } = daemon;
    const before = takeInventory(place);
    const restart = async (network?: string): Promise<readonly string[]> => {
      await daemon.kill('SIGTERM');
      const config = network === undefined ? {} : { drivers: { network } };
      daemon = await startDaemon({ place, config });
      return (await daemon.connect()).list();
    };
    const aside = (): readonly string[] =>
      fs.readdirSync(place.depot).filter((name) => name.startsWith('.quarantine-'));
    try {
      const client = await daemon.connect();
      const box = await client.create({ handle: 'with ports' });
      const { hostPort } = await box.netIn();
      const { id } = await box.spawn('sleep 1000');
      await client.create({ handle: 'plain' });
      // it cannot have the ports there
      expect(await restart('none')).toEqual(['plain']);
      const [name = ''] = aside();
      expect(
        JSON.parse(fs.readFileSync(path.join(place.depot, name, 'quarantine.json'), 'utf8')),
      ).toMatchObject({
        handle: 'with ports',
        reason: expect.stringMatching(/made with another network driver than "none": .*port-mapping/),
        advice: expect.stringMatching(/configure drivers\.network as it was/),
      });
      await (await daemon.connect()).create({ handle: 'without a link' });
      // whoever has the handle meanwhile keeps it
      await (await daemon.connect()).create({ handle: 'with ports' });
      expect(await restart('none')).toEqual(['plain', 'without a link', 'with ports']);
      await (await daemon.connect()).container('with ports').destroy();
      // one that never had a link has not lost it
      expect(await restart()).toEqual(['with ports', 'plain']);
      const back = (await daemon.connect()).container('with ports');
      expect(await back.info()).toMatchObject({ state: 'active', jobIds: [id] });
      expect((await back.run('exit 3')).exitStatus).toBe(3);
      expect(place.network.host.try(['nft', 'list', 'ruleset']).stdout).toMatch(
        new RegExp(`\\b${hostPort}\\b`),
      );
      expect(aside()).toHaveLength(1);
      expect(await restart('none')).toEqual(['plain', 'without a link']);
      expect((await (await daemon.connect()).container('without a link').run('exit 4')).exitStatus).toBe(4);
      await (await daemon.connect()).container('without a link').destroy();
      expect(await restart()).toEqual(['with ports', 'plain']);
      expect(aside()).toEqual([]);
    } finally {
      await endCleanly(daemon, before);
    }
  });

  it('ends no container because the depot is another one, or is not mounted, until it is told to', async () => {
    await afterKill(
      async (_directory, pid, place) => {
        const { depot } = place;
        const away = `${depot}-away`;
        fs.renameSync(depot, away);
        fs.mkdirSync(depot, { mode: 0o700 });
        await expect(startDaemon({ place })).rejects.toThrow(
          'containers live that have no directory in the depot',
        );
        expect(fs.existsSync(`/proc/${pid}`)).toBe(true);
        fs.rmSync(depot, { recursive: true });
        fs.renameSync(away, depot);
      },
      async (daemon) => {
        const box = (await daemon.connect()).container('the one');
        expect(text((await box.run('cat /home/vcap/file')).stdout)).toBe('kept\n');
      },
    );
  });

  it('leaves everything else in the depot as it is [behaviour 10]', async () => {
    const foreign = ['lost+found', 'containers1', 'tmp'];
    await afterKill(
      (directory) => {
        for (const name of foreign) {
          fs.mkdirSync(path.join(directory, '..', name));
          fs.writeFileSync(path.join(directory, '..', name, 'precious'), name);
        }
        fs.writeFileSync(path.join(directory, '../vvvvvvvvvvv'), 'a file');
      },
      async (daemon, containerPath) => {
        expect(await (await daemon.connect()).list()).toEqual(['the one']);
        const depot = path.dirname(containerPath);
        for (const name of foreign) {
          expect(fs.readFileSync(path.join(depot, name, 'precious'), 'utf8')).toBe(name);
          fs.rmSync(path.join(depot, name), { recursive: true });
        }
        fs.rmSync(path.join(depot, 'vvvvvvvvvvv'));
      },
    );
  });

  it('keeps a snapshot that an operator can read, never without a good one [behaviour 9]', async () => {
    const daemon = await startDaemon();
    try {
      const box = await (await daemon.connect()).create({ handle: 'ünï', graceTime: 77 });
      const info = await box.info();
      const file = path.join(info.containerPath!, 'snapshot.json');
      const read = (): Record<string, unknown> => JSON.parse(fs.readFileSync(file, 'utf8'));
      expect(fs.statSync(file).mode & 0o777).toBe(0o600);
      const job = await box.spawn('exit 3', { discardOutput: true, logTag: 'tag' });
      expect(read()).toMatchObject({
        events: [],
        jobs: { [job.id]: { discard_output: true, log_tag: 'tag' } },
        limits: {},
        grace_time: 77,
        resources: {
          handle: 'ünï',
          container_id: path.basename(info.containerPath!),
          network: info.hostIp!.replace(/\d+$/, (last) => String(Number(last) - 1)),
          uid: expect.any(Number),
          ports: [],
        },
        state: 'active',
      });
      await expect
        .poll(() => (read().jobs as Record<string, object>)[job.id], { timeout: 10_000 })
        .toMatchObject({ status: [3, '', ''] });
      await job.result();
      await expect.poll(() => read().jobs, { timeout: 10_000 }).toEqual({});
      let isStopping = true;
      const sleeper = await box.spawn('trap "" TERM; echo deaf; sleep 1; exit 1');
      for await (const _ of sleeper.output) break; // not before it has stopped listening
      const stopped = box.stop().finally(() => {
        isStopping = false;
      });
      let looks = 0;
      while (isStopping) {
        looks += 1;
        expect(read().resources).toMatchObject({ handle: 'ünï' });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await stopped;
      expect(looks).toBeGreaterThan(10);
      expect(read().state).toBe('stopped');
      await sleeper.result();
      await box.destroy();
    } finally {
      await daemon.stop();
      await daemon.place.remove();
    }
  }, 60_000);
});
