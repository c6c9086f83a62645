/** Open input, terminals, pause and properties: what outlives a killed daemon, and what only a real container shows. */
import type { ClientJob } from '@warden/client';
import { describeWith, startDaemon, type TestDaemon, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

/** Runs `body` with a daemon that it may kill and start again. */
async function withRestarts(
  body: (life: { daemon: TestDaemon; restart(): Promise<void> }) => Promise<void>,
): Promise<void> {
  const life = {
    daemon: await startDaemon(),
    restart: async () => {
      const { place } = life.daemon;
      await life.daemon.kill('SIGKILL');
      life.daemon = await startDaemon({ place });
    },
  };
  const { place } = life.daemon;
  try {
    await body(life);
  } finally {
    await life.daemon.stop();
    await life.daemon.kill();
    await place.remove();
  }
}

/**
 * A job's output, read until it has shown something, and then to its end. One stream: at its end the job is
 * removed.
 */
function reader(job: ClientJob): {
  until(wanted: string | RegExp): Promise<string>;
  end(): Promise<number>;
} {
  const output = job.output[Symbol.asyncIterator]();
  let seen = '';
  return {
    async until(wanted) {
      while (!(typeof wanted === 'string' ? seen.includes(wanted) : wanted.test(seen))) {
        const step = await output.next();
        if (step.done) throw new Error(`the job ended before ${String(wanted)}: ${JSON.stringify(seen)}`);
        seen += text(step.value.data);
      }
      const all = seen;
      seen = '';
      return all;
    },
    async end() {
      while (!(await output.next()).done);
      return (await job.result()).exitStatus;
    },
  };
}

describeWith(['root', 'isolated', 'overlayfs'], 'jobs with open input', () => {
  it('keep it when the daemon is killed, and read on from the next one', async () => {
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const job = await box.spawn('', { argv: ['cat'], stdin: 'pipe' });
      await job.write('before ');
      await life.restart();
      const again = (await life.daemon.connect()).container(box.handle).job(job.id);
      await again.write('after');
      await again.endInput();
      const { stdoutText, exitStatus } = await again.link();
      expect([stdoutText, exitStatus]).toEqual(['before after', 0]);
    });
  });

  it('on a terminal keep it when the daemon is killed: no hang-up, its size, and what it showed meanwhile', async () => {
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const job = await box.spawn('', { terminal: { rows: 30, columns: 90 }, environment: { PS1: '' } });
      await job.write('trap "echo hung-up" HUP; stty -echo; stty size\n');
      await reader(job).until('30 90');
      await job.write('read word; echo "got:$word"\n');
      await life.restart();
      const again = (await life.daemon.connect()).container(box.handle).job(job.id);
      await again.resize({ rows: 40, columns: 100 });
      await again.write('hello\n');
      const read = reader(again);
      const shown = await read.until('got:hello');
      expect(shown).toContain('30 90');
      await again.write('stty size; exit 5\n');
      expect(await read.until('40 100')).not.toContain('hung-up');
      expect(await read.end()).toBe(5);
    });
  });

  it('that were ended stay ended for the next daemon', async () => {
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const job = await box.spawn('cat; until [ -e /tmp/go ]; do sleep 0.05; done; echo end', {
        stdin: 'pipe',
      });
      await job.write('x');
      await job.endInput();
      await reader(job).until('x');
      await life.restart();
      const warden = await life.daemon.connect();
      const again = warden.container(box.handle).job(job.id);
      await expect(again.write('y')).rejects.toMatchObject({ code: 'BAD_STATE' });
      await warden.container(box.handle).files.write('/tmp/go', '');
      expect((await again.link()).stdoutText).toBe('xend\n');
    });
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'containers over a killed daemon', () => {
  it('have their properties, and stand still if they were paused', async () => {
    await withRestarts(async (life) => {
      const warden = await life.daemon.connect();
      const box = await warden.create({ properties: { role: 'db', ['__proto__']: 'kept' } });
      await box.setProperties({ role: undefined, added: 'ä' });
      const job = await box.spawn('read line; echo "$line"', { stdin: 'pipe' });
      await box.pause();
      await life.restart();
      const after = await life.daemon.connect();
      const same = after.container(box.handle);
      expect(Object.entries(await same.properties()).sort()).toEqual([
        ['__proto__', 'kept'],
        ['added', 'ä'],
      ]);
      expect(await after.list({ properties: { added: 'ä' } })).toEqual([box.handle]);
      expect((await same.info()).paused).toBe(true);
      await expect(same.run('true')).rejects.toMatchObject({ code: 'BAD_STATE', fields: { paused: true } });
      await same.resume();
      await same.job(job.id).write('goes on\n');
      expect((await same.job(job.id).link()).stdoutText).toBe('goes on\n');
    });
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'programs in a container', () => {
  const suite = withDaemon();

  it('have a terminal of the container that tells them its size, and each change of it', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const script =
      'trap "stty size" WINCH; tty; stty size; echo ready; until [ -e /tmp/go ]; do sleep 0.05; done; exit 7';
    const job = await box.spawn(script, { terminal: { rows: 24, columns: 80 } });
    const read = reader(job);
    const first = await read.until('ready');
    expect(first).toContain('/dev/pts/');
    expect(first).toContain('24 80');
    await job.resize({ rows: 51, columns: 133 });
    await read.until('51 133');
    await box.files.write('/tmp/go', '');
    expect(await read.end()).toBe(7);
  });

  it('read the end of their input from a terminal, and an interrupt', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const reading = await box.spawn('', { argv: ['cat'], terminal: { rows: 24, columns: 80 } });
    await reading.endInput();
    expect((await reading.link()).exitStatus).toBe(0);
    const sleeping = await box.spawn('echo ready; sleep 1000', { terminal: { rows: 24, columns: 80 } });
    const read = reader(sleeping);
    await read.until('ready');
    await sleeping.write('\x03');
    expect(await read.end()).not.toBe(0);
  });

  it('are told no more than what ended them when they read no further', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const job = await box.spawn('exec 0<&-; echo closed; sleep 1000', { stdin: 'pipe' });
    await reader(job).until('closed');
    await expect(job.write('x')).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: 'nothing reads the standard input of the job any more',
      fields: { operation: 'write input', job: job.id, errno: 'EPIPE' },
    });
    await job.writeAll([new Uint8Array(10)]);
    await job.kill();
  });

  it('get a status of their own when their directory or program is missing', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const missing = await box.exec(['pwd'], { workingDirectory: '/no/such' });
    expect([missing.exitStatus, missing.stderrText]).toEqual([255, expect.stringContaining('/no/such')]);
    expect((await box.exec(['/no/such'])).exitStatus).toBe(255);
  });

  it('do not keep a container from its grace time by being watched', async () => {
    const observer = await suite.daemon.connect();
    const owner = await suite.daemon.connect();
    const { handle } = await owner.create({ graceTime: 0 });
    const events = await observer.events({ handle, types: ['destroyed'] });
    await owner.close();
    expect((await events.next()).value).toMatchObject({ type: 'destroyed', handle });
  });

  it('tell of memory that ran out, and of output beyond its limit', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const events = await warden.events({ handle: box.handle, types: ['oom', 'stopped'] });
    await box.limitMemory(24n * 1024n * 1024n);
    await box.spawn('x=a; while :; do x=$x$x; done');
    expect((await events.next()).value?.type).toBe('oom');
    expect((await events.next()).value?.type).toBe('stopped');
  });
});
