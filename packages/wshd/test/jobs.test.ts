import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Init, InitDriver } from '@warden/interface';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Depot, expectNoMoreDescriptors, openDescriptors, output, shell, start } from './container.ts';
import { obstacle } from './own-namespaces.ts';

const ID = '0000000000j';

/** Host pids of what an init has started and has not collected. */
function children(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
}

const needs = obstacle();
describe.skipIf(needs !== undefined)(`jobs${needs === undefined ? '' : ` [needs: ${needs}]`}`, () => {
  let depot: Depot;
  let driver: InitDriver;
  let init: Init;
  let lastId = 0;
  beforeAll(async () => {
    depot = new Depot();
    driver = await depot.driver();
    init = await start(driver, depot.spec(ID));
  });
  afterAll(async () => {
    await init.kill();
    depot.remove();
  });

  test.each([0, 1, 32_768, 32_769, 1_000_000])('%i bytes of standard input arrive', async (size) => {
    const stdin = randomBytes(size);
    const job = await init.spawn(shell(++lastId, 'exec cat', { stdin }));
    expect((await output(job)).stdout === stdin.toString('latin1')).toBe(true);
    expect(await job.exited).toEqual({ exitCode: 0 });
  });

  test.each([0, 1, 20_000, 32_768])(
    '%i bytes of standard input arrive beside as many arguments as there may be',
    async (size) => {
      const stdin = randomBytes(size);
      const long = 'x'.repeat(60_000);
      const job = await init.spawn(
        shell(++lastId, '', { stdin, argv: ['/bin/sh', '-c', `cat; printf %s $${'{#1}'}`, 'sh', long] }),
      );
      expect((await output(job)).stdout === `${stdin.toString('latin1')}60000`).toBe(true);
      expect(await job.exited).toEqual({ exitCode: 0 });
    },
  );

  test('a signal is reported as such', async () => {
    const job = await init.spawn(shell(++lastId, 'kill -9 $$'));
    expect(await job.exited).toEqual({ signal: 9 });
    job.stdout.close();
    job.stderr.close();
  });

  test('environment, limits and root', async () => {
    const job = await init.spawn(
      shell(++lastId, 'echo $A; ulimit -n; id -u', {
        user: 'root',
        environment: { A: 'x=y z' },
        rlimits: [{ resource: 7, soft: 1234n, hard: 1234n }],
      }),
    );
    expect((await output(job)).stdout).toBe('x=y z\n1234\n0\n');
  });

  test('an unknown user and an unknown program are the job’s own end', async () => {
    for (const changes of [{ user: 'nobody-knows' }, { argv: ['/no/such/program'] }]) {
      const job = await init.spawn(shell(++lastId, '', changes));
      await output(job);
      expect(await job.exited).toEqual({ exitCode: 255 });
    }
  });

  test('discarded output: the sources end at once', async () => {
    const job = await init.spawn(shell(++lastId, 'seq 1 100000', { discardOutput: true }));
    expect(await output(job)).toEqual({ stdout: '', stderr: '' });
    expect(await job.exited).toEqual({ exitCode: 0 });
  });

  test('pausing slows the writer and loses nothing', async () => {
    const job = await init.spawn(shell(++lastId, 'seq 1 200000'));
    const chunks: Buffer[] = [];
    const ended = new Promise<void>((resolve) => {
      job.stdout.start((chunk) => {
        chunks.push(chunk);
        job.stdout.pause();
        setTimeout(() => job.stdout.resume(), 1);
      }, resolve);
    });
    job.stderr.close();
    await ended;
    const text = Buffer.concat(chunks).toString();
    expect(text.length).toBe(1_288_895);
    expect(text.endsWith('\n199999\n200000\n')).toBe(true);
  });

  test('signalJob, an ended job included; signalAll and waitEmpty', async () => {
    const sleeper = await init.spawn(shell(++lastId, 'exec sleep 600'));
    expect(await init.waitEmpty(50)).toBe(false);
    await init.signalJob(sleeper.id, 15, false);
    expect(await sleeper.exited).toEqual({ signal: 15 });
    await init.signalJob(sleeper.id, 15, false);
    const others = await Promise.all([1, 2].map(() => init.spawn(shell(++lastId, 'sleep 600 & wait'))));
    await init.signalAll(9);
    for (const job of others) {
      expect(await job.exited).toEqual({ signal: 9 });
      job.stdout.close();
      job.stderr.close();
    }
    expect(await init.waitEmpty(20_000)).toBe(true);
    sleeper.stdout.close();
    sleeper.stderr.close();
  });

  test('a tree is killed with descendants that left their session', async () => {
    const script = '(sleep 600 &) ; echo up; exec sleep 600';
    const job = await init.spawn(shell(++lastId, script, { trackTree: true }));
    await new Promise<void>((resolve) =>
      job.stdout.start(
        () => resolve(),
        () => {},
      ),
    );
    await init.signalJob(job.id, 9, true);
    expect(await job.exited).toEqual({ signal: 9 });
    expect(await init.waitEmpty(20_000)).toBe(true);
    job.stdout.close();
    job.stderr.close();
  });

  test('nothing is prepared where there is no user namespace', async () => {
    await init.waitEmpty(20_000);
    init.prepare?.(shell(0, '', { argv: ['/bin/sh'] }), 20_000);
    const job = await init.spawn(shell(++lastId, 'set -- /proc/[0-9]*; echo $#'));
    expect((await output(job)).stdout).toBe('2\n');
    await job.exited; // the streams end before init has collected the process
    expect(children(init.pid)).toEqual([]);
  });

  test('a thousand jobs: every output is exact, every status its own, no descriptor remains', async () => {
    const before = openDescriptors();
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const id = ++lastId;
          const job = await init.spawn(
            shell(id, `printf 'out-${id}'; printf 'err-${id}' >&2; exit ${index}`),
          );
          const [streams, status] = await Promise.all([output(job), job.exited]);
          expect(streams).toEqual({ stdout: `out-${id}`, stderr: `err-${id}` });
          expect(status).toEqual({ exitCode: index });
          init.forget(id);
        }),
      );
    }
    await expectNoMoreDescriptors(before);
  }, 60_000);

  test('after a disconnect the output and the ends of jobs are handed over', async () => {
    const untilAway = 'until [ -e /tmp/away ]; do sleep 0.05; done;';
    const early = await init.spawn(shell(++lastId, `printf before; ${untilAway} printf after; exit 9`));
    const long = await init.spawn(shell(++lastId, `${untilAway} seq 1 50000; sleep 0.6; printf end`));
    init.disconnect();
    writeFileSync(join(depot.root, 'tmp/away'), '');
    await expect(early.exited).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(init.spawn(shell(9999, ''))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await new Promise((resolve) => setTimeout(resolve, 500));
    init = (await driver.connect(depot.spec(ID).directory))!;
    const [first, second] = [early.id, long.id].map((id) => init.recoveredJobs.find((job) => job.id === id)!);
    expect(await output(first!)).toEqual({ stdout: 'beforeafter', stderr: '' });
    expect(await first!.exited).toEqual({ exitCode: 9 });
    const { stdout } = await output(second!);
    const whole = `${Array.from({ length: 50_000 }, (_, i) => i + 1).join('\n')}\nend`;
    expect(second!.stdout.kept.lost).toBe(BigInt(whole.length - stdout.length));
    expect(whole.endsWith(stdout)).toBe(true);
    expect(stdout.length).toBeGreaterThanOrEqual(65_536);
    expect(await second!.exited).toEqual({ exitCode: 0 });
    init.forget(early.id);
    init.forget(long.id);
  });

  test('what is forgotten goes soon, with the next job or at the end of the connection, and no daemon hears of it again', async () => {
    const spec = depot.spec('0000000000m');
    let own = await start(driver, spec);
    try {
      const ended = async (): Promise<number> => {
        const job = await own.spawn(shell(++lastId, ''));
        await Promise.all([output(job), job.exited]);
        return job.id;
      };
      const kept = (): number => readdirSync(`/proc/${own.pid}/fd`).length;
      // what it closes at its start is closed when it answers
      await own.waitEmpty(20_000);
      const before = kept();
      own.forget(await ended());
      await expect.poll(kept, { timeout: 10_000 }).toBe(before);
      own.forget(await ended());
      own.forget(await ended());
      own.disconnect();
      own = (await driver.connect(spec.directory))!;
      expect(own.recoveredJobs).toEqual([]);
      await expect.poll(kept, { timeout: 10_000 }).toBe(before);
    } finally {
      await own.kill();
    }
  });

  test('the number of a job that was just forgotten is free', async () => {
    for (const status of [3, 4]) {
      const job = await init.spawn(shell(lastId + 1, `exit ${status}`));
      expect(await job.exited).toEqual({ exitCode: status });
      init.forget(job.id);
    }
    lastId++;
  });

  test('when init dies all that waits fails, and what was written is still delivered', async () => {
    const other = await start(driver, depot.spec('0000000000k'));
    const job = await other.spawn(shell(1, 'printf last-words; printf said >&2; exec sleep 600'));
    // it has written when it says so
    await new Promise<void>((resolve) =>
      job.stderr.start(
        () => resolve(),
        () => {},
      ),
    );
    const words: Buffer[] = [];
    const text = new Promise<string>((resolve) =>
      job.stdout.start(
        (chunk) => words.push(chunk),
        () => resolve(Buffer.concat(words).toString()),
      ),
    );
    const waiting = other.waitEmpty(60_000);
    process.kill(other.pid, 'SIGKILL');
    await other.closed;
    await expect(job.exited).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(waiting).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await text).toBe('last-words');
    await other.kill();
  });
});
