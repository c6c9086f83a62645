/**
 * Process 1 of a container is warden's, not the container's: nobody inside reads it, changes it, starves it
 * or outlives it.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import { cgroupParents, describeWith, patience, unmet, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { copyHelpers } from './copy-helpers.ts';
import { startUntilRefused } from './full-container.ts';
import { CALLS, PERL_MOUNTS, perl } from './host-perl.ts';
import { text } from './text.ts';
import { until } from './until.ts';

const MIB = 1n << 20n;
/** More than the container may have; without CAP_SYS_RESOURCE the host's root cannot lift the limit altogether. */
const MANY = 4_000n;

/** The host's pid of a container's init. */
function initOf(containerPath: string): number {
  return Number(fs.readFileSync(path.join(containerPath, 'run/wshd.pid'), 'utf8'));
}

function field(pid: number, file: string, name: string): string | undefined {
  return new RegExp(`^${name}:?\\s+(.*)$`, 'm').exec(fs.readFileSync(`/proc/${pid}/${file}`, 'utf8'))?.[1];
}

describeWith(['root', 'isolated', 'overlayfs'], 'init out of reach', () => {
  const suite = withDaemon();

  it.each([false, true])(
    'shows its memory, files and program to nobody, privileged: %s [SECURITY E22]',
    async (privileged) => {
      await using box = await (await suite.daemon.connect()).create();
      const { stdout } = await box.run(
        `cd /proc/1; for f in mem maps smaps auxv syscall stack pagemap personality wchan io environ map_files fd fdinfo exe cwd root ns/mnt task/1/mem; do
           { [ "$(head -c 8 $f 2>/dev/null | wc -c)" != 0 ] || { [ -d $f ] && [ -n "$(ls $f/ 2>/dev/null)" ]; } || readlink $f; } >/dev/null 2>&1 && echo "$f is open"
         done; echo looked`,
        { privileged },
      );
      // a number about scheduling, no content
      expect(text(stdout).replace('wchan is open\n', '')).toBe('looked\n');
    },
  );

  it('and no program that runs from a file of the host can be written to or looked into: init, its children before they run, the copy [SECURITY E07 E08]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const { containerPath } = await box.info();
    const program = fs.readFileSync(`${containerPath}/bin/wshd`);
    const host = `${suite.daemon.place.directory}/grabbed`;
    fs.writeFileSync(host, Buffer.alloc(64 << 20, 'x'));
    // looks at every process as fast as it can while jobs start and copies run
    const grab = await box.spawn(
      `title() { tr "\\0" " " < $1/cmdline 2>/dev/null; }
       while [ ! -e /tmp/enough ]; do for p in /proc/[0-9]*; do case "$(title $p)" in wshd:*|warden-copy*)
         echo x >> /tmp/tried
         { echo grabbed >> $p/exe; } 2>/dev/null && echo "wrote $p"
         # what can be listed of one that is still ours afterwards was ours
         open=$(ls $p/fd/ 2>/dev/null) && [ -n "$open" ] && case "$(title $p)" in wshd:*|warden-copy*) echo "looked into $p";; esac
       esac; done; done`,
      { privileged: true },
    );
    const tried = async (): Promise<number> =>
      Number(text((await box.run('cat /tmp/tried 2>/dev/null | wc -l')).stdout));
    // on a busy machine whoever looks is seldom as fast as what it looks for: go on until it has met enough
    for (let round = 0; round < 15 || (round < 300 && (await tried()) <= 20); round++) {
      await Promise.all(
        [box.run('true'), box.copyIn(host, '/tmp/copy'), box.copyOut('/tmp/copy', `${host}.back`)].map(
          (one) => one.catch(() => {}),
        ),
      );
    }
    await box.run('touch /tmp/enough');
    const { stdout } = await grab.link();
    expect(text(stdout)).toBe('');
    expect(await tried()).toBeGreaterThan(20);
    expect(fs.readFileSync(`${containerPath}/bin/wshd`).equals(program)).toBe(true);
    expect(copyHelpers(suite.daemon.place)).toEqual([]);
  });

  it('keeps its limits, its priority and its scheduling, whatever root inside asks for [SECURITY E59]', async () => {
    await using box = await (await suite.daemon.connect()).create({ bindMounts: [...PERL_MOUNTS] });
    const pid = initOf((await box.info()).containerPath!);
    const facts = (): string =>
      [
        fs.readFileSync(`/proc/${pid}/limits`, 'utf8'),
        fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ').slice(15, 18).join(' '),
        field(pid, 'status', 'Cpus_allowed_list'),
      ].join('\n');
    const before = facts();
    const calls: readonly (readonly [name: string, args: string])[] = [
      ...[0, 3, 4, 6, 7, 9].map((resource) => ['prlimit64', `1, ${resource}, $zero, 0`] as const),
      ['setpriority', '0, 1, 19'],
      ['setpriority', '1, 1, 19'],
      ['setpriority', '2, 0, 19'],
      ['ioprio_set', '1, 1, 24576'],
      ['ioprio_set', '2, 1, 24576'],
      ['ioprio_set', '3, 0, 24576'],
      ['sched_setscheduler', '1, 5, $zero'],
      ['sched_setscheduler', '1, 3, $zero'],
      ['sched_setparam', '1, $zero'],
      ['sched_setattr', '1, $attr, 0'],
      ['sched_setaffinity', '1, 8, $one'],
    ];
    const program = `$zero = "\\0" x 64; $one = pack("Q", 1); $attr = pack("LLQlLQQQ", 48, 5, 0, 0, 0, 0, 0, 0); $< = 0;
      ${calls.map(([name, args]) => `$r = syscall(${CALLS[name]}, ${args}); print "${name} ", ($r == -1 ? $! + 0 : "done"), "\\n";`).join('\n')}`;
    const { stdout, stderr } = await box.run(perl(program), { privileged: true });
    expect(text(stdout), text(stderr)).toBe(calls.map(([name]) => `${name} 1\n`).join(''));
    expect(facts()).toBe(before);
    // what is one's own is still one's own
    const own = await box.run('renice -n 15 -p $$ >/dev/null 2>&1; nice; ulimit -n 99; ulimit -n');
    expect(text(own.stdout)).toBe('15\n99\n');
  });

  it('lives through every signal that somebody inside can send it [SECURITY E40]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const pid = initOf((await box.info()).containerPath!);
    for (const privileged of [true, false]) {
      await box.run(
        'for s in $(seq 1 64); do kill -$s 1 2>/dev/null; done; for i in $(seq 1 200); do kill -CHLD 1; done; kill -KILL -- -1 2>/dev/null',
        {
          privileged,
        },
      );
    }
    expect((await box.run('echo alive')).exitStatus).toBe(0);
    // behind its answer it may be at work yet
    await expect.poll(() => field(pid, 'status', 'State'), { timeout: patience(10_000) }).toMatch(/^S/);
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory'], 'init and memory that runs out', () => {
  const suite = withDaemon();

  it('its score is far below that of jobs, who cannot lower theirs any further', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const pid = initOf((await box.info()).containerPath!);
    const own = Number(fs.readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));
    // lowering init's takes CAP_SYS_RESOURCE, which not every host gives its root
    const jobs = own === -941 ? 0 : 500;
    expect([own, jobs]).toEqual(unmet(['cap-sys-resource']) === undefined ? [-941, 0] : [0, 500]);
    for (const privileged of [true, false]) {
      const { stdout } = await box.run(
        'cat /proc/self/oom_score_adj; for n in -1 -941 -1000; do { echo $n > /proc/self/oom_score_adj; } 2>/dev/null && echo lowered; done; echo 700 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj',
        { privileged },
      );
      // the last cat is a child of the shell
      expect(text(stdout)).toBe(`${jobs}\n700\n`);
    }
  });

  it('jobs die before it, also where none of them is larger: memory in files, a crowd of small ones', async () => {
    for (const script of [
      'head -c 60m /dev/zero > /dev/shm/a; sleep 100',
      'for i in $(seq 1 400); do sleep 100 & done; wait',
    ]) {
      await using box = await (await suite.daemon.connect()).create();
      const pid = initOf((await box.info()).containerPath!);
      await box.limitMemory(8n * MIB);
      const { info } = await box
        .run(script, { timeoutMs: patience(60_000) })
        .catch(async () => ({ info: await box.info() }));
      expect(info.events).toEqual(['out of memory']);
      await expect.poll(async () => (await box.info()).state, { timeout: patience(20_000) }).toBe('stopped');
      expect(initOf((await box.info()).containerPath!)).toBe(pid);
    }
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'init and storms from inside', () => {
  const LIMIT = 40;
  const suite = withDaemon({ config: { drivers: { pids_limit: LIMIT } } });
  /** As many processes as there may be, and each of them tries to make more for ever. */
  const BOMB = perl('while (1) { fork }');

  function pidsIn(id: string): number {
    return Math.max(
      ...cgroupParents(suite.daemon.place.name)
        .map((parent) => `${parent}/instance-${id}/pids.current`)
        .filter((file) => fs.existsSync(file))
        .map((file) => Number(fs.readFileSync(file, 'utf8'))),
    );
  }

  async function explode(
    box: ClientContainer,
    privileged: boolean,
  ): Promise<Awaited<ReturnType<typeof box.spawn>>> {
    const job = await box.spawn(BOMB, { privileged, rlimits: { nproc: MANY } });
    const id = (await box.info()).containerPath!.split('/').at(-1)!;
    await until(() => pidsIn(id) >= LIMIT);
    return job;
  }

  it.each([false, true])(
    'a fork bomb: jobs are started and copies made all the same, the job can be killed, and then all is well, privileged: %s [SECURITY R01]',
    async (privileged) => {
      const host = suite.daemon.place.directory;
      fs.writeFileSync(`${host}/to-copy`, 'copied');
      await using box = (await (
        await suite.daemon.connect()
      ).create({ bindMounts: [...PERL_MOUNTS] })) as ClientContainer;
      const job = await explode(box, privileged);
      for (let round = 0; round < 5; round++) {
        for (const asRoot of [true, false])
          expect((await box.run('echo ran', { privileged: asRoot })).exitStatus).toBe(0);
        await box.copyIn(`${host}/to-copy`, '/tmp/copy');
        await box.copyOut('/tmp/copy', `${host}/copied-back`);
        expect(fs.readFileSync(`${host}/copied-back`, 'utf8')).toBe('copied');
      }
      expect((await box.info()).state).toBe('active');
      await job.kill();
      await until(async () => (await box.run('/bin/true; exit $?')).exitStatus === 0);
    },
  );

  it('a full container starts a bounded number of jobs more, and then says what is full', async () => {
    await using box = (await (
      await suite.daemon.connect()
    ).create({ bindMounts: [...PERL_MOUNTS] })) as ClientContainer;
    const bomb = await explode(box, true);
    const id = (await box.info()).containerPath!.split('/').at(-1)!;
    const { started, refusal } = await startUntilRefused(box);
    expect(refusal).toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: expect.stringMatching(
        /the container has all the processes it may have \([4-7]\d of 40\): kill or stop some/,
      ),
      fields: { errno: 'EAGAIN', pool: 'processes', limit: LIMIT },
    });
    // 32 besides init and the bomb; what the bomb's own count was in the moment of each start does not matter
    expect(started.length).toBeGreaterThan(16);
    expect(started.length).toBeLessThanOrEqual(33);
    expect(pidsIn(id)).toBeLessThanOrEqual(LIMIT + 32);
    await expect(box.copyOut('/etc/hosts', '/tmp/never')).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    expect((await box.info()).state).toBe('active');
    await started[0]!.kill();
    await until(async () => (await box.run('echo ran').catch(() => undefined))?.exitStatus === 0);
    await bomb.kill();
    await until(async () => (await box.run('/bin/true; exit $?').catch(() => undefined))?.exitStatus === 0);
    expect(pidsIn(id)).toBeLessThan(LIMIT);
  });

  it.each([false, true])(
    'a user that has all its processes still starts a job, which may not make more, privileged: %s',
    async (privileged) => {
      await using box = (await (
        await suite.daemon.connect()
      ).create({ bindMounts: [...PERL_MOUNTS] })) as ClientContainer;
      const limits = { privileged, rlimits: { nproc: 20n } };
      const bomb = await box.spawn(BOMB, limits);
      // the program runs; a process of its own is refused
      const tell = perl(
        '$p = fork; exit if defined $p && !$p; print defined $p ? "forked" : $!{EAGAIN} ? "full" : $!',
      );
      const tells = async (): Promise<string> => text((await box.run(tell, limits)).stdout);
      await until(async () => (await tells()) === 'full');
      for (let round = 0; round < 5; round++) expect(await tells()).toBe('full');
      await bomb.kill();
      await until(async () => (await tells()) === 'forked');
    },
  );

  it.each(['stop', 'kill', 'destroy'] as const)('a fork bomb does not withstand a %s', async (how) => {
    const warden = await suite.daemon.connect();
    const box = (await warden.create({ bindMounts: [...PERL_MOUNTS] })) as ClientContainer;
    await explode(box, true);
    const began = performance.now();
    // a graceful stop gives jobs ten seconds; these end at SIGTERM
    if (how === 'stop') await box.stop();
    if (how === 'kill') await box.stop({ kill: true });
    await box.destroy();
    expect(performance.now() - began).toBeLessThan(patience(8_000));
    await warden.ping();
  });

  it('a storm of descriptors takes none of init’s', async () => {
    await using box = (await (await suite.daemon.connect()).create()) as ClientContainer;
    const jobs = await Promise.all(
      Array.from({ length: 20 }, () =>
        box.spawn('while { exec {fd}</dev/null; } 2>/dev/null; do :; done; echo full; exec sleep 1000', {
          privileged: true,
        }),
      ),
    );
    for (const job of jobs) {
      const first = (await job.stream().next()).value;
      expect('data' in first! ? text(first.data) : first).toBe('full\n');
    }
    expect((await box.run('echo ran')).exitStatus).toBe(0);
    await box.stop({ kill: true });
    expect((await box.info()).state).toBe('stopped');
  });
});
