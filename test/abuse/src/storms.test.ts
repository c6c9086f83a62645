/**
 * Storms from inside: each takes all there is of one thing. It comes to an end, others are served meanwhile,
 * and a destroy removes it all [SECURITY R].
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer, WardenClient } from '@warden/client';
import { describeWith, patience, withDaemon } from '@warden/test-harness';
import { beforeAll, expect, it } from 'vitest';
import { makeImage } from './image.ts';
import { hostFacts, IS_SHORT, makeSentinel, underLoad } from './place.ts';
import { addRow } from './report.ts';
import { text } from './text.ts';

const LIMIT = 192n << 20n;

/**
 * What must end each. Where several are named, the memory limit may come first. `-`: the storm's own bound,
 * for what the memory limit pays.
 */
const STORMS: Readonly<Record<string, readonly string[]>> = {
  processes: ['EAGAIN'],
  zombies: ['EAGAIN'],
  orphans: ['-', 'EAGAIN'],
  threads: ['EAGAIN'],
  memory: ['killed', 'ENOMEM'],
  shm: ['ENOSPC', 'killed', 'ENOMEM'],
  dev: ['ENOSPC', 'EACCES'],
  'shm-inodes': ['ENOSPC', 'killed', 'ENOMEM'],
  descriptors: ['EMFILE'],
  ptys: ['ENOSPC', 'EIO', 'EMFILE'],
  pipes: ['EMFILE', 'killed', 'ENFILE'],
  'socket-buffers': ['EMFILE', 'killed', 'ENFILE'],
  rights: ['ETOOMANYREFS', 'killed'],
  'udp-sockets': ['EMFILE', 'killed', 'ENOBUFS'],
  inotify: ['EMFILE'],
  watches: ['ENOSPC', 'killed', '-'],
  timers: ['EMFILE'],
  'posix-timers': ['EAGAIN', 'ENOMEM', 'killed'],
  signals: ['EAGAIN'],
  'sysv-segments': ['ENOSPC', 'ENOMEM', 'killed'],
  semaphores: ['ENOSPC', 'ENOMEM', 'killed'],
  messages: ['ENOSPC', 'ENOMEM', 'killed'],
  queues: ['EMFILE', 'ENOSPC', 'ENOMEM', 'ENFILE'],
  aio: ['ENOSYS'],
  keys: ['EPERM'],
  epolls: ['EMFILE', 'killed'],
  'memory-files': ['EMFILE', 'killed', 'ENOMEM'],
  'locked-memory': ['ENOMEM', 'EAGAIN', 'killed'],
  'file-locks': ['-', 'ENOLCK', 'killed', 'ENOMEM'],
};
const SHORT = ['processes', 'memory', 'shm', 'descriptors', 'ptys'];

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory', 'python3'], 'storms', () => {
  const suite = withDaemon();
  let warden: WardenClient;
  let other: ClientContainer;
  let image = '';
  let sentinel = '';
  let facts = '';

  beforeAll(async () => {
    warden = await suite.daemon.connect();
    image = path.join(suite.daemon.place.directory, 'image');
    makeImage(image);
    sentinel = makeSentinel(suite.daemon.place);
    facts = hostFacts(sentinel);
    other = await warden.create({ rootfs: image });
  });

  /** The daemon and the other container answer; deadlines are generous, because the machine may have other work. */
  async function expectOthersServed(what: string): Promise<void> {
    const answered = Promise.all([warden.ping(), other.run('echo served', { timeoutMs: patience(15_000) })]);
    const [, result] = await answered;
    expect(text(result.stdout), what).toBe('served\n');
  }

  /** The storm's line, or that its process was killed. */
  async function rage(box: ClientContainer, kind: string, privileged: boolean): Promise<string> {
    const job = await box.spawn(`exec abuse-probe storm ${kind} ${IS_SHORT ? 1 : 2}`, { privileged });
    let isOver = false;
    const ended = job.result().finally(() => {
      isOver = true;
    });
    const watch = async (): Promise<void> => {
      while (!isOver) {
        await expectOthersServed(kind);
        await delay(200);
      }
    };
    const [result] = await Promise.all([ended, watch()]);
    const match = /^\S+ (\d+) (\S+) held$/m.exec(text(result.stderr));
    return match === null ? 'killed' : `${match[2]} ${match[1]}`;
  }

  it.each(Object.keys(STORMS).filter((kind) => !IS_SHORT || SHORT.includes(kind)))(
    '%s come to an end, others are served, and all of it goes with the container [SECURITY R]',
    async (kind) => {
      const roles = IS_SHORT
        ? ([['root', true]] as const)
        : ([
            ['user', false],
            ['root', true],
          ] as const);
      for (const [role, privileged] of roles) {
        const box = await warden.create({ rootfs: image });
        await box.limitMemory(LIMIT);
        const outcome = await rage(box, kind, privileged);
        addRow('storms', `storm/${kind}`, role, `ended ${outcome}`);
        expect(STORMS[kind], `${kind} as ${role}: ${outcome}`).toContain(outcome.split(' ')[0]);
        const began = Date.now();
        await box.destroy();
        expect(Date.now() - began, 'a destroy within 5 s').toBeLessThan(underLoad(5_000));
      }
      await expectOthersServed(kind);
      expect(hostFacts(sentinel)).toBe(facts);
    },
  );

  it.each(IS_SHORT ? (['root'] as const) : (['user', 'root'] as const))(
    'a fork bomb of %s keeps nobody else waiting, and ends with its container [SECURITY R01]',
    async (role) => {
      const box = await warden.create({ rootfs: image });
      const job = await box.spawn('exec abuse-probe storm fork-bomb 0', { privileged: role === 'root' });
      const { place } = suite.daemon;
      const group = `/sys/fs/cgroup/pids/${place.name}/instance-${box.handle}`;
      const count = (): number => Number(fs.readFileSync(path.join(group, 'pids.current'), 'utf8'));
      if (fs.existsSync(group)) await expect.poll(count, { timeout: patience(30_000) }).toBeGreaterThan(500);
      for (let i = 0; i < 3; i++) await expectOthersServed('fork-bomb');
      // the container itself answers too, out of init's reserve
      const own = await box.run('echo own', { timeoutMs: patience(60_000) });
      expect(text(own.stdout) + text(own.stderr)).toBe('own\n');
      addRow('storms', 'storm/fork-bomb', role, 'contained, and run answers');
      await job.kill();
      const began = Date.now();
      await box.destroy();
      expect(Date.now() - began, 'a destroy within 5 s').toBeLessThan(underLoad(5_000));
      await expectOthersServed('fork-bomb');
    },
  );

  it('a flood of output that nobody reads fills neither the daemon nor the disk [SECURITY R17]', async () => {
    await using box = await warden.create({ rootfs: image });
    const memory = (): number =>
      Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${suite.daemon.pid}/status`, 'utf8'))![1]);
    const before = memory();
    const job = await box.spawn('exec abuse-probe storm output 0', { discardOutput: true });
    const result = await job.result();
    expect(text(result.stderr)).toBe('');
    await expectOthersServed('output');
    // 512 MiB have passed
    expect(memory() - before).toBeLessThan(150_000);
    addRow('storms', 'storm/output', 'user', 'contained');
  });
});
