/**
 * How init starts jobs (native/wshd/start.h): in its own memory where nobody else can be met there, and with
 * nothing of it left behind.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer, RunOptions } from '@warden/client';
import { describeWith, patience, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { initOf } from './init-of.ts';
import { text } from './text.ts';

const JOBS = 20;
/**
 * A fork leaves init with pages that it shares with its child: each is copied when init writes to it, which
 * the kernel counts.
 */
const FEW = JOBS;

function minorFaults(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  const FIELD = 10; // of proc_pid_stat(5), behind a name that may hold anything
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[FIELD - 3]);
}

/** In kB: its shadow of all addresses alone is terabytes, where init has less than one megabyte. */
const SANITIZED = 1e9;

/** The daemon lets init forget jobs a little after their ends; until then it has their pipes. */
const FORGOTTEN_MS = 500;

/** What a job could leave in init. */
function look(pid: number): object {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1');
  const kilobytes = Number(/^VmData:\s+(\d+) kB$/m.exec(status)?.[1]);
  return {
    descriptors: fs.readdirSync(`/proc/${pid}/fd`).length,
    environment: fs.readFileSync(`/proc/${pid}/environ`, 'latin1'),
    kilobytes: kilobytes < SANITIZED ? kilobytes : 'a sanitizer keeps for a while what was freed',
    ids: /^Uid:.*\nGid:.*$/m.exec(status)?.[0],
    groups: /^Groups:.*$/m.exec(status)?.[0],
    signals: /^SigBlk:[\s\S]*SigCgt:.*$/m.exec(status)?.[0],
    capabilities: /^CapInh:[\s\S]*Seccomp:.*$/m.exec(status)?.[0],
    limits: fs.readFileSync(`/proc/${pid}/limits`, 'latin1'),
    score: fs.readFileSync(`/proc/${pid}/oom_score_adj`, 'latin1'),
    // root's: nobody inside may look into it (PR_SET_DUMPABLE of prctl(2))
    owner: fs.statSync(`/proc/${pid}/fd`).uid,
    directory: fs.readlinkSync(`/proc/${pid}/cwd`),
  };
}

/** Of so many jobs, one after the other. */
async function faultsOfJobs(box: ClientContainer, init: number, options?: RunOptions): Promise<number> {
  await box.run('true', options);
  const before = minorFaults(init);
  for (let i = 0; i < JOBS; i++) await box.run('true', options);
  return minorFaults(init) - before;
}

describeWith(['root', 'isolated', 'overlayfs'], 'a job that starts in the memory of init', () => {
  // none is prepared: each job is started for its own sake
  const suite = withDaemon({ config: { server: { prepared_shell_time: 0 } } });

  it('is one that is alone in its container, with memory left and nothing of the host inside; others are forked', async () => {
    const warden = await suite.daemon.connect();
    await using alone = await warden.create();
    const init = await initOf(alone);
    expect(await faultsOfJobs(alone, init)).toBeLessThan(FEW);
    const other = await alone.spawn('exec sleep 600');
    expect(await faultsOfJobs(alone, init)).toBeGreaterThan(FEW);
    await other.kill();
    await other.link();
    expect(await faultsOfJobs(alone, init)).toBeLessThan(FEW);
    await alone.limitMemory(256n * 1024n * 1024n);
    expect(await faultsOfJobs(alone, init)).toBeGreaterThan(FEW);
    await using bound = await warden.create({
      bindMounts: [{ source: suite.daemon.place.rootfs, target: '/mnt/host', mode: 'ro' }],
    });
    expect(await faultsOfJobs(bound, await initOf(bound))).toBeGreaterThan(FEW);
  });

  it('is none beside somebody whom the host has sent in, who could stop it, and init with it', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    await box.run('true');
    const user = ['--user', '--setuid', '0', '--setgid', '0'];
    const sent = spawn(
      'nsenter',
      [
        '--target',
        String(init),
        '--mount',
        '--pid',
        ...user,
        '--',
        '/bin/bash',
        '-c',
        'echo in; read -r line',
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    const gone = once(sent, 'exit');
    try {
      await once(sent.stdout, 'data');
      expect(await faultsOfJobs(box, init)).toBeGreaterThan(FEW);
    } finally {
      sent.stdin.end();
      await gone;
    }
    expect(await faultsOfJobs(box, init)).toBeLessThan(FEW);
  });

  it('is none with many variables, or with so little time that it can be over before the program begins', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    const environment = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`V${at}`, 'x']));
    for (const options of [{ environment }, { rlimits: { cpu: 1n } }])
      expect(await faultsOfJobs(box, init, options)).toBeGreaterThan(FEW);
  });

  it('leaves nothing in it: no descriptor, variable, right, limit or memory, whatever became of it', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    const environment = { LARGE: 'x'.repeat(30_000), SHELL: '/bin/other' };
    const starts = [
      () => box.run('true'),
      () => box.run('true', { environment }),
      () => box.run('true', { privileged: true }),
      () => box.run('true', { rlimits: { nofile: 64n, fsize: 1_000_000n, cpu: 10n } }),
      () => box.run('true', { rlimits: { stack: 0n, as: 0n } }),
      () => box.run('kill -9 $$'),
    ];
    for (const start of starts) await start();
    await delay(patience(FORGOTTEN_MS));
    const before = look(init);
    expect(before).toMatchObject({ owner: 0 });
    for (let i = 0; i < JOBS; i++)
      for (const start of starts) {
        await start();
        expect(fs.statSync(`/proc/${init}/fd`).uid).toBe(0);
      }
    expect(text((await box.run('env')).stdout)).not.toMatch(/LARGE|SHELL/);
    await expect.poll(() => look(init), { timeout: patience(5_000) }).toEqual(before);
    // from here on no script can be started any more
    await box.run('mv /bin/bash /bin/gone', { privileged: true });
    for (let i = 0; i < JOBS; i++) expect((await box.run('true', { environment })).exitStatus).toBe(255);
    await expect.poll(() => look(init), { timeout: patience(5_000) }).toEqual(before);
  });

  it('has its own score for the kernel that needs memory, and init keeps its', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const score = (): string => fs.readFileSync(`/proc/${init}/oom_score_adj`, 'latin1').trim();
    const init = await initOf(box);
    const before = score();
    expect(Number(text((await box.run('cat /proc/self/oom_score_adj')).stdout))).toBeGreaterThan(
      Number(before),
    );
    expect(score()).toBe(before);
  });
});
