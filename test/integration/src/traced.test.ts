/**
 * What strace(1) sees: nothing of a root runs before its container is confined, and the daemon has no
 * business below it.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import { describeWith, patience, startDaemon, type TestDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';
import { until } from './until.ts';

/** One call, in the order in which they began. */
interface Call {
  readonly pid: number;
  readonly name: string;
  readonly words: string;
}

class Trace {
  readonly #directory = fs.mkdtempSync('/tmp/warden-trace-');
  readonly #output = path.join(this.#directory, 'calls');

  wrapper(calls: string): readonly string[] {
    return [
      'strace',
      '-f',
      '-qq',
      '-e',
      `trace=${calls}`,
      '-e',
      'signal=none',
      '-s',
      '4096',
      '-o',
      this.#output,
    ];
  }

  /** Up to now; strace writes line by line. */
  calls(): Call[] {
    return fs
      .readFileSync(this.#output, 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [, pid, name, words] = /^(\d+)\s+(\w+)\((.*)/.exec(line) ?? [];
        return name === undefined ? [] : [{ pid: Number(pid), name, words: words! }];
      });
  }

  remove(): void {
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** strace stands between: its child is the daemon. */
function threadsOf(daemon: TestDaemon): Set<number> {
  const children = (pid: number): number[] =>
    fs
      .readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .split(' ')
      .filter((one) => one !== '')
      .map(Number);
  const pids = [daemon.pid, ...children(daemon.pid)].filter((pid) =>
    fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(process.execPath),
  );
  expect(pids).toHaveLength(1);
  return new Set(fs.readdirSync(`/proc/${pids[0]}/task`).map(Number));
}

describeWith(['root', 'isolated', 'overlayfs', 'strace'], 'traced', () => {
  it('no program of a root runs before its container is confined, and none of the host runs in it [SECURITY E47, W1]', async () => {
    const trace = new Trace();
    const daemon = await startDaemon({
      wrapper: trace.wrapper('execve,execveat,pivot_root,setns,seccomp,capset,prctl,clone,clone3,fork,vfork'),
    });
    try {
      const warden = await daemon.connect();
      await warden.ping();
      const before = trace.calls().length;
      const host = path.join(daemon.place.directory, 'file');
      fs.writeFileSync(host, 'content');
      const box = await warden.create();
      await box.copyIn(host, '/tmp/file');
      await box.run('/bin/busybox true');
      await box.run('/bin/busybox true', { privileged: true });
      await box.copyOut('/tmp/file', `${host}.back`);
      await box.destroy();
      const calls = trace.calls().slice(before);
      const at = (name: string, words: RegExp, pid: number): number =>
        calls.findIndex((one) => one.name === name && one.pid === pid && words.test(one.words));
      const init = calls.find(({ name }) => name === 'pivot_root')!.pid;
      const steps = [
        at('pivot_root', /./, init),
        at('setns', /CLONE_NEWUSER/, init),
        at('seccomp', /SECCOMP_SET_MODE_FILTER/, init),
        calls.findLastIndex((one) => one.name === 'capset' && one.pid === init),
        at('prctl', /PR_SET_NO_NEW_PRIVS, 1/, init),
        at('prctl', /PR_SET_DUMPABLE, SUID_DUMP_DISABLE/, init),
      ];
      expect(steps).not.toContain(-1);
      expect(steps).toEqual([...steps].sort((a, b) => a - b));
      const programs = calls.flatMap((call, index) => {
        if (call.name !== 'execve' && call.name !== 'execveat') return [];
        const program = /^(?:\d+, )?"([^"]*)"/.exec(call.words)![1]!;
        return [{ program, index, pid: call.pid }];
      });
      // the host's own: init, once, from the read-only mount of it that the daemon holds, and later the
      // outside half of two copies
      const early = programs.filter(({ index }) => index < steps.at(-1)!);
      expect(early.map(({ program }) => program)).toEqual([
        expect.stringMatching(/^\/proc\/(self|\d+)\/fd\/\d+$/),
      ]);
      const late = programs.filter(({ index }) => index > steps.at(-1)!);
      expect(late.filter(({ pid }) => pid === init)).toEqual([]);
      const names = new Set(late.map(({ program }) => program));
      const copy = [...names].filter(
        (program) => program.startsWith('/') && path.basename(program) === 'warden-copy',
      );
      expect(copy).toHaveLength(1);
      expect([...names].sort()).toEqual(['', '/bin/bash', '/bin/busybox', copy[0]].sort());
    } finally {
      await daemon.stop();
      await daemon.place.remove();
      trace.remove();
    }
  });

  it('the daemon opens, asks for and changes nothing below the root of a living container, however hostile that is [SECURITY 0.4]', {
    timeout: patience(180_000),
  }, async () => {
    const trace = new Trace();
    const daemon = await startDaemon({
      wrapper: trace.wrapper('%file,fchdir,openat2,open_tree,name_to_handle_at'),
    });
    try {
      const warden = await daemon.connect();
      const warmUp = await warden.create();
      await warmUp.run('true');
      await warmUp.destroy();
      const canary = path.join(daemon.place.directory, 'canary');
      fs.writeFileSync(canary, 'of the host');
      const shared = path.join(daemon.place.directory, 'shared');
      fs.mkdirSync(shared);
      const begin = trace.calls().length;
      const box = (await warden.create({
        bindMounts: [{ source: shared, target: '/data/bound', mode: 'rw' }],
      })) as ClientContainer;
      const { containerPath } = await box.info();
      await useEverything(box, daemon, shared);
      // everything a daemon could be tempted to look at becomes a pipe that blocks, or a link to the host
      const { stdout } = await box.run(
        `cd /; for f in /etc/* /home/vcap /home /root /run /var /tmp/* /data/file; do
           rm -rf "$f" 2>/dev/null; [ -e "$f" ] || case $((n = n + 1)) in *[02468]) mkfifo "$f";; *) ln -s ${canary} "$f";; esac; done 2>/dev/null
         [ -p /etc/passwd -o -h /etc/passwd ] && echo done`,
        { privileged: true },
      );
      expect(text(stdout)).toBe('done\n');
      await useEverything(box, daemon, shared);
      await box.stop();
      await box.copyOut('/bin/busybox', path.join(shared, 'after')).catch(() => {});
      const living = trace.calls().slice(begin);
      const death = living.length;
      await box.destroy();
      await until(() => !fs.existsSync(containerPath!));
      // what was moved aside is removed behind the answer
      await until(() => fs.readdirSync(path.join(path.dirname(containerPath!), '.removed')).length === 0);
      const ending = trace.calls().slice(begin + death);
      const threads = threadsOf(daemon);
      const roots = [
        `${containerPath}/tmp/rootfs`,
        `${containerPath}/mnt`,
        `${containerPath}/tmp/.rootfs-work`,
      ];
      const below = (call: Call): boolean =>
        threads.has(call.pid) && roots.some((root) => call.words.includes(`"${root}/`));
      // the daemon itself is in the trace at all, and what it may do is
      expect(
        living.some((one) => threads.has(one.pid) && one.words.includes(`"${containerPath}/etc/fstab`)),
      ).toBe(true);
      expect(
        living.some((one) => threads.has(one.pid) && one.words.includes(`"${containerPath}/tmp/rootfs"`)),
      ).toBe(true);
      expect(living.filter(below)).toEqual([]);
      expect(ending.filter(below)).toEqual([]);
      // when all is dead, the writable layer is taken apart by descriptor and name: directories are read, no
      // file is opened, no link followed
      const allowed =
        /^(unlinkat|renameat|fchmodat)\(|^openat\(.*O_NOFOLLOW.*O_DIRECTORY|AT_SYMLINK_NOFOLLOW/;
      const seen = ending
        .filter(({ pid, words }) => threads.has(pid) && /^\d+, "[^"]/.test(words))
        .map(({ name, words }) => `${name}(${words}`);
      expect(seen.filter((call) => call.startsWith('unlinkat(')).length).toBeGreaterThan(5);
      expect(seen.filter((call) => !allowed.test(call))).toEqual([]);
      expect(fs.readFileSync(canary, 'utf8')).toBe('of the host');
    } finally {
      await daemon.stop();
      await daemon.place.remove();
      trace.remove();
    }
  });
});

/** One of each request; what the container's state makes of it does not matter. */
async function useEverything(box: ClientContainer, daemon: TestDaemon, shared: string): Promise<void> {
  const file = path.join(shared, 'file');
  fs.writeFileSync(file, 'content');
  const attempts: (() => Promise<unknown>)[] = [
    () => box.run('echo x; ls / ~ > /dev/null', { timeoutMs: 5_000 }),
    () =>
      box.run('mkdir -p /data; [ -p /data/file ] || echo x > /data/file', {
        privileged: true,
        timeoutMs: 5_000,
      }),
    () => box.copyIn(file, '/tmp/file'),
    () => box.copyIn(file, '/etc/passwd'),
    () => box.copyOut('/tmp/file', path.join(shared, 'back')),
    () => box.copyOut('/etc/', path.join(shared, 'etc')),
    () => box.limitMemory(512n << 20n),
    () => box.limitMemory(),
    () => box.limitCpu(100n),
    () => box.limitDisk({}),
    () => box.limitBandwidth({ rate: 1_000_000n, burst: 100_000n }),
    () => box.netIn({}),
    () => box.netOut({ network: '10.1.0.0/16' }),
    () => box.info(),
    async () => (await daemon.connect()).list(),
    async () => {
      const job = await box.spawn('echo x');
      await job.link();
    },
  ];
  for (const attempt of attempts)
    await attempt().catch((error: unknown) => expect(error).toHaveProperty('code'));
}
