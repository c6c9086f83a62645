import { setTimeout as delay } from 'node:timers/promises';
import { describeWith, patience, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

describeWith(['root', 'isolated', 'overlayfs'], 'jobs', () => {
  const suite = withDaemon({ config: { server: { job_output_limit: 1_048_576 } } });

  it('streams output while the job runs', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const wait = (file: string): string => `until [ -e /tmp/${file} ]; do sleep 0.05; done`;
    const job = await box.spawn(
      `echo one; ${wait('seen-one')}; echo two; ${wait('seen-two')}; echo last >&2`,
    );
    let stdout = '';
    let stderr = '';
    // the job ends when each line has been read while it runs
    for await (const { stream, data } of job.output) {
      if (stream === 'stderr') stderr += text(data);
      else {
        stdout += text(data);
        await box.run(`: > /tmp/seen-${stdout.trim().split('\n').at(-1)}`);
      }
    }
    expect([stdout, stderr]).toEqual(['one\ntwo\n', 'last\n']);
  });

  it('carries every byte value', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run('for i in $(seq 0 255); do printf "\\\\$(printf %03o $i)"; done');
    expect(Buffer.from(stdout).equals(Uint8Array.from({ length: 256 }, (_, at) => at))).toBe(true);
  });

  it('feeds the script on standard input, of any size', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    expect(text((await box.run('read line\nthis is data\necho "got: $line"')).stdout)).toBe(
      'got: this is data\n',
    );
    const long = `${'# padding padding padding padding padding\n'.repeat(10_000)}echo survived`;
    expect(text((await box.run(long)).stdout)).toBe('survived\n');
  });

  it('gives several clients everything of one job', async () => {
    const owner = await suite.daemon.connect();
    await using box = await owner.create();
    const job = await box.spawn(
      'for i in $(seq 1 200); do echo line $i; done; until [ -e /tmp/go ]; do sleep 0.05; done; echo end',
    );
    const clients = await Promise.all([1, 2, 3].map(() => suite.daemon.connect()));
    const results = clients.map(async (client, at) => {
      const same = client.container(box.handle).job(job.id);
      if (at === 0) return text((await same.link()).stdout);
      let whole = '';
      for await (const chunk of same.stream()) whole += text(chunk.data);
      return whole;
    });
    // it ends when the daemon has all of their requests: whoever takes the end takes the job along
    const waiting = (): number =>
      suite.daemon
        .readLog()
        .split('\n')
        .filter(
          (line) => /"message":"request".*"request":"(Link|Stream)"/.test(line) && line.includes(box.handle),
        ).length;
    const release = async (): Promise<void> => {
      await expect.poll(waiting, { timeout: patience(20_000) }).toBe(3);
      await box.run('touch /tmp/go');
    };
    const [seen] = await Promise.all([Promise.all(results), release()]);
    const expected = `${Array.from({ length: 200 }, (_, at) => `line ${at + 1}\n`).join('')}end\n`;
    expect(seen).toEqual([expected, expected, expected]);
    await expect(box.job(job.id).link()).rejects.toMatchObject({
      code: 'UNKNOWN_JOB',
      message: 'no such job',
    });
  });

  it('keeps the result when the waiting client goes away', async () => {
    const owner = await suite.daemon.connect();
    await using box = await owner.create();
    const job = await box.spawn('until [ -e /tmp/go ]; do sleep 0.05; done; echo still here; exit 9');
    const impatient = await suite.daemon.connect();
    const waiting = impatient.container(box.handle).job(job.id).link();
    await delay(100);
    await Promise.all([impatient.close(), expect(waiting).rejects.toMatchObject({ code: 'UNAVAILABLE' })]);
    await box.run('touch /tmp/go');
    await expect.poll(async () => (await box.info()).jobIds, { timeout: patience(20_000) }).toEqual([]);
    const result = await box.job(job.id).link();
    expect([text(result.stdout), result.exitStatus]).toEqual(['still here\n', 9]);
  });

  it('kills a job that prints more than the limit, and says so', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const result = await box.run('while :; do echo 0123456789012345678901234567890123456789; done');
    expect(result.exitStatus).toBe(255);
    expect(result.stdout.length).toBeGreaterThan(1_048_576);
    expect(result.stdout.length).toBeLessThanOrEqual(1_048_576 + 65_536);
    expect((await box.info()).events).toEqual(['command exceeded maximum output']);
  });

  it('lets a job print exactly the limit', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const result = await box.run('dd if=/dev/zero bs=1048576 count=1 2>/dev/null; exit 6');
    expect([result.stdout.length, result.exitStatus]).toEqual([1_048_576, 6]);
    expect((await box.info()).events).toEqual([]);
  });

  it('discards output on request without a limit', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const result = await box.run('dd if=/dev/zero bs=1048576 count=20 2>/dev/null; exit 8', {
      discardOutput: true,
    });
    expect([result.stdout.length, result.stderr.length, result.exitStatus]).toEqual([0, 0, 8]);
  });

  it('ends with the script although a descendant holds the pipes', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const began = Date.now();
    const result = await box.run('sleep 600 & echo done');
    expect(text(result.stdout)).toBe('done\n');
    expect(Date.now() - began).toBeLessThan(10_000);
  });

  it('answers 255 for a death by signal', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    expect((await box.run('kill -9 $$')).exitStatus).toBe(255);
    expect((await box.run('kill -15 $$')).exitStatus).toBe(255);
  });

  it('ends the whole tree when the caller aborts or the time is up', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const script = 'setsid sleep 1234 & (setsid sh -c "sleep 1234 & sleep 1234" &) ; sleep 1234';
    await expect(box.run(script, { timeoutMs: 300 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('not wanted any more')), 300);
    await expect(box.run(script, { signal: controller.signal })).rejects.toMatchObject({
      code: 'ABORTED',
      cause: { message: 'not wanted any more' },
    });
    const left = async (): Promise<string> =>
      text(
        (
          await box.run(
            'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done | grep "^sleep 1234"',
            { privileged: true },
          )
        ).stdout,
      );
    await expect.poll(left, { timeout: 5_000 }).toBe('');
  });

  it('throws on a non-zero exit only when asked', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    expect((await box.run('exit 12')).exitStatus).toBe(12);
    await expect(box.run('echo why >&2; exit 12', { check: true })).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      fields: { exitStatus: 12 },
    });
  });

  it('applies process limits', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { stdout } = await box.run('ulimit -n; ulimit -Hn', { rlimits: { nofile: 77n } });
    expect(text(stdout)).toBe('77\n77\n');
  });

  it('loses no byte and no status of 1,000 fast jobs in a row', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    for (let at = 0; at < 1_000; at++) {
      const status = at % 256;
      const { stdout, stderr, exitStatus } = await box.run(
        `echo out ${at}; echo err ${at} >&2; exit ${status}`,
      );
      expect([text(stdout), text(stderr), exitStatus]).toEqual([`out ${at}\n`, `err ${at}\n`, status]);
    }
    expect((await box.info()).jobIds).toEqual([]);
  }, 120_000);

  it('runs many jobs at the same time', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const results = await Promise.all(
      Array.from({ length: 60 }, (_, at) => box.run(`sleep 0.1; seq 1 500; echo ${at}; exit ${at}`)),
    );
    for (const [at, result] of results.entries()) {
      expect(result.exitStatus).toBe(at);
      expect(text(result.stdout).split('\n').slice(-3)).toEqual(['500', String(at), '']);
    }
  });
});
