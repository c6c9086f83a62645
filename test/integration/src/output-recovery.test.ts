/**
 * What a killed daemon had collected, what init kept meanwhile and what came later are one output, without
 * gap or repetition.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer, ClientJob } from '@warden/client';
import { encodeFrame, encodeMessage, MessageType } from '@warden/protocol';
import { describeWith, startDaemon, type TestDaemon, type TestDaemonOptions } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';
import { touchInside } from './touch-inside.ts';

/** Runs `body` with a daemon that it may replace. */
async function withRestarts(
  body: (life: {
    daemon: TestDaemon;
    restart(signal?: NodeJS.Signals, options?: TestDaemonOptions): Promise<void>;
    again(box: ClientContainer, job: ClientJob): Promise<ClientJob>;
  }) => Promise<void>,
  options: TestDaemonOptions = {},
): Promise<void> {
  const life = {
    daemon: await startDaemon(options),
    restart: async (signal: NodeJS.Signals = 'SIGKILL', other: TestDaemonOptions = options) => {
      const { place } = life.daemon;
      await life.daemon.kill(signal);
      life.daemon = await startDaemon({ ...other, place });
    },
    again: async (box: ClientContainer, job: ClientJob) =>
      (await life.daemon.connect()).container(box.handle).job(job.id),
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

const WAIT = (name: string): string => `until [ -e /tmp/${name} ]; do sleep 0.02; done`;
const exists =
  (file: string): (() => boolean) =>
  () =>
    fs.existsSync(file);

describeWith(['root', 'isolated', 'overlayfs'], 'output over a killed daemon', () => {
  it('of a running job is linked whole: before, meanwhile, and after [behaviour 10 jobs]', async () => {
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const { containerPath = '' } = await box.info();
      const job = await box.spawn(
        `echo before; echo error >&2; touch /tmp/began; ${WAIT('away')}; echo meanwhile; touch /tmp/printed; ${WAIT('go')}; echo after; exit 12`,
      );
      await expect
        .poll(exists(path.join(containerPath, 'tmp/rootfs/tmp/began')), { timeout: 20_000 })
        .toBe(true);
      // the daemon has taken it out of the pipe
      await expect
        .poll(() => fs.existsSync(path.join(containerPath, `jobs/${job.id}/stdout`)), { timeout: 20_000 })
        .toBe(true);
      await life.daemon.kill('SIGKILL');
      touchInside(containerPath, '/tmp/away');
      await expect
        .poll(exists(path.join(containerPath, 'tmp/rootfs/tmp/printed')), { timeout: 20_000 })
        .toBe(true);
      await life.restart();
      touchInside(containerPath, '/tmp/go');
      const same = await life.again(box, job);
      const whole = { stdout: '', stderr: '' };
      for await (const { stream, data } of same.stream()) whole[stream] += text(data);
      expect(whole).toEqual({ stdout: 'before\nmeanwhile\nafter\n', stderr: 'error\n' });
      // streamed to the end by now, and gone
      await expect(same.link()).rejects.toMatchObject({ message: 'no such job' });
      await expect.poll(exists(path.join(containerPath, `jobs/${job.id}`)), { timeout: 10_000 }).toBe(false);
    });
  }, 60_000);

  it('of a job that has ended, and nobody has taken, is there with its status, also more than a pipe holds [behaviour 10 jobs]', async () => {
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const long = await box.spawn('seq 1 100000; echo done >&2; exit 44');
      const short = await box.spawn('echo short; exit 3');
      await expect.poll(async () => (await box.info()).jobIds, { timeout: 20_000 }).toEqual([]);
      for (const _ of [1, 2]) await life.restart();
      const results = await Promise.all(
        [long, short].map(async (job) => (await life.again(box, job)).link()),
      );
      expect(results.map(({ exitStatus }) => exitStatus)).toEqual([44, 3]);
      expect(text(results[0]!.stdout)).toBe(
        `${Array.from({ length: 100_000 }, (_, at) => at + 1).join('\n')}\n`,
      );
      expect([text(results[0]!.stderr), text(results[1]!.stdout)]).toEqual(['done\n', 'short\n']);
    });
  }, 60_000);

  it('has neither a gap nor a repetition however often and whenever the daemon is killed', async () => {
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const job = await box.spawn(
        `n=0; until [ -e /tmp/enough ]; do n=$((n+1)); echo "line $n"; echo "error $n" >&2; [ $((n % 7)) = 0 ] && sleep 0.01; done; echo $n`,
      );
      const { containerPath = '' } = await box.info();
      for (let round = 0; round < 4; round++) {
        await delay(30 + 60 * round);
        await life.restart();
      }
      touchInside(containerPath, '/tmp/enough');
      const result = await (await life.again(box, job)).link();
      const lines = text(result.stdout).trim().split('\n');
      const count = Number(lines.pop());
      expect(count).toBeGreaterThan(50);
      if (!life.daemon.readLog().includes('job-output-lost')) {
        expect(lines).toEqual(Array.from({ length: count }, (_, at) => `line ${at + 1}`));
        expect(text(result.stderr).trim().split('\n')).toEqual(
          Array.from({ length: count }, (_, at) => `error ${at + 1}`),
        );
      } else {
        // a machine so slow that more than a ring came while no daemon was there: still in order and once each
        const numbers = lines.map((line) => Number(line.split(' ').at(-1)));
        expect(numbers.slice(1).filter((number, at) => number < numbers[at]!)).toEqual([]);
      }
    });
  }, 120_000);

  it('is neither lost nor repeated by a daemon that dies between putting it away and telling init', async () => {
    await withRestarts(async (life) => {
      const { place } = life.daemon;
      const box = await (await life.daemon.connect()).create();
      const { containerPath = '' } = await box.info();
      const job = await box.spawn(
        `echo one; ${WAIT('two')}; echo two; touch /tmp/printed; ${WAIT('go')}; echo three`,
      );
      await life.daemon.kill('SIGKILL');
      touchInside(containerPath, '/tmp/two');
      await expect
        .poll(exists(path.join(containerPath, 'tmp/rootfs/tmp/printed')), { timeout: 20_000 })
        .toBe(true);
      for (const _ of [1, 2]) {
        const dying = startDaemon({ place, environment: { WARDEN_FAILPOINT: 'recover.acknowledge=kill' } });
        await expect(dying).rejects.toThrow(/wardend ended/);
      }
      expect(fs.readFileSync(path.join(containerPath, `jobs/${job.id}/stdout`), 'utf8')).toBe('one\ntwo\n');
      await life.restart();
      touchInside(containerPath, '/tmp/go');
      expect(text((await (await life.again(box, job)).link()).stdout)).toBe('one\ntwo\nthree\n');
    });
  }, 60_000);

  it('of a job that was taken does not come back, and ids of living jobs stay theirs [behaviour 6.1] [behaviour 20.16]', async () => {
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      await box.run('echo taken');
      const linked = await box.spawn('echo linked');
      await linked.result();
      const living = await box.spawn('sleep 600');
      await life.restart();
      const same = (await life.daemon.connect()).container(box.handle);
      await expect(same.job(linked.id).link()).rejects.toMatchObject({ message: 'no such job' });
      expect((await same.info()).jobIds).toEqual([living.id]);
      expect((await same.spawn('true')).id).toBe(living.id + 1);
      const jobs = path.join((await same.info()).containerPath!, 'jobs');
      expect(fs.readdirSync(jobs)).not.toContain(String(linked.id));
    });
  }, 60_000);

  it('that is on its way is there again when the client that waits for it goes, and when the daemon is killed [DECISIONS client gone]', async () => {
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const job = await box.spawn('head -c 4000000 /dev/zero; exit 7');
      await expect.poll(async () => (await box.info()).jobIds, { timeout: 20_000 }).toEqual([]);
      /** Asks for all of it, and reads nothing. */
      const ask = async (): Promise<net.Socket> => {
        const socket = net.connect(life.daemon.place.socket).pause();
        socket.on('error', () => {});
        await once(socket, 'connect');
        socket.write(encodeFrame(encodeMessage(MessageType.Link, { handle: box.handle, job_id: job.id })));
        await delay(500);
        return socket;
      };
      (await ask()).destroy();
      await delay(200);
      await ask();
      await life.restart();
      const { exitStatus, stdout } = await (await life.again(box, job)).link();
      expect([exitStatus, stdout.length]).toEqual([7, 4_000_000]);
    });
  }, 60_000);

  it('of a job that printed too much is what it was, with 255 and the event [behaviour 6.4 tripped]', async () => {
    const options = { config: { server: { job_output_limit: 100_000 } } };
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const job = await box.spawn('while :; do echo 0123456789012345678901234567890123456789; done');
      await expect.poll(async () => (await box.info()).jobIds, { timeout: 20_000 }).toEqual([]);
      await life.restart();
      const result = await (await life.again(box, job)).link();
      expect(result.exitStatus).toBe(255);
      expect(result.stdout.length).toBeGreaterThan(100_000);
      expect(result.stdout.length).toBeLessThanOrEqual(100_000 + 65_536);
      expect(result.info.events).toEqual(['command exceeded maximum output']);
    }, options);
  }, 60_000);

  it('that is discarded stays discarded [behaviour 10 discard_output]', async () => {
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const job = await box.spawn(`echo a; ${WAIT('go')}; echo b; exit 6`, { discardOutput: true });
      const { containerPath = '' } = await box.info();
      await life.restart();
      touchInside(containerPath, '/tmp/go');
      const chunks: string[] = [];
      for await (const { data } of (await life.again(box, job)).stream()) chunks.push(text(data));
      expect(chunks).toEqual([]);
    });
  }, 60_000);

  it('is only what remains where the original is to be imitated [behaviour 10 jobs, recovered_output]', async () => {
    const options = { config: { compat: { recovered_output: 'remaining' } } };
    await withRestarts(async (life) => {
      const box = await (await life.daemon.connect()).create();
      const { containerPath = '' } = await box.info();
      const ended = await box.spawn('echo gone; exit 8');
      const running = await box.spawn(`echo gone; touch /tmp/began; ${WAIT('go')}; echo remaining; exit 9`);
      const live: string[] = [];
      for await (const { data } of running.output) if (live.push(text(data)) > 0) break;
      await expect.poll(async () => (await box.info()).jobIds, { timeout: 20_000 }).toEqual([running.id]);
      await life.restart('SIGUSR2');
      touchInside(containerPath, '/tmp/go');
      const results = await Promise.all(
        [ended, running].map(async (job) => (await life.again(box, job)).link()),
      );
      expect(results.map(({ stdout, exitStatus }) => [text(stdout), exitStatus])).toEqual([
        ['', 8],
        ['remaining\n', 9],
      ]);
    }, options);
  }, 60_000);
});
