/** Rows of Stop, Spawn, Link and of two clients at once, on the real thing. */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

async function waitForFile(box: ClientContainer, name: string): Promise<void> {
  const file = path.join((await box.info()).containerPath!, 'tmp/rootfs/tmp', name);
  await expect.poll(() => fs.existsSync(file), { timeout: 20_000 }).toBe(true);
}

const EXITS_37 = 'trap "exit 37" TERM; touch /tmp/ready; while :; do sleep 0.05; done';
const IGNORES = 'trap "" TERM; touch /tmp/ready; while :; do sleep 1; done';

describeWith(['root', 'isolated', 'overlayfs'], 'stop', () => {
  const suite = withDaemon();

  it.each([
    [{ background: true }, 37],
    [{}, 37],
    [{ kill: true }, 255],
    [{ kill: true, background: true }, 255],
  ] as const)(
    'with %j from another connection ends a linked job with %i [behaviour 19.2 exit status]',
    async (options, status) => {
      const owner = await suite.daemon.connect();
      await using box = await owner.create();
      const linked = (await suite.daemon.connect()).container(box.handle).run(EXITS_37);
      await waitForFile(box, 'ready');
      await (await suite.daemon.connect()).container(box.handle).stop(options);
      const result = await linked;
      expect(result.exitStatus).toBe(status);
      expect(result.info.containerPath).toBe((await box.info()).containerPath);
    },
  );

  it('waits ten seconds for what ignores SIGTERM, then kills; whoever asks meanwhile waits too, and may cut it short [behaviour 5 Stop] [behaviour 20.27]', async () => {
    const owner = await suite.daemon.connect();
    await using patient = await owner.create();
    await using hurried = await owner.create();
    for (const box of [patient, hurried]) await box.spawn(IGNORES);
    await Promise.all([patient, hurried].map((box) => waitForFile(box, 'ready')));
    const began = performance.now();
    const seconds = async (stop: Promise<void>): Promise<number> => {
      await stop;
      return (performance.now() - began) / 1_000;
    };
    const first = seconds(patient.stop());
    const second = seconds(hurried.stop());
    await expect.poll(async () => (await patient.info()).state, { timeout: 10_000 }).toBe('stopped');
    const other = await suite.daemon.connect();
    const again = seconds(other.container(patient.handle).stop());
    const cut = seconds(other.container(hurried.handle).stop({ kill: true }));
    expect(await cut).toBeLessThan(9);
    expect(await second).toBeLessThan(9);
    expect(await first).toBeGreaterThanOrEqual(10);
    expect(await again).toBeGreaterThanOrEqual(10);
  }, 60_000);

  it('asks again every second [behaviour 5 Stop normal]', async () => {
    const owner = await suite.daemon.connect();
    await using box = await owner.create();
    // the seventh comes after six seconds; asked every other second, it would be killed after ten with fewer
    const job = await box.spawn(
      'n=0; trap "n=\\$((n+1)); [ \\$n = 7 ] && exit 33" TERM; touch /tmp/ready; while :; do sleep 0.05; done',
    );
    await waitForFile(box, 'ready');
    await box.stop();
    expect((await job.result()).exitStatus).toBe(33);
  });

  it('leaves files, and nothing that runs; stopped it stays [behaviour 4] [behaviour 5 Stop filesystem]', async () => {
    const owner = await suite.daemon.connect();
    await using box = await owner.create();
    await box.run('echo kept > /tmp/file; setsid sleep 600 >/dev/null 2>&1 &');
    await box.stop();
    const { containerPath } = await box.info();
    expect(fs.readFileSync(path.join(containerPath!, 'tmp/rootfs/tmp/file'), 'utf8')).toBe('kept\n');
    const init = fs.readFileSync(path.join(containerPath!, 'run/wshd.pid'), 'utf8').trim();
    expect(fs.readFileSync(`/proc/${init}/task/${init}/children`, 'utf8')).toBe('');
    const refused = { message: "Container state must be one of 'active', current state is 'stopped'" };
    await Promise.all(
      [box.run('true'), box.spawn('true'), box.netIn(), box.netOut({ port: 1 })].map((attempt) =>
        expect(attempt).rejects.toMatchObject(refused),
      ),
    );
    await box.stop({ kill: true });
    expect((await box.info()).state).toBe('stopped');
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'jobs of clients that come and go', () => {
  const suite = withDaemon();

  it("a script that cannot be found is the script's own status, not a failed spawn [behaviour 5 Spawn]", async () => {
    const owner = await suite.daemon.connect();
    await using box = await owner.create();
    expect((await box.run('/no/such/program')).exitStatus).toBe(127);
    expect((await box.run('/etc/passwd')).exitStatus).toBe(126);
    expect((await box.run('exit $((300 % 256))')).exitStatus).toBe(44);
  });

  it('lives on when its client goes, also a run, whose result the next one may take [behaviour 5 Spawn, Run] [behaviour 20.12]', async () => {
    const owner = await suite.daemon.connect();
    await using box = await owner.create();
    const gone = await suite.daemon.connect();
    const running = gone
      .container(box.handle)
      .run('touch /tmp/ready; until [ -e /tmp/go ]; do sleep 0.02; done; echo of the run; exit 3');
    await waitForFile(box, 'ready');
    const [id] = (await box.info()).jobIds;
    await Promise.all([gone.close(), expect(running).rejects.toMatchObject({ code: 'UNAVAILABLE' })]);
    await box.run('touch /tmp/go');
    const result = await box.job(id!).link();
    expect([text(result.stdout), result.exitStatus]).toEqual(['of the run\n', 3]);
  });

  it('is streamed again from its beginning after a stream was left, also a silent one [behaviour 5 Stream] [behaviour 19.2 Stream]', async () => {
    const owner = await suite.daemon.connect();
    await using box = await owner.create();
    const job = await box.spawn('echo first; until [ -e /tmp/go ]; do sleep 0.02; done; echo second');
    const leaving = await suite.daemon.connect();
    for await (const { data } of leaving.container(box.handle).job(job.id).stream()) {
      expect(text(data)).toBe('first\n');
      break;
    }
    const silent = await suite.daemon.connect();
    const chunks = silent.container(box.handle).job(job.id).stream();
    await chunks.next();
    const waiting = chunks.next().catch(() => {});
    await silent.close();
    await waiting;
    await box.run('touch /tmp/go');
    await expect.poll(async () => (await box.info()).jobIds, { timeout: 10_000 }).toEqual([]);
    let whole = '';
    for await (const { data } of box.job(job.id).stream()) whole += text(data);
    expect(whole).toBe('first\nsecond\n');
    await expect(box.job(job.id).link()).rejects.toMatchObject({ message: 'no such job' });
  });

  it('is linked and streamed on a stopped container [behaviour 5 Link state]', async () => {
    const owner = await suite.daemon.connect();
    await using box = await owner.create();
    const first = await box.spawn('echo one; touch first; exit 1');
    const second = await box.spawn('echo two; touch second; sleep 600');
    await box.run('until [ -e first -a -e second ]; do sleep 0.02; done'); // they may be slow to begin
    await box.stop({ kill: true });
    expect(text((await first.result()).stdout)).toBe('one\n');
    let output = '';
    for await (const { data } of second.output) output += text(data);
    expect(output).toBe('two\n');
  });

  it.each(['stdout', 'stderr'] as const)(
    'over the output limit on %s ends with 255 by run and by stream, and with its own status when discarded [behaviour 19.2 output]',
    async (stream) => {
      const owner = await suite.daemon.connect();
      const script = `head -c 12000000 /dev/zero ${stream === 'stderr' ? '>&2' : ''}; exit 4`;
      await using box = await owner.create();
      const run = await box.run(script);
      expect(run.exitStatus).toBe(255);
      expect(run[stream].length).toBeGreaterThan(10_485_760);
      expect(run[stream].length).toBeLessThanOrEqual(10_485_760 + 65_536);
      const job = await box.spawn(script);
      const chunks = job.stream();
      let length = 0;
      let next = await chunks.next();
      for (; !next.done; next = await chunks.next()) length += next.value.data.length;
      expect([next.value.exitStatus, length > 10_485_760]).toEqual([255, true]);
      expect((await box.run(script, { discardOutput: true })).exitStatus).toBe(4);
    },
    60_000,
  );
});
