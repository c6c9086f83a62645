/**
 * `server.prepared_shell_time` with real containers: a script finds a shell that waits for it, and nothing of
 * it but the time it saves.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer } from '@warden/client';
import { describeWith, patience, startDaemon, takeInventory, withDaemon } from '@warden/test-harness';
import { expect, it, vi } from 'vitest';
import { endCleanly } from './end-cleanly.ts';
import { initOf } from './init-of.ts';
import { text } from './text.ts';

/** Who it is, and how many there are. */
const LOOK = 'set -- /proc/[0-9]*; echo $$ $#';
/** Long enough for the slowest machine. */
const WAITING = { server: { prepared_shell_time: 60 } };

/** Host pids of what an init has started and has not collected. */
function children(init: number): string[] {
  return fs.readFileSync(`/proc/${init}/task/${init}/children`, 'utf8').split(' ').filter(Boolean);
}

async function said(box: ClientContainer, script: string): Promise<string> {
  return text((await box.run(script)).stdout);
}

/** Runs two scripts, behind which a shell waits, and answers its number inside. */
async function use(box: ClientContainer, init: number): Promise<string> {
  for (let i = 0; i < 2; i++) expect(await said(box, LOOK)).toMatch(/^\d+ 2\n$/);
  return await prepared(init);
}

/** Waits until one is there, and answers its number inside. */
async function prepared(init: number): Promise<string> {
  await thereAre(init, 1);
  const status = fs.readFileSync(`/proc/${children(init)[0]}/status`, 'utf8');
  return String(/^NSpid:.*\s(\d+)$/m.exec(status)?.[1]);
}

async function thereAre(init: number, count: number): Promise<void> {
  await vi.waitFor(() => expect(children(init)).toHaveLength(count), {
    timeout: patience(10_000),
    interval: 2,
  });
}

describeWith(['root', 'isolated', 'overlayfs'], 'a prepared shell', () => {
  const suite = withDaemon({ config: WAITING });

  it('runs the third script, and those after it, alone, as the first two', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    let waiting = await use(box, init);
    for (let i = 0; i < 3; i++) {
      expect(await said(box, LOOK)).toBe(`${waiting} 2\n`);
      waiting = await prepared(init);
    }
    // bash counts the whole seconds of the clock: a script that begins at the end of one is in the next at once
    const script =
      'declare -p SHELL; echo "$HOME $USER $PATH $LANG $(ulimit -n) $(id -un) $PWD $PPID $((SECONDS < 2)) $_"; env; head -n 1\nleft for head\nread line\nleft for read\necho "$line"; wc -c < /dev/stdin; echo e >&2; exit 7';
    const { exitStatus, stdout, stderr, info } = await box.run(script);
    const first = await (await warden.create()).run(script);
    expect([exitStatus, text(stdout), text(stderr)]).toEqual([7, text(first.stdout), 'e\n']);
    expect(text(stdout)).toContain('left for head\nleft for read\n');
    expect(info).toMatchObject({ state: 'active', jobIds: [], events: [] });
    await prepared(init);
    await expect(box.run('kill -9 $$')).resolves.toMatchObject({ exitStatus: 255 });
    await prepared(init);
    const job = await box.spawn('echo spawned; exec sleep 600');
    await job.kill();
    expect(text((await job.link()).stdout)).toBe('spawned\n');
  });

  it('is there for scripts that come after a rest, though it starts only behind their answers', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    let waiting = await use(box, init);
    for (let i = 0; i < 3; i++) {
      await delay(50);
      expect(await said(box, LOOK)).toBe(`${waiting} 2\n`);
      waiting = await prepared(init);
    }
    // what comes before it has started finds none, and no other process
    for (let i = 0; i < 3; i++) {
      await delay(50);
      await said(box, LOOK);
      expect(await said(box, LOOK)).toMatch(/^\d+ 2\n$/);
    }
    await prepared(init);
  });

  it('is not what another user gets, nor with other limits, nor for a very long script, and not seen by these', async () => {
    const warden = await suite.daemon.connect();
    for (let i = 0; i < 9; i++) {
      await using box = await warden.create();
      const init = await initOf(box);
      const waiting = await use(box, init);
      const other = [
        () => box.run(LOOK, { privileged: true }),
        () => box.run(LOOK, { rlimits: { nofile: 77n } }),
        () => box.run(`${LOOK}\n`.padEnd(40_000, '#')),
      ][i % 3]!;
      const [, pid, count] = /^(\d+) (\d+)\n/.exec(text((await other()).stdout)) ?? [];
      expect(pid).not.toBe(waiting);
      expect(count).toBe('2');
      expect(children(init)).toEqual([]);
    }
  });

  it('finds the shell of its user as any shell does, or the one that was asked for', async () => {
    const warden = await suite.daemon.connect();
    const script = `declare -p SHELL; env | grep ^SHELL=; ${LOOK}`;
    const found = (shell: string, variables = ''): RegExp =>
      new RegExp(`^declare -- SHELL="${shell}"\n${variables}(\\d+) 2\n$`);
    const asked = /^declare -x SHELL="\/bin\/asked"\nSHELL=\/bin\/asked\n(\d+) 2\n$/;
    const root = { privileged: true };
    for (const [passwd, options, expected] of [
      ['', {}, found('/bin/bash')],
      ['', root, found('/bin/bash')],
      ['', { environment: { SHELL: '/bin/asked' } }, asked],
      // of several with one number the first in the file; without a shell, or where there is none, this one
      ['toor:x:0:0::/root:/bin/first\n', root, found('/bin/first')],
      ['toor:x:0:0::/root:\n', root, found('/bin/sh')],
    ] as const) {
      await using box = await warden.create();
      const init = await initOf(box);
      const { stdout: accounts } = await box.run('cat /etc/passwd');
      await box.files.write('/etc/passwd', Buffer.concat([Buffer.from(passwd), accounts]), root);
      let waiting: string | undefined;
      for (let i = 0; i < 4; i++) {
        const output = text((await box.run(script, options)).stdout);
        expect(output).toMatch(expected);
        const [, pid] = expected.exec(output)!;
        if (waiting !== undefined) expect(pid).toBe(waiting);
        waiting = i < 1 ? undefined : await prepared(init);
      }
    }
  });

  it('is not made where files may change from outside', async () => {
    const warden = await suite.daemon.connect();
    const source = path.join(suite.daemon.place.directory, 'shared');
    fs.mkdirSync(source);
    await using box = await warden.create({ bindMounts: [{ source, target: '/shared', mode: 'ro' }] });
    const init = await initOf(box);
    for (let i = 0; i < 4; i++) {
      expect(await said(box, LOOK)).toMatch(/ 2\n$/);
      expect(children(init)).toEqual([]);
    }
  });

  it('sees what was copied in, and is there for nobody who comes by another way', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    await use(box, init);
    const source = path.join(suite.daemon.place.directory, 'copied');
    fs.writeFileSync(source, 'from the host\n');
    await box.copyIn(source, '/home/vcap/copied');
    await thereAre(init, 0);
    expect(await said(box, 'cat copied')).toBe('from the host\n');
    await prepared(init);
    for await (const piece of box.files.read('/home/vcap/copied'))
      expect(text(piece)).toBe('from the host\n');
    await thereAre(init, 0);
  });

  it('ends with a stop, which does not wait for it, and with a destroy', async () => {
    const warden = await suite.daemon.connect();
    const box = await warden.create();
    const init = await initOf(box);
    await use(box, init);
    const began = performance.now();
    await box.stop();
    expect(performance.now() - began).toBeLessThan(patience(5_000)); // it would be awaited for ten seconds
    expect(children(init)).toEqual([]);
    await box.destroy();
    const other = await warden.create();
    const second = await initOf(other);
    await use(other, second);
    const [waiting] = children(second);
    await other.destroy();
    expect(fs.existsSync(`/proc/${waiting}`)).toBe(false);
  });

  it('is gone before a memory limit is put in force', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    await use(box, init);
    await box.limitMemory(64n << 20n);
    expect(children(init)).toEqual([]);
  });

  it('is gone before a pause, so that a limit that is set meanwhile waits for nobody', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    await use(box, init);
    await box.pause();
    expect(children(init)).toEqual([]);
    expect(await box.limitMemory(64n << 20n)).toBe(64n << 20n);
    await box.resume();
    expect(await said(box, 'echo goes on')).toBe('goes on\n');
  });

  it('is not what fills a memory limit', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    await box.limitMemory(64n << 20n);
    await use(box, init);
    expect(await said(box, 'dd if=/dev/zero of=/dev/shm/full bs=1M count=55 && echo full')).toBe('full\n');
    await delay(100);
    expect(children(init)).toEqual([]);
    expect(await said(box, 'rm /dev/shm/full; echo gone')).toBe('gone\n');
    await prepared(init);
    expect((await box.info()).events).toEqual([]);
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'a prepared shell whose daemon is killed', () => {
  it('ends with it', async () => {
    let daemon = await startDaemon({ config: WAITING });
    const { place } = daemon;
    const before = takeInventory(place);
    try {
      const box = await (await daemon.connect()).create({ handle: 'survivor' });
      const init = await initOf(box);
      await use(box, init);
      await daemon.kill('SIGKILL');
      await thereAre(init, 0);
      daemon = await startDaemon({ place, config: WAITING });
      const same = (await daemon.connect()).container('survivor');
      const waiting = await use(same, init);
      expect(await said(same, LOOK)).toBe(`${waiting} 2\n`);
    } finally {
      await endCleanly(daemon, before);
    }
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'a prepared shell, by default', () => {
  const suite = withDaemon();

  it('waits for a second', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    await use(box, init);
    await thereAre(init, 0);
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'a prepared shell that is turned off', () => {
  const suite = withDaemon({ config: { server: { prepared_shell_time: 0 } } });

  it('is not there', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const init = await initOf(box);
    for (let i = 0; i < 5; i++) {
      expect(await said(box, LOOK)).toMatch(/ 2\n$/);
      expect(children(init)).toEqual([]);
    }
  });
});
