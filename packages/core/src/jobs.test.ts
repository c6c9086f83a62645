/** Jobs and their output. */
import fs from 'node:fs';
import path from 'node:path';
import { type Container, silentLogger, type Warden } from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import type { TestHost } from '../test/host.ts';
import { eachAnew, run, SOON, script, text } from '../test/setting.ts';
import type { Core } from './index.ts';
import { JobOutput } from './job-output.ts';

let host: TestHost;
let core: Core;
let warden: Warden;

eachAnew(
  (setting) => ({ host, core, warden } = setting),
  () => core,
);

describe('jobs (spec behaviour.md 6)', () => {
  it('run as vcap, privileged as root', async () => {
    const box = await warden.create();
    expect((await run(box, { showUser: true })).stdout).toBe('vcap');
    const { stdout } = await (await box.spawn(script({ showUser: true }), { privileged: true })).link();
    expect(text(stdout)).toBe('root');
  });

  it('give everything to everybody who waits, and are gone afterwards', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ stdout: 'out', stderr: 'err', wait: 20, status: 9 }));
    const other = core.openSession().container(box.handle).job(job.id);
    const [first, second, streamed] = await Promise.all([job.link(), other.link(), collect(other.stream())]);
    for (const result of [first, second])
      expect([text(result.stdout), text(result.stderr), result.exitStatus]).toEqual(['out', 'err', 9]);
    expect(streamed).toEqual({ stdout: 'out', stderr: 'err', exitStatus: 9 });
    await expect(job.link()).rejects.toMatchObject({
      code: 'UNKNOWN_JOB',
      message: 'no such job',
      fields: { operation: 'find job', object: `job ${job.id} of ${box.handle}`, job: job.id },
    });
    await expect(collect(job.stream())).rejects.toMatchObject({ code: 'UNKNOWN_JOB' });
  });

  it('keep their result for whoever comes after an abandoned wait', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ stdout: 'kept', wait: 50 }));
    const controller = new AbortController();
    const waiting = job.link({ signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
    for await (const _ of job.stream()) break;
    expect(text((await job.link()).stdout)).toBe('kept');
  });

  it('keep their result until it has arrived where somebody passes it on', async () => {
    const box = await warden.create();
    const { id } = await box.spawn(script({ stdout: 'result' }));
    const lost = Promise.reject(new Error('the client has gone'));
    lost.catch(() => {});
    expect((await box.job(id).link({ taken: lost })).exitStatus).toBe(0);
    const stream = box.job(id).stream({ taken: lost });
    for (let next = await stream.next(); !next.done; ) next = await stream.next();
    let arrive = (): void => {};
    const taken = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const [one] = await Promise.all([box.job(id).link({ taken }), box.job(id).link({ taken: lost })]);
    expect(text(one.stdout)).toBe('result');
    expect((await box.info()).endedJobs).toMatchObject([{ id }]);
    arrive();
    await taken;
    await expect(box.job(id).link()).rejects.toMatchObject({ code: 'UNKNOWN_JOB' });
  });

  it('run for one who has gone before the result arrived are kept for the next daemon, too', async () => {
    const box = await warden.create({ handle: 'box' });
    const { id } = await box.spawn(script({ stdout: 'result' }), { awaited: true });
    const lost = Promise.reject(new Error('the client has gone'));
    lost.catch(() => {});
    await box.job(id).link({ taken: lost });
    await core.close();
    core = await host.start();
    expect(text((await core.openSession().container('box').job(id).link()).stdout)).toBe('result');
  });

  it('end at the output limit, not before, with an event', async () => {
    const box = await warden.create();
    const exact = await run(box, { bytes: 1_000_000, status: 3 });
    expect([exact.stdout.length, exact.exitStatus]).toEqual([1_000_000, 3]);
    expect((await box.info()).events).toEqual([]);
    const over = await run(box, { bytes: 1_000_001, forever: true });
    expect(over.exitStatus).toBe(255);
    expect(over.stdout.length).toBeGreaterThan(1_000_000);
    expect((await box.info()).events).toEqual(['command exceeded maximum output']);
  });

  it('of an earlier daemon have ended for what they ended for, whatever became of their container since', async () => {
    const box = await warden.create({ handle: 'box' });
    const jobs = [
      await box.spawn(script({ forever: true })),
      await box.spawn(script({ forever: true, stdout: 'x' }), { discardOutput: true }),
      await box.spawn(script({ forever: true })),
      await box.spawn(script({ status: 5 })),
      await box.spawn(script({ bytes: 1_000_001, forever: true })),
    ];
    await vi.waitFor(async () => expect((await box.info()).jobIds).toHaveLength(3), SOON);
    await jobs[0]!.kill({ reason: 'timeout' });
    await jobs[1]!.kill({ reason: 'timeout' });
    await jobs[2]!.kill();
    await vi.waitFor(async () => expect((await box.info()).jobIds).toEqual([]), SOON);
    await box.stop();
    const verdicts = ['timeout', 'timeout', 'signal', 'exited', 'output-limit'];
    for (let start = 0; start < 2; start++) {
      await core.close();
      core = await host.start();
      const { endedJobs } = await core.openSession().container('box').info();
      expect(endedJobs?.map(({ verdict }) => verdict?.reason)).toEqual(verdicts);
    }
    const same = core.openSession().container('box');
    const results = await Promise.all(jobs.map(({ id }) => same.job(id).link()));
    expect(results.map(({ verdict, exitStatus }) => [verdict?.reason, exitStatus])).toEqual([
      ['timeout', 255],
      ['timeout', 255],
      ['signal', 255],
      ['exited', 5],
      ['output-limit', 255],
    ]);
    const { containerPath } = await same.info();
    await vi.waitFor(() => expect(fs.readdirSync(path.join(containerPath!, 'jobs'))).toEqual([]), SOON);
  });

  it('that a time limit ended have ended for that, should the daemon go before it is told of the end', async () => {
    const box = await warden.create({ handle: 'box' });
    const [late, killed] = [
      await box.spawn(script({ forever: true })),
      await box.spawn(script({ forever: true })),
    ];
    const kills = [late.kill({ reason: 'timeout' }), killed.kill()];
    const closing = core.close();
    await Promise.allSettled(kills);
    await closing;
    core = await host.start();
    const same = core.openSession().container('box');
    const results = await Promise.all([late, killed].map(({ id }) => same.job(id).link()));
    expect(results.map(({ verdict, exitStatus }) => [verdict?.reason, exitStatus])).toEqual([
      ['timeout', 255],
      ['signal', 255],
    ]);
    const { containerPath } = await same.info();
    await vi.waitFor(() => expect(fs.readdirSync(path.join(containerPath!, 'jobs'))).toEqual([]), SOON);
  });

  it('of an earlier daemon keep the output limit that they were started with [behaviour 10 jobs]', async () => {
    const box = await warden.create({ handle: 'box' });
    const ended = await box.spawn(script({ bytes: 400_000, status: 3 }));
    const living = await box.spawn(script({ bytes: 400_000, wait: 400, status: 4 }));
    const over = await box.spawn(script({ bytes: 1_000_001, forever: true }));
    await vi.waitFor(async () => expect((await box.info()).jobIds).toEqual([living.id]), SOON);
    for (const jobOutputLimit of [1_000, 2_000_000]) {
      await core.close();
      core = await host.start({ jobOutputLimit });
    }
    const same = core.openSession().container('box');
    const results = await Promise.all([ended, living, over].map(({ id }) => same.job(id).link()));
    expect(results.map(({ exitStatus, verdict }) => [exitStatus, verdict?.reason])).toEqual([
      [3, 'exited'],
      [4, 'exited'],
      [255, 'output-limit'],
    ]);
    expect(results.slice(0, 2).map(({ stdout }) => stdout.length)).toEqual([400_000, 400_000]);
    const later = await same.spawn(script({ bytes: 1_500_000 }));
    expect((await later.link()).exitStatus).toBe(0);
  });

  it.each([0, -1])(
    'may print what they will with the output limit %i [config 2 job_output_limit]',
    async (jobOutputLimit) => {
      await core.close();
      core = await host.start({ jobOutputLimit });
      const box = await core.openSession().create();
      const { stdout, exitStatus } = await run(box, { bytes: 2_000_000, status: 3 });
      expect([stdout.length, exitStatus]).toEqual([2_000_000, 3]);
      expect((await box.info()).events).toEqual([]);
    },
  );

  it('answer 255 for a death by signal', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ forever: true }));
    expect((await box.info()).jobIds).toEqual([job.id]);
    await job.kill();
    expect((await job.link()).exitStatus).toBe(255);
    await expect(job.kill()).rejects.toMatchObject({ code: 'UNKNOWN_JOB' });
  });

  it('are told of when they have ended, until their results are taken', async () => {
    const box = await warden.create();
    const running = await box.spawn(script({ forever: true }));
    expect(await box.info()).not.toHaveProperty('endedJobs');
    const [first, second] = [await box.spawn(script({ status: 3 })), await box.spawn(script({}))];
    await expect.poll(async () => (await box.info()).jobIds).toEqual([running.id]);
    const verdict = { reason: 'exited' };
    const ended = [
      { id: first.id, exitStatus: 3, verdict },
      { id: second.id, exitStatus: 0, verdict },
    ];
    expect((await box.info()).endedJobs).toEqual(ended);
    const [report] = await warden.infoMany({ handles: [box.handle] });
    expect(report?.info?.endedJobs).toEqual(ended);
    expect((await first.link()).info).not.toHaveProperty('endedJobs');
    expect((await box.info()).endedJobs).toEqual(ended.slice(1));
    await second.link();
    expect(await box.info()).not.toHaveProperty('endedJobs');
  });

  it('have ids of their own across containers, from 1 on', async () => {
    const [first, second] = [await warden.create(), await warden.create()];
    const ids = [
      await first.spawn(script({})),
      await second.spawn(script({})),
      await first.spawn(script({})),
    ].map(({ id }) => id);
    expect(ids).toEqual([1, 2, 3]);
    await expect(second.job(ids[0]!).link()).rejects.toMatchObject({ code: 'UNKNOWN_JOB' });
  });

  it('keep their result although the info that goes with it fails [behaviour 20.12]', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ stdout: 'kept', status: 9 }));
    const [group] = host.groups.groups.keys();
    const facts = host.groups.groups.get(group!)!;
    host.groups.groups.delete(group!);
    await expect(box.info()).rejects.toThrow();
    const result = await job.link();
    expect([text(result.stdout), result.exitStatus, result.info.state]).toEqual(['kept', 9, 'active']);
    host.groups.groups.set(group!, facts);
  });

  it('streamed: the info is that of the end, with the event of the output limit [behaviour 20.22]', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ bytes: 1_200_000, forever: true }));
    const chunks = job.stream();
    let end = await chunks.next();
    while (!end.done) end = await chunks.next();
    expect(end.value).toMatchObject({
      exitStatus: 255,
      info: { events: ['command exceeded maximum output'], jobIds: [] },
    });
    await expect(job.link()).rejects.toMatchObject({ message: 'no such job' });
  });

  it('leave the configured limits of later ones alone [behaviour 20.21]', async () => {
    await core.close();
    core = await host.start({ rlimits: { nofile: 512n } });
    const box = await core.openSession().create();
    const limitOf = async (rlimits?: { nofile: bigint }): Promise<string> =>
      text((await (await box.spawn(script({ showLimit: 7 }), rlimits && { rlimits })).link()).stdout);
    expect([await limitOf({ nofile: 77n }), await limitOf()]).toEqual(['77', '512']);
  });

  it('say so when they cannot be started, and leave nothing [behaviour 20.14]', async () => {
    const box = await warden.create();
    const { containerPath } = await box.info();
    await expect(box.spawn('not JSON', { rlimits: { nofile: -1n } })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
    });
    await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
    await expect(box.spawn(script({}))).rejects.toMatchObject({
      code: expect.stringMatching(/UNAVAILABLE|BAD_STATE/),
    });
    expect(
      fs.existsSync(path.join(containerPath!, 'jobs'))
        ? fs.readdirSync(path.join(containerPath!, 'jobs'))
        : [],
    ).toEqual([]);
  });

  it('refuse limits that do not exist', async () => {
    const box = await warden.create();
    await expect(box.spawn(script({}), { rlimits: { nofiles: 1n } as never })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
    });
    await expect(box.spawn(script({}), { rlimits: { nofile: -1n } })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
    });
  });

  it('refuse more variables than init takes', async () => {
    const box = await warden.create();
    const environment = Object.fromEntries(Array.from({ length: 4_001 }, (_, at) => [`V${at}`, '']));
    await expect(box.spawn(script({}), { environment })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      fields: { object: 'environment' },
    });
    delete environment.V0;
    expect((await (await box.spawn(script({}), { environment })).link()).exitStatus).toBe(0);
  });
});

async function collect(
  stream: ReturnType<ReturnType<Container['job']>['stream']>,
): Promise<{ stdout: string; stderr: string; exitStatus: number }> {
  const output = { stdout: '', stderr: '' };
  for (;;) {
    const next = await stream.next();
    if (next.done) return { ...output, exitStatus: next.value.exitStatus };
    output[next.value.stream] += text(next.value.data);
  }
}

describe('job output', () => {
  it('costs no more memory than it has bytes, however small and mixed the writes', () => {
    const output = new JobOutput();
    const before = process.memoryUsage().arrayBuffers;
    for (let at = 0; at < 20_000; at++)
      output.append(at % 2 === 0 ? 'stdout' : 'stderr', Buffer.from([at & 255]));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
    expect(output.collect('stdout')).toHaveLength(10_000);
    expect(output.collect('stderr')[1]).toBe(3);
  });

  it('reads the streams in about the order they were written', async () => {
    const output = new JobOutput();
    for (const [stream, data] of [
      ['stdout', 'a'],
      ['stderr', 'b'],
      ['stdout', 'c'],
    ] as const)
      output.append(stream, Buffer.from(data));
    output.complete();
    const read: string[] = [];
    for await (const { stream, data } of output.read()) read.push(`${stream} ${data}`);
    expect(read).toEqual(['stdout ac', 'stderr b']);
  });

  it('is one buffer for all who take it once it is complete, and readers on their way go on', async () => {
    const output = new JobOutput();
    const [head, tail] = [Buffer.alloc(5_000, 'a'), Buffer.alloc(5_000, 'b')];
    output.append('stdout', head);
    const late = output.read();
    const read = [(await late.next()).value!.data];
    output.append('stdout', tail);
    expect(output.collect('stdout')).not.toBe(output.collect('stdout')); // it is not all yet
    output.complete();
    const whole = output.collect('stdout');
    expect(whole).toEqual(Buffer.concat([head, tail]));
    expect(output.collect('stdout')).toBe(whole);
    for await (const { data } of late) read.push(data);
    expect(Buffer.concat(read)).toEqual(whole);
    // what was collected before is not kept beside it
    for await (const { data } of output.read()) expect(data.buffer).toBe(whole.buffer);
  });

  it('wakes a reader that leaves while nothing is printed, and keeps the job', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ wait: 5_000 }));
    const stream = job.stream();
    const step = stream.next();
    const began = Date.now();
    await Promise.allSettled([step, stream.return({} as never)]);
    expect(Date.now() - began).toBeLessThan(2_000);
    await job.kill();
    expect((await job.link()).exitStatus).toBe(255);
  });
});
