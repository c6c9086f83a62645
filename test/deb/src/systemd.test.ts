/**
 * The package and its units under a real systemd: what docs/operations.md says of them. The tests are one
 * story: each goes on where the one before has ended.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type WardenClient } from '@warden/client';
import {
  describeWith,
  makePlace,
  patience,
  remainingLeaks,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Debian } from './debian.ts';
import { build } from './package.ts';
import { Systemd } from './systemd.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const LIMIT = 67_108_864n;
/** The service is ready this much later than it could be. */
const LATE_MS = 1_500;
const LATE = `Environment=WARDEN_FAILPOINT=start.listen=delay(${LATE_MS})`;

describeWith(
  ['root', 'isolated', 'overlayfs', 'cgroup-memory', 'debian-rootfs', 'systemd-packages'],
  'a Debian under systemd with the package',
  () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-deb-test-'));
    let place: TestPlace;
    let before: ReturnType<typeof takeInventory>;
    let debian: Debian;
    let systemd: Systemd | undefined;
    beforeAll(async () => {
      const file = build(directory, { SOURCE_DATE_EPOCH: '1700000000' });
      place = await makePlace();
      before = takeInventory(place);
      debian = new Debian(place);
      debian.installNode();
      debian.bind(file, '/srv/warden.deb');
      systemd = await Systemd.boot(debian, place);
    });
    afterAll(async () => {
      try {
        await systemd?.close();
        debian.close();
        expect(await remainingLeaks(place, before)).toEqual([]);
      } finally {
        await place.remove();
        fs.rmSync(directory, { recursive: true });
      }
    });

    const host = (): Systemd => systemd!;
    const dial = (): Promise<WardenClient> => connect({ path: host().at('/run/warden/warden.sock') });
    const mainPid = (): Promise<string> => host().property('warden.service', 'MainPID');
    const restarts = async (): Promise<number> =>
      Number(await host().property('warden.service', 'NRestarts'));
    const eventually = (get: () => Promise<unknown>): ReturnType<typeof expect.poll> =>
      expect.poll(get, { timeout: patience(60_000), interval: 50 });
    /** Lines of the daemon, with the priority that the journal has for each. */
    const journal = async (): Promise<readonly { priority: string; message: string }[]> => {
      await host().run('journalctl', '--sync');
      const lines = await host().run(
        'journalctl',
        '--no-pager',
        '-o',
        'json',
        '_SYSTEMD_UNIT=warden.service',
      );
      return lines
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { PRIORITY: string; MESSAGE: string })
        .map(({ PRIORITY, MESSAGE }) => ({ priority: PRIORITY, message: MESSAGE }));
    };
    const events = async (event: string): Promise<number> =>
      (await journal()).filter(({ message }) => message.includes(`"message":"${event}"`)).length;
    /** The control groups of the container's init and its job, by process. */
    const groups = (): Record<string, string> =>
      Object.fromEntries(
        fs
          .readdirSync('/proc')
          .filter((pid) => /^\d+$/.test(pid))
          .map((pid) => [pid, read(`/proc/${pid}/cgroup`), read(`/proc/${pid}/cmdline`)] as const)
          .filter(
            ([, all, command]) => all.includes(`/${place.name}/warden/`) && /^(wshd: |sleep\0)/.test(command),
          )
          .map(([pid, all]) => [pid, all]),
      );
    let kept: Record<string, string>;
    /** The container, its job and what limits them are what they were, and the daemon knows them. */
    const expectAllKept = async (): Promise<void> => {
      expect(groups()).toEqual(kept);
      await using warden = await dial();
      expect(await warden.list()).toEqual(['kept']);
      const box = warden.container('kept');
      expect(await box.limitMemory()).toBe(LIMIT);
      expect((await box.info()).jobIds).toEqual([1]);
      expect(text((await box.run('echo again')).stdout)).toBe('again\n');
    };

    it('is switched on and held by systemd when it is installed; a start that fails is tried again until its cause is gone [operations systemd]', async () => {
      await host().run('dpkg', '--install', '/srv/warden.deb');
      for (const unit of ['warden.socket', 'warden.service'])
        expect(await host().systemctl('is-enabled', unit)).toBe('enabled');
      expect(await host().stateOf('warden.socket')).toBe('active');
      // there is neither busybox nor another base for containers
      await eventually(restarts).toBeGreaterThan(0);
      expect(await host().stateOf('warden.service')).toBe('activating');
      await host().systemctl('stop', 'warden.socket', 'warden.service');
      for (const unit of ['warden.socket', 'warden.service'])
        expect(await host().stateOf(unit), unit).not.toMatch(/^act/);
      await host().systemctl('start', '--no-block', 'warden.service');
      await eventually(restarts).toBeGreaterThan(0);
      const settings = host().at('/etc/warden/wardend.yml');
      const given = fs.readFileSync(settings, 'utf8');
      const mended = given.replace(
        '  #container_rootfs_path: /var/lib/warden/debian',
        '  container_rootfs_path: /srv/base',
      );
      expect(mended).not.toBe(given);
      fs.writeFileSync(settings, mended);
      await eventually(() => host().stateOf('warden.service')).toBe('active');
    });

    it('has its socket before a daemon is there, for its group alone; the first client starts the service, which is active when it serves [operations socket activation]', async () => {
      await host().systemctl('stop', 'warden.socket', 'warden.service');
      await host().dropIn('warden.service', [LATE]);
      await host().systemctl('start', 'warden.socket');
      expect(await host().run('stat', '-c', '%U:%G %a %F', '/run/warden/warden.sock', '/run/warden')).toBe(
        'root:warden 660 socket\nroot:root 755 directory\n',
      );
      expect(await host().run('stat', '-c', '%a', '/var/lib/warden')).toBe('711\n');
      expect(await host().stateOf('warden.service')).toBe('inactive');
      const listed = dial().then(async (client) => {
        await using warden = client;
        return await warden.list();
      });
      await eventually(() => host().stateOf('warden.service')).toBe('activating');
      expect(await listed).toEqual([]);
      await eventually(() => host().stateOf('warden.service')).toBe('active');
      const [begun, active] = await Promise.all(
        ['ExecMainStartTimestampMonotonic', 'ActiveEnterTimestampMonotonic'].map((name) =>
          host().property('warden.service', name),
        ),
      );
      expect((Number(active) - Number(begun)) / 1_000).toBeGreaterThan(LATE_MS);
      expect(await host().property('warden.service', 'StatusText')).toBe('serving 0 containers');
    });

    it('keeps a container and its job over a restart, and clients wait meanwhile [operations restart]', async () => {
      {
        await using warden = await dial();
        const box = await warden.create({ handle: 'kept', graceTime: 3_600 });
        await box.limitMemory(LIMIT);
        await box.spawn('exec sleep 3600');
        await expect.poll(() => Object.keys(groups()).length).toBe(2);
        kept = groups();
      }
      const first = await mainPid();
      await host().dropIn('warden.service', [`ExecStartPre=/bin/sleep ${LATE_MS / 1_000}`]);
      await host().systemctl('restart', '--no-block', 'warden.service');
      const progress = (): Promise<string> => host().property('warden.service', 'SubState');
      await eventually(progress).toBe('start-pre');
      const isWaiting = async (): Promise<void> => {
        // nobody has taken the connection, of which both ends are in the client's network until then
        await expect
          .poll(() => read('/proc/self/net/unix'), { interval: 10 })
          .toMatch(/ 0001 02 +0 \/run\/warden\/warden\.sock$/m);
        expect(await progress()).toBe('start-pre');
      };
      await Promise.all([isWaiting(), expectAllKept()]);
      expect(await mainPid()).not.toBe(first);
    });

    it('leaves the control groups of containers alone when systemd reads its units again, itself included [operations systemd]', async () => {
      const first = await mainPid();
      await host().systemctl('daemon-reload');
      await expectAllKept();
      await host().systemctl('daemon-reexec');
      await expectAllKept();
      expect(await mainPid()).toBe(first);
    });

    it('reads its settings again at a reload, and tells the outcome [operations SIGHUP]', async () => {
      const first = await mainPid();
      const settings = host().at('/etc/warden/wardend.yml');
      const given = fs.readFileSync(settings, 'utf8');
      fs.writeFileSync(settings, `${given}logging: { level: debug }\nnetwork: { mtu: 1400 }\n`);
      await host().systemctl('reload', 'warden.service');
      await eventually(() => host().property('warden.service', 'StatusText')).toBe(
        'reloaded: 1 settings changed, network.mtu after a restart',
      );
      fs.writeFileSync(settings, `${given}logging: { level: loud }\n`);
      await host().systemctl('reload', 'warden.service');
      await eventually(() => host().property('warden.service', 'StatusText')).toMatch(
        /^reload failed, nothing has changed: .*loud/,
      );
      expect(await host().stateOf('warden.service')).toBe('active');
      fs.writeFileSync(settings, given);
      await host().systemctl('reload', 'warden.service');
      await eventually(() => events('reloaded')).toBe(2);
      expect(await mainPid()).toBe(first);
      await expectAllKept();
    });

    it('is started again when it is killed; what has ended meanwhile has its status [operations restart]', async () => {
      await host().dropIn('warden.service', []);
      const started = await restarts();
      await using first = await dial();
      const job = await first.container('kept').spawn('sleep 0.5; exit 7');
      await host().systemctl('kill', '-s', 'SIGKILL', '--kill-whom=main', 'warden.service');
      await eventually(restarts).toBe(started + 1);
      {
        await using warden = await dial();
        expect((await warden.container('kept').job(job.id).link()).exitStatus).toBe(7);
      }
      await expectAllKept();
    });

    it('is killed and started again when it hangs; containers notice nothing [operations watchdog]', async () => {
      await host().dropIn('warden.service', ['WatchdogSec=3', 'TimeoutAbortSec=1']);
      await host().systemctl('restart', 'warden.service');
      expect(await restarts()).toBe(0);
      const first = await mainPid();
      await host().systemctl('kill', '-s', 'SIGSTOP', '--kill-whom=main', 'warden.service');
      await eventually(restarts).toBe(1);
      await expectAllKept();
      expect(await mainPid()).not.toBe(first);
      expect(await host().run('journalctl', '--no-pager', '-o', 'cat', '-t', 'systemd')).toMatch(
        /warden\.service: Watchdog timeout/,
      );
      await host().dropIn('warden.service', []);
    });

    it('ends in a drain, and is started by the next client [operations systemd]', async () => {
      await host().systemctl('kill', '-s', 'SIGUSR2', '--kill-whom=main', 'warden.service');
      await eventually(() => host().stateOf('warden.service')).toBe('inactive');
      await expectAllKept();
      expect(await host().stateOf('warden.service')).toBe('active');
    });

    it('leaves containers when it is stopped, and takes them over when a client comes [operations systemd]', async () => {
      await host().systemctl('stop', 'warden.service');
      expect(await host().stateOf('warden.service')).toBe('inactive');
      expect(await host().stateOf('warden.socket')).toBe('active');
      await host().systemctl('daemon-reload');
      // whatever were to come
      await delay(200);
      expect(groups()).toEqual(kept);
      await expectAllKept();
      expect(await host().stateOf('warden.service')).toBe('active');
    });

    it('has its lines in the journal with their priorities [operations logs]', async () => {
      const numbers: Readonly<Record<string, string>> = { debug: '7', info: '6', warn: '4', error: '3' };
      const lines = (await journal()).filter(({ message }) => message.startsWith('{'));
      const levels = lines.map(({ message }) => (JSON.parse(message) as { log_level: string }).log_level);
      expect(levels).toEqual(expect.arrayContaining(['info', 'warn', 'error']));
      expect(lines.map(({ priority }) => priority)).toEqual(levels.map((level) => numbers[level]));
    });

    it('is restarted by an upgrade, with containers and jobs as they were [deb upgrade]', async () => {
      const first = await mainPid();
      await host().run('dpkg', '--install', '/srv/warden.deb');
      expect(await mainPid()).not.toBe(first);
      expect(await host().stateOf('warden.service')).toBe('active');
      await expectAllKept();
    });

    it('ends with its containers when it is removed, and leaves nothing when it is purged [deb remove]', async () => {
      await host().run('dpkg', '--remove', 'warden');
      expect(groups()).toEqual({});
      expect(fs.readdirSync(place.depot).filter((name) => !name.startsWith('.'))).toEqual([]);
      for (const unit of ['warden.socket', 'warden.service'])
        expect(await host().stateOf(unit), unit).toBe('inactive');
      await host().run('dpkg', '--purge', 'warden');
      const { stdout: units } = await host().try('systemctl', 'list-unit-files', '--no-legend', 'warden*');
      expect(units).toBe('');
      for (const name of ['/etc/warden', '/run/warden'])
        expect(fs.existsSync(host().at(name)), name).toBe(false);
      expect(await host().run('find', '/etc/systemd/system', '/sys/fs/cgroup', '-name', 'warden*')).toBe('');
    });
  },
);

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return ''; // the process has just ended
  }
}
