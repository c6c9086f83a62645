/** The engine over the fakes of the compliance kit, which are proven to keep the contracts. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Program } from '@warden/driver-compliance';
import {
  type CgroupDriver,
  type Container,
  type DriverState,
  type ImageStore,
  type Init,
  type NetOutSpec,
  type NetworkDriver,
  silentLogger,
  type Warden,
  WardenError,
} from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EMPTY, NETWORK, TestHost } from '../test/host.ts';
import { CREATE_FAILPOINTS } from './failpoint-names.ts';
import { type Core, type CoreOptions, setAside } from './index.ts';
import { JobOutput } from './job-output.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

/** Scripts of these tests are JSON: what to print, how to end. */
interface Script {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly status?: number;
  /** Milliseconds before the end. */
  readonly wait?: number;
  /** Ignores everything but SIGKILL. */
  readonly forever?: boolean;
  /** Bytes in pieces of 64 KiB. */
  readonly bytes?: number;
  readonly showUser?: boolean;
  /** Prints the limit of this number. */
  readonly showLimit?: number;
}

const program: Program = async ({ spec, write, killed }) => {
  const script = JSON.parse(Buffer.from(spec.stdin).toString()) as Script;
  if (script.showUser) write('stdout', spec.user);
  if (script.showLimit !== undefined)
    write('stdout', String(spec.rlimits.find(({ resource }) => resource === script.showLimit)?.soft));
  if (script.stdout) write('stdout', script.stdout);
  if (script.stderr) write('stderr', script.stderr);
  for (let left = script.bytes ?? 0; left > 0; left -= 65_536)
    write('stdout', Buffer.alloc(Math.min(left, 65_536), 'x'));
  if (script.wait) await new Promise((resolve) => setTimeout(resolve, script.wait));
  if (script.forever) return { signal: await killed };
  return { exitCode: script.status ?? 0 };
};

let host: TestHost;
let core: Core;
let warden: Warden;

beforeEach(async () => {
  host = new TestHost({ program });
  fs.writeFileSync(path.join(host.rootfs, 'file'), 'base');
  core = await host.start();
  warden = core.openSession();
});
afterEach(async () => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  await core.close();
  host.remove();
});

const script = (value: Script): string => JSON.stringify(value);
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
async function run(
  box: Container,
  value: Script,
): Promise<{ stdout: string; stderr: string; exitStatus: number }> {
  const { stdout, stderr, exitStatus } = await (await box.spawn(script(value))).link();
  return { stdout: text(stdout), stderr: text(stderr), exitStatus };
}

describe('create (spec behaviour.md 5)', () => {
  it('makes what the drivers offer, and destroy removes all of it', async () => {
    const box = await warden.create({ handle: 'mine' });
    expect(await warden.list()).toEqual(['mine']);
    expect(host.inventory()).not.toEqual(EMPTY);
    expect(await box.info()).toMatchObject({
      state: 'active',
      hostIp: '10.254.0.1',
      containerIp: '10.254.0.2',
      jobIds: [],
    });
    await box.destroy();
    expect(host.inventory()).toEqual(EMPTY);
    await expect(box.info()).rejects.toMatchObject({
      code: 'UNKNOWN_HANDLE',
      message: 'unknown handle',
      fields: { operation: 'find container', object: box.handle, handle: box.handle },
    });
  });

  it.each(CREATE_FAILPOINTS)('leaves nothing when it fails at %s, and can be repeated', async (name) => {
    await core.close();
    vi.stubEnv('WARDEN_FAILPOINT', `${name}=error`);
    core = await host.start({
      uids: { first: 10_000, count: 1 },
      network: { ...NETWORK, pool: '10.254.0.0/30' },
    });
    const session = core.openSession();
    for (let round = 0; round < 3; round++) {
      await expect(session.create({ handle: 'never' })).rejects.toMatchObject({
        message: `failpoint ${name}`,
      });
      expect(host.inventory()).toEqual(EMPTY);
      expect(await session.list()).toEqual([]);
    }
  });

  it.each([
    ['network', { network: { ...NETWORK, pool: '10.254.0.0/29' } }],
    ['uid', { uids: { first: 10_000, count: 2 } }],
  ])(
    'that cannot be undone keeps its record, and its %s from others, until the next daemon',
    async (pool, over) => {
      await core.close();
      vi.stubEnv('WARDEN_FAILPOINT', '1*create.proceed=error');
      const drivers = host.drivers();
      const refused = new WardenError('NATIVE_FAILED', 'the link is in use');
      const release = vi.fn(drivers.network.release).mockRejectedValueOnce(refused);
      const error = vi.fn();
      core = await host.start({
        drivers: { ...drivers, network: { ...drivers.network, release } },
        logger: { ...silentLogger, error },
        ...over,
      });
      const session = core.openSession();
      await expect(session.create({ handle: 'box' })).rejects.toMatchObject({
        message: 'failpoint create.proceed',
        suppressed: [refused],
      });
      expect(error).toHaveBeenCalledWith(
        'undo-failed',
        expect.objectContaining({ handle: 'box', error: refused }),
      );
      const box = await session.create({ handle: 'box' });
      expect(fs.readdirSync(host.depot)).toHaveLength(2);
      await expect(session.create()).rejects.toMatchObject({
        code: 'POOL_EXHAUSTED',
        fields: { pool, limit: 2 },
      });
      await core.close();
      vi.unstubAllEnvs();
      core = await host.start(over);
      await (await core.openSession().create()).destroy();
      expect([await core.openSession().list(), fs.readdirSync(host.depot)]).toEqual([
        ['box'],
        [path.basename((await box.info()).containerPath!)],
      ]);
    },
  );

  it('refuses by the specified texts before anything is taken', async () => {
    await warden.create({ handle: 'taken' });
    const cases: [Parameters<Warden['create']>[0], string, string][] = [
      [{ handle: 'taken' }, 'ALREADY_EXISTS', 'container with handle: taken already exists.'],
      [{ rootfs: '/nonexistent' }, 'INVALID_SPEC', 'rootfs /nonexistent not found'],
      [
        { bindMounts: [{ source: '/nonexistent', target: '/x', mode: 'ro' }] },
        'INVALID_SPEC',
        'Source path for bind mount does not exist: /nonexistent',
      ],
      [{ bindMounts: [{ source: '/tmp', target: '/x', mode: '2' as 'ro' }] }, 'INVALID_SPEC', 'Unknown mode'],
      [
        { bindMounts: [{ source: '/tmp', target: '/../', mode: 'ro' }] },
        'INVALID_SPEC',
        'target path of a bind mount must be absolute and not the root: /../',
      ],
      [
        { bindMounts: [{ source: '/tmp', target: '/x\0/y', mode: 'ro' }] },
        'INVALID_SPEC',
        'target path of a bind mount holds a NUL byte',
      ],
      [{ network: '1.1.1.1' }, 'INVALID_SPEC', 'Could not acquire network: 1.1.1.0'],
      [{ network: '1.1.1.999' }, 'INVALID_SPEC', 'invalid address: 1.1.1.999'],
    ];
    for (const [spec, code, message] of cases)
      await expect(warden.create(spec)).rejects.toMatchObject({ code, message });
    expect(await warden.list()).toEqual(['taken']);
  });

  it('reserves the handle: of two at the same time one wins', async () => {
    const results = await Promise.allSettled([
      warden.create({ handle: 'same' }),
      warden.create({ handle: 'same' }),
    ]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(await warden.list()).toEqual(['same']);
  });

  it('takes the wanted network and gives it back', async () => {
    const box = await warden.create({ network: '10.254.0.10' });
    expect(await box.info()).toMatchObject({ hostIp: '10.254.0.9', containerIp: '10.254.0.10' });
    await expect(warden.create({ network: '10.254.0.8' })).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    await box.destroy();
    await (await warden.create({ network: '10.254.0.8' })).destroy();
  });

  it('says which pool is empty', async () => {
    await core.close();
    core = await host.start({ uids: { first: 10_000, count: 1 } });
    const session = core.openSession();
    await session.create();
    await expect(session.create()).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: 'no uid available',
      fields: { pool: 'uid', used: 1, limit: 1 },
    });
  });

  it('survives many at the same time', async () => {
    const boxes = await Promise.all(Array.from({ length: 16 }, () => warden.create()));
    expect(
      new Set((await Promise.all(boxes.map((box) => box.info()))).map(({ containerIp }) => containerIp)).size,
    ).toBe(16);
    await Promise.all(boxes.map((box) => box.destroy()));
    expect(host.inventory()).toEqual(EMPTY);
  });
});

describe('what a client chooses', () => {
  it('cannot take the place of a container by guessing the next id', async () => {
    const first = await warden.create();
    const next = (handle: string): string => {
      let value = 0n;
      for (const digit of handle) value = value * 32n + BigInt(Number.parseInt(digit, 32));
      return (value + 2n).toString(32).padStart(11, '0');
    };
    const named = await warden.create({ handle: next(first.handle) });
    const others = [await warden.create(), await warden.create()];
    expect(new Set([first, named, ...others].map(({ handle }) => handle)).size).toBe(4);
    expect(await warden.list()).toHaveLength(4);
  });
});

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

describe('stop and destroy (spec behaviour.md 5)', () => {
  it('ends processes although the record cannot be written', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ forever: true }));
    const renameSync = vi.spyOn(fs, 'renameSync').mockImplementation(() => {
      throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    });
    await expect(box.stop({ kill: true })).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { errno: 'ENOSPC' },
    });
    renameSync.mockRestore();
    expect((await job.link()).exitStatus).toBe(255);
    // it stays stopped, and the next stop does what this one could not [behaviour 20.28]
    expect((await box.info()).state).toBe('stopped');
    await box.stop();
    await core.close();
    core = await host.start();
    expect((await core.openSession().container(box.handle).info()).state).toBe('stopped');
  });

  it('ends what stands still: paused, or frozen by somebody else', async () => {
    const group = async (box: Container): Promise<{ isFrozen: boolean }> =>
      host.groups.groups.get(`/core/instance-${path.basename((await box.info()).containerPath!)}`)!;
    const record = async (box: Container): Promise<{ warden: { paused?: boolean } }> =>
      JSON.parse(fs.readFileSync(path.join((await box.info()).containerPath!, 'snapshot.json'), 'utf8'));
    const [paused, frozen] = [await warden.create(), await warden.create()];
    await paused.pause();
    expect([(await group(paused)).isFrozen, (await record(paused)).warden.paused]).toEqual([true, true]);
    (await group(frozen)).isFrozen = true;
    for (const box of [paused, frozen]) {
      await box.stop();
      expect([(await group(box)).isFrozen, (await record(box)).warden.paused]).toEqual([false, undefined]);
    }
  });

  it('leaves a newer container of the same handle alone, whatever an older one is still asked [behaviour 20.25] [behaviour 20.32]', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const owner = core.openSession();
    const old = await owner.create({ handle: 'same', graceTime: 5 });
    await owner.close(); // the grace time runs
    await Promise.all([old.destroy(), old.destroy()]);
    const other = core.openSession();
    const { containerPath } = await (await other.create({ handle: 'same' })).info();
    await vi.advanceTimersByTimeAsync(100_000);
    expect((await other.container('same').info()).containerPath).toBe(containerPath);
  });

  it('stops once for all, keeps results, and admits nothing new', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ stdout: 'printed', forever: true }));
    await Promise.all([box.stop(), box.stop({ kill: true }), box.stop({ background: true })]);
    expect(await box.info()).toMatchObject({ state: 'stopped', jobIds: [] });
    await expect(box.spawn(script({}))).rejects.toMatchObject({
      code: 'BAD_STATE',
      message: "Container state must be one of 'active', current state is 'stopped'",
    });
    await expect(box.netIn()).rejects.toMatchObject({ code: 'BAD_STATE' });
    expect(text((await job.link()).stdout)).toBe('printed');
    await box.stop();
  });

  it('gives waiting links the obituary [behaviour 5 Destroy 1]', async () => {
    const box = await warden.create();
    const job = await box.spawn(script({ forever: true }));
    const waiting = job.link();
    await box.destroy();
    expect(await waiting).toMatchObject({ exitStatus: 255, info: { state: 'active', jobIds: [job.id] } });
  });

  it('answers a destroy when the directory is aside, where files count nowhere; they go behind it, by the next daemon if need be', async () => {
    await core.close();
    const drivers = host.drivers();
    const quota = { ...drivers.quota, countsFiles: () => false };
    let isHeld = true;
    const removeTree = async (directory: string): Promise<void> => {
      if (isHeld) await new Promise(() => {});
      fs.rmSync(directory, { recursive: true });
    };
    core = await host.start({ drivers: { ...drivers, quota }, removeTree });
    const session = core.openSession();
    const box = await session.create({ handle: 'again' });
    const { containerPath } = await box.info();
    await box.destroy();
    expect(fs.existsSync(containerPath!)).toBe(false);
    const aside = path.join(host.depot, '.removed');
    expect(fs.readdirSync(aside)).toHaveLength(1);
    // of the groups only what nobody can see by the container's name, until the files are gone
    const groups = [expect.stringContaining('/removed-')];
    expect(host.inventory()).toEqual({ ...EMPTY, depot: ['.removed'], groups });
    const second = await session.create({ handle: 'again' });
    expect(await session.list()).toEqual(['again']);
    isHeld = false;
    await second.destroy();
    await vi.waitFor(() => expect(fs.readdirSync(aside)).toHaveLength(1), SOON);
    await vi.waitFor(() => expect(host.inventory()).toMatchObject({ groups }), SOON);
    core = await host.start({ removeTree });
    expect(host.inventory()).toMatchObject({ groups: [] });
    await vi.waitFor(() => expect(fs.readdirSync(aside)).toEqual([]), SOON);
    expect(await core.openSession().list()).toEqual([]);
  });

  it('removes the files before it answers when the directory cannot be moved', async () => {
    await core.close();
    const drivers = host.drivers();
    core = await host.start({
      drivers: { ...drivers, quota: { ...drivers.quota, countsFiles: () => false } },
    });
    fs.writeFileSync(path.join(host.depot, '.removed'), 'in the way');
    const box = await core.openSession().create();
    await box.destroy();
    expect(host.inventory()).toEqual({ ...EMPTY, depot: ['.removed'] }); // the groups are gone altogether, too
  });

  it('records what is known of the groups once they are made, and hands that back, also the next one', async () => {
    const given: [string, DriverState][] = [];
    const drivers = (): CoreOptions['drivers'] => {
      const base = host.drivers();
      const cgroup: CgroupDriver = {
        ...base.cgroup,
        create: async (spec, state) => {
          await base.cgroup.create(spec, state);
          return { ...state, spent: '1 2' };
        },
        memoryStat: (state) => {
          given.push(['stat', state]);
          return base.cgroup.memoryStat(state);
        },
        release: (state) => {
          given.push(['release', state]);
          return base.cgroup.release(state);
        },
      };
      return { ...base, cgroup };
    };
    await core.close();
    core = await host.start({ drivers: drivers() });
    const box = await core.openSession().create({ handle: 'box' });
    await box.info();
    const state = {
      path: `/core/instance-${path.basename((await box.info()).containerPath!)}`,
      spent: '1 2',
    };
    expect(given.splice(0)).toEqual([
      ['stat', state],
      ['stat', state],
    ]);
    await core.close();
    core = await host.start({ drivers: drivers() });
    const again = core.openSession().container('box');
    await again.info();
    await again.destroy();
    expect(given).toContainEqual(['stat', state]);
    expect(given.at(-1)).toEqual(['release', state]);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('closes the groups’ driver when nothing of the containers is left to be removed, and ends all the same when that fails', async () => {
    await core.close();
    const warn = vi.fn();
    const drivers = host.drivers();
    const close = vi.fn(async () => {
      throw new WardenError('NATIVE_FAILED', 'Failed to delete it');
    });
    core = await host.start({
      drivers: { ...drivers, cgroup: { ...drivers.cgroup, close } },
      logger: { ...silentLogger, warn },
    });
    await (await core.openSession().create()).destroy();
    expect(close).not.toHaveBeenCalled();
    await core.close();
    expect(close).toHaveBeenCalledOnce();
    expect(warn).toHaveBeenCalledWith('kept-groups-left', { error: expect.any(WardenError) });
  });

  it('gives back all that a container has, also when its image cannot be released', async () => {
    const images = {
      use: () => ({ image: 'sha256:1', layers: [host.rootfs] }),
      release: () => {
        throw new WardenError('INVALID_SPEC', 'index.json is damaged');
      },
      recover: async () => {},
    } as unknown as ImageStore;
    await core.close();
    const error = vi.fn();
    core = await host.start({ images, logger: { ...silentLogger, error } });
    const session = core.openSession();
    const box = await session.create({ image: 'one', network: '10.254.0.8', handle: 'box' });
    await box.destroy();
    expect([await session.list(), host.inventory()]).toEqual([[], EMPTY]);
    expect(error).toHaveBeenCalledWith('image-not-released', expect.objectContaining({ handle: 'box' }));
    await (await session.create({ handle: 'box' })).destroy();
  });

  it('freezes a container for a snapshot when the store begins, not while it waits', async () => {
    let begin = (): void => {};
    const turn = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const taken = { id: 'sha256:2', names: ['snap:latest'], bytes: 0, layers: [], usedBy: [] };
    const frozen: boolean[] = [];
    const captured = vi.fn<ImageStore['capture']>(async (_spec, { whileStill } = {}) => {
      await turn;
      return whileStill!(async () => {
        frozen.push(await isFrozen());
        return taken;
      });
    });
    const images = {
      use: () => ({ image: 'sha256:1', layers: [host.rootfs] }),
      release: () => {},
      recover: async () => {},
      capture: captured,
    } as unknown as ImageStore;
    await core.close();
    const drivers = host.drivers();
    const { cgroup, filesystem } = drivers;
    const stacking = Object.assign(Object.create(filesystem) as typeof filesystem, {
      supports: { ...filesystem.supports, stacksLayers: true },
      writableLayer: () => host.rootfs,
    });
    core = await host.start({ images, drivers: { ...drivers, filesystem: stacking } });
    let session = core.openSession();
    let box = await session.create({ image: 'one' });
    const freeze = vi.spyOn(cgroup, 'freeze');
    const isFrozen = (): Promise<boolean> => cgroup.isFrozen(freeze.mock.calls[0]![0]);
    const { signal } = new AbortController();
    const snapshot = session.images!.snapshot(box.handle, 'snap', { signal });
    await vi.waitFor(() => expect(captured).toHaveBeenCalled(), SOON);
    expect([freeze.mock.calls.length, captured.mock.calls[0]![1]!.signal!.aborted]).toEqual([0, false]);
    // nor is it kept from anything else
    await box.limitMemory(1n << 30n);
    begin();
    expect(await snapshot).toEqual(taken);
    expect([frozen, await isFrozen()]).toEqual([[true], false]);
    // one that a daemon ends with goes on without it
    let hasBegun = (): void => {};
    const begun = new Promise<void>((resolve) => {
      hasBegun = resolve;
    });
    captured.mockImplementationOnce(async (_spec, options) =>
      options!.whileStill!(async () => {
        hasBegun();
        return new Promise((_resolve, reject) => {
          options!.signal!.addEventListener('abort', () => reject(new Error('given up')));
        });
      }),
    );
    const last = session.images!.snapshot(box.handle, 'snap').catch((error: unknown) => error);
    await begun;
    expect(await isFrozen()).toBe(true);
    await core.close();
    expect(await isFrozen()).toBe(false);
    expect(await last).toMatchObject({ code: 'BAD_STATE' });
    const ids = captured.mock.calls[0]![0].idMap;
    const { security, uids } = host.options();
    core = await host.start({
      images,
      drivers: { ...drivers, filesystem: stacking },
      security: { ...security, subordinateIds: 0x3000_0000 },
      uids: { ...uids, first: 9_000 },
    });
    session = core.openSession();
    box = session.container(box.handle);
    // one whose users a later configuration would have given other ids
    await session.images!.snapshot(box.handle, 'snap').catch(() => {});
    expect(captured.mock.calls.at(-1)![0].idMap).toEqual(ids);
    expect(ids[0]).toEqual({ inside: 0, outside: 0x2000_0000, count: 10_000 });
    // one that is gone when its turn comes
    captured.mockImplementationOnce(async (_spec, options) => {
      await box.destroy();
      return options!.whileStill!(async () => taken);
    });
    await expect(session.images!.snapshot(box.handle, 'snap')).rejects.toMatchObject({
      code: 'UNKNOWN_HANDLE',
    });
  });

  it('destroys once for all who ask, and again after a failure', async () => {
    const box = await warden.create();
    await Promise.all([box.destroy(), box.destroy()]);
    const second = await warden.create();
    const { containerPath } = await second.info();
    const rmSync = vi.spyOn(fs, 'rmSync').mockImplementationOnce(() => {
      throw Object.assign(new Error('busy'), { code: 'EBUSY' });
    });
    await expect(second.destroy()).rejects.toThrow(/busy/);
    rmSync.mockRestore();
    expect(await warden.list()).toEqual([second.handle]);
    await expect(second.spawn(script({}))).rejects.toMatchObject({ code: 'BAD_STATE' });
    await second.destroy();
    expect(fs.existsSync(containerPath!)).toBe(false);
    expect(host.inventory()).toEqual(EMPTY);
  });
});

describe('grace time (spec behaviour.md 3 and 8)', () => {
  it('of 0 ends a container in the next turn after the last reference [behaviour 8 zero]', async () => {
    const owner = core.openSession();
    await owner.create({ graceTime: 0 });
    await core.openSession().close(); // others that come and go change nothing
    expect(await core.openSession().list()).toHaveLength(1);
    await core.close();
    core = await host.start();
    await vi.waitFor(() => expect(host.inventory()).toEqual(EMPTY), SOON);
    const alone = core.openSession();
    await alone.create({ graceTime: 0 });
    await alone.close();
    await vi.waitFor(() => expect(host.inventory()).toEqual(EMPTY), SOON);
  });

  it('begins with the end of the creation for a client that has gone meanwhile [behaviour 20.31]', async () => {
    const owner = core.openSession();
    const creating = owner.create({ graceTime: 0, handle: 'orphan' });
    await owner.close();
    expect((await creating).handle).toBe('orphan');
    await vi.waitFor(() => expect(host.inventory()).toEqual(EMPTY), SOON);
  });

  it('tries again when the destruction failed [behaviour 20.33]', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await core.close();
    core = await host.start();
    const owner = core.openSession();
    await owner.create({ graceTime: 1, handle: 'stubborn' });
    const rmSync = vi.spyOn(fs, 'rmSync').mockImplementation(() => {
      throw Object.assign(new Error('busy'), { code: 'EBUSY' });
    });
    await owner.close();
    await vi.advanceTimersByTimeAsync(1_500);
    expect(core.containerCount).toBe(1);
    rmSync.mockRestore();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('begins when the last session that created, named or found the container has ended', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const owner = core.openSession();
    await owner.create({ handle: 'box', graceTime: 10 });
    const late = core.openSession();
    await owner.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await warden.list()).toEqual(['box']);
    await late.close();
    await vi.advanceTimersByTimeAsync(9_000);
    expect(await warden.list()).toEqual(['box']);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await warden.list()).toEqual([]);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('may be longer than a timer of Node', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const owner = core.openSession();
    await owner.create({ graceTime: 60 * 86_400 });
    await owner.close();
    const onlooker = core.openSession();
    await onlooker.events(); // keeps nothing alive
    await vi.advanceTimersByTimeAsync(59 * 86_400_000);
    expect(core.containerCount).toBe(1);
    await vi.advanceTimersByTimeAsync(2 * 86_400_000);
    expect(core.containerCount).toBe(0);
  });

  it('is cancelled by whoever came while the process stood still', async () => {
    const owner = core.openSession();
    await owner.create({ handle: 'box', graceTime: 0.05 });
    await owner.close();
    const late = await new Promise<Warden>((resolve) => {
      // heard of as a connection is
      fs.stat('/', () => resolve(core.openSession()));
      for (const until = performance.now() + 300; performance.now() < until; );
    });
    await delay(200);
    expect(await late.list()).toEqual(['box']);
  });

  it('is cancelled by whoever names the container, and endless where configured', async () => {
    await core.close();
    core = await host.start({ graceTime: undefined });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const observer = core.openSession();
    const owner = core.openSession();
    await owner.create({ handle: 'short', graceTime: 5 });
    await owner.create({ handle: 'endless' });
    await owner.close();
    await vi.advanceTimersByTimeAsync(4_000);
    await observer.container('short').info();
    await vi.advanceTimersByTimeAsync(1_000_000);
    expect(await observer.list()).toEqual(['short', 'endless']);
  });
});

describe('ports, egress and limits', () => {
  it('picks ports from the pool and gives them back', async () => {
    const box = await warden.create();
    expect(await box.netIn()).toEqual({ hostPort: 61_000, containerPort: 61_000 });
    expect(await box.netIn({ hostPort: 61_002, containerPort: 80 })).toEqual({
      hostPort: 61_002,
      containerPort: 80,
    });
    expect((await box.netIn()).hostPort).toBe(61_001);
    expect((await box.netIn()).hostPort).toBe(61_003);
    await expect(box.netIn()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED', message: 'no port available' });
    const other = await warden.create();
    await expect(other.netIn({ hostPort: 61_002 })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await expect(other.netIn({ hostPort: 0 })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    await box.destroy();
    expect(await other.netIn({ hostPort: 61_002 })).toEqual({ hostPort: 61_002, containerPort: 61_002 });
  });

  it('maps a repeated port once, and names the owner of one that is taken [DECISIONS NetIn]', async () => {
    const box = await warden.create({ handle: 'owner' });
    const mapping = { hostPort: 61_002, containerPort: 80 };
    expect(await box.netIn(mapping)).toEqual(mapping);
    expect(await box.netIn(mapping)).toEqual(mapping);
    expect(host.links.inventory()[0]).toContain(JSON.stringify([mapping]));
    const taken = 'port 61002 is taken by container owner';
    await expect(box.netIn({ hostPort: 61_002 })).rejects.toMatchObject({ message: taken });
    const other = await warden.create();
    await expect(other.netIn(mapping)).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: taken,
      fields: { owner: 'owner' },
    });
    expect((await other.netIn()).hostPort).toBe(61_000);
    await box.destroy();
    expect(await other.netIn(mapping)).toEqual(mapping);
  });

  it('passes by ports of the pool that the host uses, and comes back to them', async () => {
    host.links.hostPorts.add(61_000).add(61_001);
    const box = await warden.create();
    expect((await box.netIn()).hostPort).toBe(61_002);
    await expect(box.netIn({ hostPort: 61_001 })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      fields: { owner: 'host' },
    });
    expect((await box.netIn()).hostPort).toBe(61_003);
    await expect(box.netIn()).rejects.toMatchObject({ code: 'ALREADY_EXISTS', fields: { owner: 'host' } });
    host.links.hostPorts.delete(61_000);
    expect((await box.netIn()).hostPort).toBe(61_000);
    host.links.hostPorts.clear();
    expect((await box.netIn()).hostPort).toBe(61_001);
    await expect(box.netIn()).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: 'no port available',
      fields: { pool: 'port', used: 4, limit: 4 },
    });
  });

  it('gives the port of a failed mapping back exactly once [behaviour 20 #55]', async () => {
    const box = await warden.create();
    const [link] = host.links.links.values();
    host.links.links.clear();
    await expect(box.netIn()).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
    host.links.links.set(link!.spec.id, link!);
    const picked = [];
    for (let i = 0; i < 4; i++) picked.push((await box.netIn()).hostPort);
    expect(new Set(picked).size).toBe(4);
    await expect(box.netIn()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    await box.destroy();
    const other = await warden.create();
    for (let i = 0; i < 4; i++) picked.push((await other.netIn()).hostPort);
    expect(new Set(picked.slice(4)).size).toBe(4);
    await expect(other.netIn()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
  });

  it('records no port and no rule that could not be put in force', async () => {
    await core.close();
    const drivers = host.drivers();
    const refuse = async (): Promise<never> => {
      throw new WardenError('NATIVE_FAILED', 'no room');
    };
    core = await host.start({
      drivers: { ...drivers, network: { ...drivers.network, mapPort: refuse, allowEgress: refuse } },
    });
    const box = await core.openSession().create();
    await expect(box.netIn({ hostPort: 61_001, containerPort: 80 })).rejects.toThrow('no room');
    await expect(box.netOut({ network: '10.0.0.0/8' })).rejects.toThrow('no room');
    const record = path.join((await box.info()).containerPath!, 'snapshot.json');
    expect(JSON.parse(fs.readFileSync(record, 'utf8')).resources).toMatchObject({
      ports: [],
      net_in: [],
      net_out: [],
    });
    expect((await box.info()).ports ?? []).toEqual([]);
  });

  it('records a bandwidth limit, and puts it in force again after a restart [behaviour 20 #61]', async () => {
    const box = await warden.create({ handle: 'shaped' });
    await box.limitBandwidth({ rate: 100_000n, burst: 1_000n });
    const stat = { inRate: 100_000n, inBurst: 1_000n, outRate: 100_000n, outBurst: 1_000n };
    expect((await box.info()).bandwidthStat).toEqual(stat);
    for (const [rate, burst, what] of [
      [0n, 1n, 'rate 0'],
      [1n, 0n, 'burst 0'],
      [1n << 64n, 1n, 'rate 18446744073709551616'],
      [1n, 1n << 32n, 'burst 4294967296'],
    ] as const)
      await expect(box.limitBandwidth({ rate, burst })).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        message: expect.stringContaining(`bandwidth ${what} is not in 1..`),
      });
    await core.close();
    for (const link of host.links.links.values()) link.bandwidth = undefined;
    core = await host.start();
    expect((await core.openSession().container('shaped').info()).bandwidthStat).toEqual(stat);
  });

  it.each<[NetOutSpec, string]>([
    [{}, 'Please specify network, port, and/or port_range.'],
    [{ protocol: 'icmp', icmpType: 8 }, 'Please specify network, port, and/or port_range.'],
    [{ protocol: 'all', log: true }, 'Please specify network, port, and/or port_range.'],
    [{ protocol: 'icmp', port: 80 }, 'command exited with failure: protocol icmp has no ports'],
    [{ protocol: 'all', portRange: '1:2' }, 'command exited with failure: protocol all has no ports'],
    [{ portRange: '9:1', port: 80 }, 'Port range maximum must be greater than minimum'],
    [
      { portRange: '1:2:3' },
      "'1:2:3' is no range of ports: write FIRST:LAST, two whole numbers from 1 to 65535, the first less than the last",
    ],
    [
      { portRange: 'http' },
      "'http' is no range of ports: write FIRST:LAST, two whole numbers from 1 to 65535, the first less than the last",
    ],
    [
      { portRange: '80 -j ACCEPT' },
      "'80 -j ACCEPT' is no range of ports: write FIRST:LAST, two whole numbers from 1 to 65535, the first less than the last",
    ],
    [{ portRange: '1:65536' }, "'65536' is no port: ports are whole numbers from 1 to 65535"],
    [{ portRange: '65536' }, "'65536' is no port: ports are whole numbers from 1 to 65535"],
    [{ port: 0 }, "'0' is no port: ports are whole numbers from 1 to 65535"],
    [{ network: '1.2.3.4', protocol: 'icmp', icmpType: -2 }, 'icmp type or code -2 is not in -1..255'],
    [{ network: '1.2.3.4', protocol: 'icmp', icmpType: 256 }, 'icmp type or code 256 is not in -1..255'],
    ...[
      '1.2.3.4 -j ACCEPT',
      '0/0; flush ruleset',
      '}',
      '$(id)',
      '1.2.3.4-1.2.3.3',
      '1.2.3.4/33',
      '1.2.3.4/',
      '1.2.3.4/24/8',
      '1.2.3.4-1.2.3.5-1.2.3.6',
      '1.2.3.4-',
      '::/0',
      '0a000001',
      '010.0.0.1',
      '1.2.3',
      '1.2.3.256',
    ].map(
      (network) =>
        [{ network }, `${network} is no address, CIDR or range of addresses`] as [NetOutSpec, string],
    ),
    [{ network: '1.2.3.4\n' }, '1.2.3.4\\n is no address, CIDR or range of addresses'],
    [{ network: 'x'.repeat(4_096) }, `${'x'.repeat(60)}… is no address, CIDR or range of addresses`],
    [{ portRange: '2000:1000' }, 'Port range maximum must be greater than minimum'],
    [{ portRange: '2000:2000' }, 'Port range maximum must be greater than minimum'],
    [{ portRange: '2000:' }, 'Port range maximum must be greater than minimum'],
    [{ network: '10.0.0.0/33' }, '10.0.0.0/33 is no address, CIDR or range of addresses'],
    [{ network: '10.0.0.9-10.0.0.1' }, '10.0.0.9-10.0.0.1 is no address, CIDR or range of addresses'],
    [{ port: 70_000 }, "'70000' is no port: ports are whole numbers from 1 to 65535"],
  ])('refuses egress %j', async (spec, message) => {
    const box = await warden.create();
    await expect(box.netOut(spec)).rejects.toMatchObject({ code: 'INVALID_SPEC', message });
  });

  it('says what a range of ports is beside the text of the contract', async () => {
    const box = await warden.create();
    await expect(box.netOut({ portRange: '9:1' })).rejects.toMatchObject({
      fields: { advice: expect.stringMatching(/FIRST:LAST, two whole numbers from 1 to 65535/) },
    });
  });

  it('says what a rule may name beside the text of the contract, which knows no names', async () => {
    const box = await warden.create();
    await expect(box.netOut({})).rejects.toMatchObject({
      fields: { advice: 'name what may be reached: a network, a port, a port_range, or a domain' },
    });
  });

  it('says of a name that stands for an address where names belong', async () => {
    const box = await warden.create();
    await expect(box.netOut({ network: 'registry.example.org' })).rejects.toMatchObject({
      fields: { advice: 'a name is allowed by domain, not by network' },
    });
    const refused: unknown = await box.netOut({ network: '1.2.3.256' }).catch((error: unknown) => error);
    expect((refused as WardenError).fields).not.toHaveProperty('advice');
  });

  it('takes any text of up to 4096 characters as a handle, and no longer one [SECURITY P17]', async () => {
    for (const handle of ['', 'x', '..', '/', 'a/b', '-', '\n', '\0', '😀', '\udcff', 'h'.repeat(4_096)])
      expect((await (await warden.create({ handle })).info()).state).toBe('active');
    await expect(warden.create({ handle: 'h'.repeat(4_097) })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: 'the handle has 4097 characters, at most 4096 will do',
    });
  });

  it('takes 1024 egress rules of a container and no more, so that every restart can bring them back', async () => {
    const box = await warden.create();
    for (let port = 1; port <= 1024; port++) await box.netOut({ port });
    await expect(box.netOut({ port: 1025 })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: expect.stringContaining('the container has 1024 egress rules, the most it may have'),
      fields: { pool: 'egress rules', used: 1024, limit: 1024 },
    });
    await (await warden.create()).netOut({ port: 1025 });
  });

  it('turns egress requests into rules', async () => {
    const box = await warden.create();
    await box.netOut({ network: '10.1.2.3/16', portRange: ':2000' });
    await box.netOut({ network: '10.0.0.1-10.0.0.9', protocol: 'icmp', icmpType: 8, icmpCode: -1 });
    await box.netOut({ network: '1.1.1.1', protocol: 'icmp', icmpType: -1, icmpCode: 999 });
    await box.netOut({ portRange: '8080', port: 1, protocol: 'udp', icmpType: 999, log: true });
    const rules = JSON.parse(/ (\[\{.*)$/.exec(host.links.inventory()[0]!)![1]!) as object[];
    expect(rules).toEqual([
      { protocol: 'udp', log: true, ports: { first: 8080, last: 8080 } },
      { protocol: 'icmp', log: false, network: { first: '1.1.1.1', last: '1.1.1.1' } },
      { protocol: 'icmp', log: false, network: { first: '10.0.0.1', last: '10.0.0.9' }, icmpType: 8 },
      {
        protocol: 'tcp',
        log: false,
        network: { first: '10.1.0.0', last: '10.1.255.255' },
        ports: { first: 1, last: 2000 },
      },
    ]);
  });

  it('lists what is open in forms that are requests again, and takes all that are about the same [net rules]', async () => {
    const box = await warden.create();
    const asked: NetOutSpec[] = [
      { network: '10.1.2.3/16', portRange: ':2000' },
      { network: '10.0.0.1-10.0.0.9', protocol: 'icmp', icmpType: 8, icmpCode: -1 },
      { network: '10.0.0.4-10.0.0.7', protocol: 'all' },
      { port: 80, log: true },
      { domain: 'A.Example.', protocol: 'udp', portRange: '8080' },
    ];
    for (const spec of asked) await box.netOut(spec);
    const listed: NetOutSpec[] = [
      { protocol: 'tcp', network: '10.1.0.0/16', portRange: '1:2000' },
      { protocol: 'icmp', network: '10.0.0.1-10.0.0.9', icmpType: 8 },
      { protocol: 'all', network: '10.0.0.4/30' },
      { protocol: 'tcp', port: 80, log: true },
      { protocol: 'udp', domain: 'a.example', port: 8080 },
    ];
    expect((await box.netRules()).egress).toEqual(listed);
    for (const spec of listed) await box.netOut(spec);
    expect((await box.netRules()).egress).toEqual([...listed, ...listed]);
    // any address is every address, except by a name, which leads to some
    const others = [
      { network: '0.0.0.0/0', port: 80 },
      { domain: 'a.example', port: 8080 },
    ];
    expect((await box.removeNetRules({ egress: others })).egress).toHaveLength(8);
    expect((await box.removeNetRules({ egress: asked })).egress).toEqual([]);
    expect(host.links.inventory()[0]).toMatch(/ \[\]$/);
  });

  it('gives ports back to the pool, and to others', async () => {
    const [box, other] = [await warden.create(), await warden.create()];
    const { hostPort } = await box.netIn();
    await box.netIn({ hostPort: 8080 });
    const before = await warden.metrics();
    expect(await box.removeNetRules({ ports: [hostPort, 8080] })).toEqual({ ports: [], egress: [] });
    const used = ({ pools }: Awaited<ReturnType<Warden['metrics']>>): number | undefined =>
      pools.find(({ name }) => name === 'ports')?.used;
    expect(used(await warden.metrics())).toBe(used(before)! - 1);
    expect(await other.netIn({ hostPort: 8080 })).toMatchObject({ hostPort: 8080 });
    await expect(box.removeNetRules({ ports: [8080] })).resolves.toMatchObject({ ports: [] });
    expect((await other.netRules()).ports).toHaveLength(1);
  });

  it('takes nothing back when that cannot be written down, nor by a driver that cannot', async () => {
    const box = await warden.create();
    await box.netOut({ port: 80 });
    const { hostPort } = await box.netIn();
    const before = host.links.inventory();
    const { containerPath } = await box.info();
    const record = path.join(containerPath!, 'snapshot.json.new');
    fs.mkdirSync(record);
    await expect(box.removeNetRules({ ports: [hostPort], egress: [{ port: 80 }] })).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
    });
    fs.rmdirSync(record);
    expect(host.links.inventory()).toEqual(before);
    expect(await box.netRules()).toMatchObject({ ports: [{ hostPort }], egress: [{ port: 80 }] });
    await core.close();
    const drivers = host.drivers();
    const { withdrawal: _none, ...supports } = drivers.network.supports;
    core = await host.start({ drivers: { ...drivers, network: { ...drivers.network, supports } } });
    const again = core.openSession().container(box.handle);
    expect(await again.netRules()).toMatchObject({ ports: [{ hostPort }], egress: [{ port: 80 }] });
    await expect(again.removeNetRules({ ports: [hostPort] })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('cannot take back what it has opened'),
    });
    expect(host.links.inventory()).toEqual(before);
  });

  it('names what was asked for when a rule or a port to take back is none', async () => {
    const box = await warden.create();
    const wrong = [
      { egress: [{}] },
      { egress: [{ port: 0 }] },
      { egress: [{ network: 'nowhere' }] },
      { egress: [{ domain: '-' }] },
      { egress: [{ portRange: '9:1' }] },
      { ports: [0] },
    ];
    await Promise.all(
      wrong.map((rules) =>
        expect(box.removeNetRules(rules), JSON.stringify(rules)).rejects.toMatchObject({
          code: 'INVALID_SPEC',
          fields: { operation: 'net rules' },
        }),
      ),
    );
    await expect(box.netOut({ port: 0 })).rejects.toMatchObject({ fields: { operation: 'net out' } });
  });

  it('has rules about names only of a driver that has them, and records none otherwise', async () => {
    const box = await warden.create();
    await box.netOut({ domain: '*.Example.org', port: 443 });
    expect(host.links.inventory()[0]).toContain('"domain":"*.example.org"');
    await core.close();
    const drivers = host.drivers();
    const { namedEgress: _none, ...supports } = drivers.network.supports;
    core = await host.start({ drivers: { ...drivers, network: { ...drivers.network, supports } } });
    const other = await core.openSession().create();
    const before = host.links.inventory();
    await expect(other.netOut({ domain: 'a.example', port: 443 })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('the network driver memory has no rules about names here'),
    });
    expect(host.links.inventory()).toEqual(before);
  });

  it('tells of what its network driver kept containers from, and of none that it does not know', async () => {
    await core.close();
    const drivers = host.drivers();
    let tell: Parameters<NonNullable<NetworkDriver['watchDenials']>>[0] | undefined;
    const network: NetworkDriver = {
      ...drivers.network,
      watchDenials: (listener) => {
        tell = listener;
      },
    };
    core = await host.start({ drivers: { ...drivers, network } });
    const session = core.openSession();
    await session.create({ handle: 'denied' });
    const events = await session.events({ types: ['network-denied'] });
    const id = Object.keys(Object.fromEntries(host.links.links))[0]!;
    const what = { destination: '192.0.2.1', protocol: 'tcp', port: 443, count: 3 } as const;
    tell?.([
      { id: 'zzzzzzzzzzz', ...what },
      { id, ...what },
      { id, name: 'a.example', protocol: 'dns', count: 1 },
    ]);
    expect((await events.next()).value).toMatchObject({ type: 'network-denied', handle: 'denied', ...what });
    expect((await events.next()).value).toMatchObject({
      handle: 'denied',
      name: 'a.example',
      protocol: 'dns',
    });
    await events.return?.();
  });

  it('gives nobody a network that the host has on links of others, also of a pool that has grown', async () => {
    await core.close();
    const drivers = host.drivers();
    let foreign = ['10.254.0.1', '10.254.0.9'];
    const network: NetworkDriver = { ...drivers.network, foreignAddresses: async () => foreign };
    const warn = vi.fn();
    core = await host.start({
      drivers: { ...drivers, network },
      network: { ...NETWORK, pool: '10.254.0.0/28' },
      logger: { ...silentLogger, warn },
    });
    expect(warn).toHaveBeenCalledWith(
      'networks-in-use',
      expect.objectContaining({ count: 2, addresses: foreign }),
    );
    const session = core.openSession();
    const addressOf = async (): Promise<string> => (await (await session.create()).info()).containerIp!;
    expect([await addressOf(), await addressOf()]).toEqual(['10.254.0.6', '10.254.0.14']);
    await expect(session.create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    await expect(session.create({ network: '10.254.0.8' })).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    foreign = [...foreign, '10.254.0.5', '10.254.0.22'];
    await core.reconfigure({ network: { ...NETWORK, pool: '10.254.0.0/27' } });
    expect([await addressOf(), await addressOf(), await addressOf()]).toEqual([
      '10.254.0.18',
      '10.254.0.26',
      '10.254.0.30',
    ]);
    await expect(session.create()).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    // of one that is its own, whatever the link says
    expect(warn).toHaveBeenLastCalledWith('networks-in-use', expect.objectContaining({ count: 3 }));
  });

  it("puts back rules that its network driver misses: the host's, and those of each container; again until it has succeeded", async () => {
    await core.close();
    const drivers = host.drivers();
    const calls: string[] = [];
    let miss: (() => void) | undefined;
    let refusals = 0;
    const network: NetworkDriver = {
      ...drivers.network,
      watchRules: (listener) => {
        miss = listener;
      },
      setup: async (spec) => {
        calls.push('setup');
        if (refusals-- > 0) throw new Error('no memory for rules');
        await drivers.network.setup(spec);
      },
      restore: async (spec, state, recorded) => {
        calls.push(`restore ${recorded.egress.length}`);
        await drivers.network.restore(spec, state, recorded);
      },
    };
    const logged: string[] = [];
    const log = (message: string): number => logged.push(message);
    core = await host.start({
      drivers: { ...drivers, network },
      logger: { ...silentLogger, warn: log, error: log },
    });
    const session = core.openSession();
    const box = await session.create({ handle: 'ruled' });
    await box.netOut({ network: '198.51.100.0/24' });
    await session.create({ handle: 'plain' });
    calls.length = 0;
    refusals = 2;
    for (const round of [1, 2]) {
      miss!();
      miss!(); // it is at it
      await vi.waitFor(() => expect(calls).toHaveLength(round), SOON);
      await delay(1);
    }
    miss!();
    await vi.waitFor(() => expect(logged).toEqual(['rules-not-put-back', 'rules-put-back']), SOON);
    expect(calls.splice(0)).toEqual(['setup', 'setup', 'setup', 'restore 1', 'restore 0']);
    await core.close();
    miss!();
    await delay(1);
    expect(calls).toEqual([]);
  });

  it.each([false, true])(
    'throws the layer away before its files are removed one by one; fails: %s',
    async (fails) => {
      await core.close();
      const drivers = host.drivers();
      const { filesystem, quota } = drivers;
      const calls: string[] = [];
      core = await host.start({
        drivers: {
          ...drivers,
          filesystem: {
            ...filesystem,
            release: async (...call) => {
              calls.push('filesystem.release');
              await filesystem.release(...call);
            },
          },
          quota: {
            ...quota,
            discard: async () => {
              calls.push('quota.discard');
              if (fails) throw new WardenError('NATIVE_FAILED', 'no image');
            },
            release: async (...call) => {
              calls.push('quota.release');
              await quota.release(...call);
            },
          },
        },
      });
      await (await core.openSession().create()).destroy();
      expect(calls).toEqual(['quota.discard', 'filesystem.release', 'quota.release']);
    },
  );

  it('stops a container whose memory ran out, with an event', async () => {
    const box = await warden.create();
    expect(await box.limitMemory()).toBe(9_223_372_036_854_771_712n);
    expect(await box.limitMemory(1_048_576n)).toBe(1_048_576n);
    const [group] = host.groups.groups.keys();
    host.groups.join(`${group}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    host.groups.allocate(7, 2_000_000);
    await vi.waitFor(
      async () => expect(await box.info()).toMatchObject({ state: 'stopped', events: ['out of memory'] }),
      SOON,
    );
  });
});

describe('recovery (spec behaviour.md 10)', () => {
  it('takes living containers over: jobs, output, pools, rules, references', async () => {
    const box = await warden.create({ handle: 'living' });
    const { hostPort } = await box.netIn();
    await box.netOut({ port: 80 });
    const ending = await box.spawn(script({ wait: 20, stdout: 'while away', status: 4 }));
    const lasting = await box.spawn(script({ forever: true }));
    const before = host.links.inventory();
    await core.close();
    await new Promise((resolve) => setTimeout(resolve, 60));
    core = await host.start();
    const session = core.openSession();
    expect(await session.list()).toEqual(['living']);
    expect(host.links.inventory()).toEqual(before);
    const same = session.container('living');
    const result = await same.job(ending.id).link();
    expect(result.exitStatus).toBe(4);
    expect((await same.info()).jobIds).toEqual([lasting.id]);
    expect((await same.spawn(script({}))).id).toBeGreaterThan(lasting.id);
    const other = await session.create();
    expect((await other.info()).containerIp).toBe('10.254.0.6');
    expect((await other.netIn()).hostPort).not.toBe(hostPort);
    await Promise.all([same.destroy(), other.destroy()]);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('lets go of containers it has taken over when it cannot start: their grace times are for whoever can', async () => {
    const box = await warden.create({ handle: 'living', graceTime: 0.1 });
    const { containerPath } = await box.info();
    await core.close();
    const drivers = host.drivers();
    vi.spyOn(drivers.network, 'sweep').mockRejectedValue(new Error('no'));
    const connect = vi.spyOn(drivers.init, 'connect');
    await expect(host.start({ drivers })).rejects.toThrow('no');
    const init = (await connect.mock.results[0]!.value) as Init;
    await init.closed.catch(() => undefined); // nothing keeps its process
    await delay(400);
    expect(fs.existsSync(containerPath!)).toBe(true);
    expect(host.inits.directories()).toEqual([containerPath]);
    core = await host.start({ drivers: host.drivers() });
    expect(core.containerCount).toBe(1);
  });

  it('writes no record again that says all of it already, and each that does not', async () => {
    const [same, other] = [await warden.create(), await warden.create()];
    const record = async (box: Container): Promise<string> =>
      path.join((await box.info()).containerPath!, 'snapshot.json');
    const files = [await record(same), await record(other)] as const;
    await core.close();
    // a job that nobody has any more
    const jobs = { 99: { discard_output: false, log_tag: 'x', sockets: false } };
    const { checksum: _, ...rest } = JSON.parse(fs.readFileSync(files[1], 'utf8')) as { checksum: string };
    fs.writeFileSync(files[1], JSON.stringify({ ...rest, jobs }));
    const before = files.map((file) => fs.statSync(file).ino);
    core = await host.start();
    expect(fs.statSync(files[0]).ino).toBe(before[0]);
    expect((JSON.parse(fs.readFileSync(files[1], 'utf8')) as { jobs: object }).jobs).toEqual({});
    expect(fs.statSync(files[1]).ino).not.toBe(before[1]);
  });

  it.each(CREATE_FAILPOINTS)('undoes what a daemon killed at %s had begun', async (name) => {
    await core.close();
    vi.stubEnv('WARDEN_FAILPOINT', `${name}=kill`);
    core = await host.start();
    const died = new Error('killed');
    vi.spyOn(process, 'kill').mockImplementation(() => {
      throw died;
    });
    // a killed process undoes nothing: its undo must not run either
    const unwind = vi
      .spyOn((await import('./undo-stack.ts')).UndoStack.prototype, 'unwind')
      .mockResolvedValue([]);
    await expect(core.openSession().create()).rejects.toThrow();
    unwind.mockRestore();
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    core = await host.start();
    const session = core.openSession();
    for (const handle of await session.list()) await session.container(handle).destroy();
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('answers waiting links of a daemon that goes away with UNAVAILABLE, and the next daemon has the job', async () => {
    const box = await warden.create({ handle: 'kept' });
    const job = await box.spawn(script({ wait: 100, status: 6 }));
    const waiting = expect(job.link()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await core.close();
    await waiting;
    core = await host.start();
    expect((await core.openSession().container('kept').job(job.id).link()).exitStatus).toBe(6);
  });

  it.each(['', '\0\0\0'])(
    'removes what a power failure left: a record %j without content, and nobody there',
    async (left) => {
      const box = await warden.create();
      const { containerPath } = await box.info();
      await core.close();
      await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
      fs.writeFileSync(path.join(containerPath!, 'snapshot.json'), left);
      core = await host.start();
      expect(host.inventory()).toEqual(EMPTY);
    },
  );

  it('sets an empty record aside while somebody lives there, says why, and keeps its addresses', async () => {
    const box = await warden.create();
    const { containerPath, containerIp } = await box.info();
    await core.close();
    fs.writeFileSync(path.join(containerPath!, 'snapshot.json'), '');
    core = await host.start();
    const session = core.openSession();
    expect(await session.list()).toEqual([]);
    expect((await (await session.create()).info()).containerIp).not.toBe(containerIp);
    expect(setAside(host.depot)).toEqual([
      expect.objectContaining({ id: box.handle, reason: expect.stringContaining('no JSON') }),
    ]);
  });

  it('sets a broken record aside although nobody lives there, and keeps its addresses from others', async () => {
    const box = await warden.create();
    const { containerPath } = await box.info();
    await core.close();
    await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
    const record = path.join(containerPath!, 'snapshot.json');
    fs.writeFileSync(record, fs.readFileSync(record, 'utf8').replace(/"version":\d+/, '"version":99'));
    core = await host.start();
    expect(fs.readdirSync(host.depot)).toEqual([`.quarantine-${path.basename(containerPath!)}`]);
  });

  it('leaves alone what a copied directory names, while the container lives that it is a copy of', async () => {
    const box = await warden.create({ handle: 'lives' });
    const { containerPath } = await box.info();
    const group = `/core/instance-${path.basename(containerPath!)}`;
    host.groups.join(`${group}/cgroup.procs`, { pid: 7, rss: 0n, onEnd: () => {} });
    await core.close();
    const depot = path.join(host.directory, 'copied');
    fs.cpSync(host.depot, depot, { recursive: true });
    const drivers = { ...host.drivers(), cgroup: host.cgroups('other') };
    const [groups, links] = [host.inventory(), host.links.inventory()];
    core = await host.start({ depot, drivers });
    expect(await core.openSession().list()).toEqual([]);
    expect(host.inventory()).toEqual(groups);
    expect(host.links.inventory()).toEqual(links);
    expect(setAside(depot)).toEqual([
      expect.objectContaining({
        handle: 'lives',
        reason: expect.stringContaining("the directory is a copy of another daemon's container"),
        advice: expect.stringContaining("its processes are the other container's"),
      }),
    ]);
    await core.close();
    // under another name itself it is taken over, and removed once nobody lives
    core = await host.start({ drivers });
    expect(await core.openSession().list()).toEqual(['lives']);
    await core.close();
    await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
    host.groups.end(7);
    core = await host.start({ drivers });
    expect(host.inventory()).toEqual(EMPTY);
  });

  it('gives back what a container that could not be continued had', async () => {
    await core.close();
    const narrow = { network: { ...NETWORK, pool: '10.254.0.0/30' } };
    core = await host.start(narrow);
    await core.openSession().create();
    await core.close();
    host.links.links.clear(); // its link is gone: restore fails
    core = await host.start(narrow);
    const session = core.openSession();
    expect(await session.list()).toEqual([]);
    await (await session.create()).destroy();
  });

  it('does not let two containers have one handle', async () => {
    const [first, second] = [await warden.create({ handle: 'one' }), await warden.create({ handle: 'two' })];
    const paths = [(await first.info()).containerPath!, (await second.info()).containerPath!];
    await core.close();
    const record = path.join(paths[1]!, 'snapshot.json');
    const renamed = fs.readFileSync(record, 'utf8').replace('"handle":"two"', '"handle":"one"');
    fs.writeFileSync(record, renamed.replace(/,"checksum":"\w+"/, ''));
    core = await host.start();
    expect(await core.openSession().list()).toEqual(['one']);
    expect(fs.readdirSync(host.depot).sort()).toEqual([
      `.quarantine-${path.basename(paths[1]!)}`,
      path.basename(paths[0]!),
    ]);
  });

  it('removes dead containers and directories without a record', async () => {
    const box = await warden.create();
    await core.close();
    const { containerPath } = await box.info();
    await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
    fs.mkdirSync(path.join(host.depot, 'vvvvvvvvvvv/tmp'), { recursive: true });
    core = await host.start();
    expect(await core.openSession().list()).toEqual([]);
    expect(host.inventory()).toEqual(EMPTY);
  });

  it.each(['without its record', 'without etc/config', 'with both in the place of its directory'])(
    'destroys a living container %s, or takes it over under its new name [behaviour 10] [linux-container 25 recovery]',
    async (what) => {
      const box = await warden.create({ handle: 'h' });
      const { containerPath } = await box.info();
      await core.close();
      if (what === 'without its record') fs.rmSync(path.join(containerPath!, 'snapshot.json'));
      else if (what === 'without etc/config') fs.rmSync(path.join(containerPath!, 'etc/config'));
      core = await host.start();
      const isWhole = what.startsWith('with both');
      expect(await core.openSession().list()).toEqual(isWhole ? ['h'] : []);
      if (isWhole) await core.openSession().container('h').destroy();
      expect(host.inventory()).toEqual(EMPTY);
    },
  );

  it('touches nothing in the depot that is not a container of ours [behaviour 10]', async () => {
    await core.close();
    const foreign = ['lost+found', 'containers1', 'backup', 'tmp', '.hidden'];
    for (const name of foreign) {
      fs.mkdirSync(path.join(host.depot, name, 'tmp'), { recursive: true });
      fs.writeFileSync(path.join(host.depot, name, 'precious'), name);
    }
    fs.writeFileSync(path.join(host.depot, 'backup/snapshot.json'), '{"of": "something else"}');
    fs.writeFileSync(path.join(host.depot, 'vvvvvvvvvv1'), 'a file with the name of a container');
    fs.symlinkSync(host.rootfs, path.join(host.depot, 'vvvvvvvvvv2'));
    const before = fs.readdirSync(host.depot, { recursive: true }).length;
    core = await host.start();
    expect(await core.openSession().list()).toEqual([]);
    expect(fs.readdirSync(host.depot, { recursive: true }).length).toBe(before);
    for (const name of foreign)
      expect(fs.readFileSync(path.join(host.depot, name, 'precious'), 'utf8')).toBe(name);
  });

  it('leaves the copy of a living container alone [behaviour 10]', async () => {
    const box = await warden.create({ handle: 'original' });
    const { containerPath } = await box.info();
    await core.close();
    fs.cpSync(containerPath!, path.join(host.depot, '0copy'), { recursive: true });
    core = await host.start();
    const session = core.openSession();
    expect((await session.container('original').info()).containerPath).toBe(containerPath);
    await session.container('original').destroy();
    expect(fs.readdirSync(host.depot)).toEqual(['0copy']);
  });

  it('sets aside what it cannot understand while it lives, and leaves foreign directories alone', async () => {
    const box = await warden.create();
    const { containerPath } = await box.info();
    await core.close();
    fs.writeFileSync(path.join(containerPath!, 'snapshot.json'), '{"broken');
    fs.mkdirSync(path.join(host.depot, 'lost+found'));
    core = await host.start();
    expect(await core.openSession().list()).toEqual([]);
    expect(fs.readdirSync(host.depot).sort()).toEqual([
      `.quarantine-${path.basename(containerPath!)}`,
      'lost+found',
    ]);
    expect(host.groups.groups.size).toBe(1);
    expect(host.links.links.size).toBe(1);
  });
});
