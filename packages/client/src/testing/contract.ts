/**
 * What a `WardenClient` holds to, whatever is behind it: the cases run against a daemon and against the fake
 * alike. Each is an async function that throws when something does not hold; any test runner takes them.
 *
 * The programs that the cases start are those every root file system has, and the fake too: `echo`, `cat`,
 * `sleep`, `true`, `false`, `pwd`, `env`.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { ContainerEvent, ErrorCode, FileChange } from '@warden/interface';
import { isWardenError } from '@warden/interface';
import type { ClientContainer } from '../client-container.ts';
import { sh } from '../shell-command.ts';
import type { WardenClient } from '../warden-client.ts';

/** What a case gets. */
export interface ContractSubject {
  /** A session; the case closes it. */
  connect(): Promise<WardenClient>;
}

/** One case. */
export interface ContractCase {
  readonly title: string;
  /** What not every daemon can: pausing takes control groups. */
  readonly needs?: 'pause';
  run(subject: ContractSubject): Promise<void>;
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Generous: a busy machine is no reason to fail. */
const PATIENCE_MS = 30_000;

async function refused(promise: Promise<unknown>, code: ErrorCode, what: string): Promise<void> {
  try {
    await promise;
  } catch (error) {
    assert.ok(isWardenError(error, code), `${what}: expected ${code}, got ${String(error)}`);
    return;
  }
  assert.fail(`${what} did not fail`);
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) assert.fail(`never happened: ${what}`);
    await delay(10);
  }
}

/** One step, bounded. */
async function step<T>(iterator: AsyncIterator<T>, what: string): Promise<T> {
  const timer = new AbortController();
  const late = delay(PATIENCE_MS, undefined, { signal: timer.signal }).then(() =>
    assert.fail(`never came: ${what}`),
  );
  late.catch(() => undefined);
  try {
    const result = (await Promise.race([iterator.next(), late])) as IteratorResult<T, undefined>;
    if (result.done) assert.fail(`it ended before ${what}`);
    return result.value;
  } finally {
    timer.abort();
  }
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A case about one container. */
function inContainer(
  title: string,
  run: (box: ClientContainer, warden: WardenClient) => Promise<void>,
  needs?: 'pause',
): ContractCase {
  return {
    title,
    ...(needs && { needs }),
    run: async ({ connect }) => {
      await using warden = await connect();
      await using box = await warden.create();
      await run(box, warden);
    },
  };
}

const LIFE: readonly ContractCase[] = [
  inContainer('lists a container from its create to its destroy', async (box, warden) => {
    assert.ok((await warden.list()).includes(box.handle));
    assert.equal((await box.info()).state, 'active');
    await box.destroy();
    assert.ok(!(await warden.list()).includes(box.handle));
    await refused(box.info(), 'UNKNOWN_HANDLE', 'info of a destroyed container');
  }),
  {
    title: 'gets or creates by handle, and makes one when many ask at once',
    run: async ({ connect }) => {
      await using warden = await connect();
      const handle = `contract-${process.pid}-${Math.random().toString(36).slice(2)}`;
      const all = await Promise.all(Array.from({ length: 5 }, () => warden.getOrCreate({ handle })));
      await using box = all[0]!.container;
      assert.equal(all.filter(({ isNew }) => isNew).length, 1);
      assert.equal((await warden.list()).filter((one) => one === handle).length, 1);
      assert.equal((await warden.getOrCreate({ handle })).isNew, false);
      await refused(warden.create({ handle }), 'ALREADY_EXISTS', 'create of a handle that is taken');
      assert.equal(box.handle, handle);
    },
  },
  {
    title: 'destroys a leased container at the end of its block, also when the block throws',
    run: async ({ connect }) => {
      await using warden = await connect();
      let handle = '';
      await assert.rejects(
        (async () => {
          await using box = await warden.create({ graceTime: 60 });
          handle = box.handle;
          throw new Error('the block fails');
        })(),
        /the block fails/,
      );
      assert.ok(!(await warden.list()).includes(handle));
    },
  },
  {
    title: 'lets a container go after its grace time when the session that leased it is gone',
    run: async ({ connect }) => {
      const owner = await connect();
      const { handle } = await owner.create({ graceTime: 0 });
      await owner.close();
      // a session references what is there when it begins: look again and again with new ones
      await until(async () => {
        await using observer = await connect();
        return !(await observer.list()).includes(handle);
      }, 'the grace time');
    },
  },
  inContainer('stops, and starts nothing afterwards', async (box) => {
    const job = await box.spawn('', { argv: ['sleep', '1000'] });
    await box.stop({ kill: true });
    assert.equal((await box.info()).state, 'stopped');
    assert.equal((await job.link()).verdict?.reason, 'container-stopped');
    await refused(box.exec(['true']), 'BAD_STATE', 'a run in a stopped container');
  }),
];

const PROPERTIES: readonly ContractCase[] = [
  {
    title: 'finds containers by their properties',
    run: async ({ connect }) => {
      await using warden = await connect();
      const mark = Math.random().toString(36).slice(2);
      await using one = await warden.create({ properties: { mark, role: 'db' } });
      await using other = await warden.create({ properties: { mark, role: 'web' } });
      const find = (properties: Record<string, string>): Promise<readonly string[]> =>
        warden.list({ properties });
      assert.deepEqual(await find({ mark }), [one.handle, other.handle]);
      assert.deepEqual(await find({ mark, role: 'web' }), [other.handle]);
      assert.deepEqual(await find({ mark, role: 'none' }), []);
    },
  },
  inContainer('sets, gets and removes properties, whatever their names', async (box) => {
    assert.deepEqual({ ...(await box.properties()) }, {});
    const odd = JSON.parse('{"__proto__":"kept","constructor":"","a b=c":"\\u00e4\\n"}') as Record<
      string,
      string
    >;
    const set = await box.setProperties(odd);
    assert.deepEqual(Object.entries(set).sort(), Object.entries(odd).sort());
    const left = await box.setProperties({ constructor: undefined, never: undefined });
    assert.deepEqual(Object.keys(left).sort(), ['__proto__', 'a b=c']);
    assert.equal(Object.keys((await box.info()).properties ?? {}).length, 2);
  }),
  inContainer('refuses properties beyond their bounds, and keeps what was there', async (box) => {
    await box.setProperties({ kept: 'yes' });
    await refused(box.setProperties({ '': 'x' }), 'INVALID_SPEC', 'an empty name');
    await refused(box.setProperties({ kept: 'no', ['n'.repeat(257)]: '' }), 'INVALID_SPEC', 'a long name');
    await refused(box.setProperties({ large: 'v'.repeat(4097) }), 'INVALID_SPEC', 'a long value');
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`n${at}`, '']));
    await refused(box.setProperties(many), 'INVALID_SPEC', 'many');
    assert.deepEqual({ ...(await box.properties()) }, { kept: 'yes' });
  }),
];

const JOBS: readonly ContractCase[] = [
  inContainer('runs a program with its arguments as they are', async (box) => {
    const odd = ["it's", 'a  b', '$HOME', '`id`', '\\', '"', '*'];
    const result = await box.exec(['echo', ...odd]);
    assert.equal(result.stdoutText, `${odd.join(' ')}\n`);
    assert.equal(result.exitStatus, 0);
    assert.deepEqual(result.verdict, { reason: 'exited' });
  }),
  inContainer('gives a program its standard input whole', async (box) => {
    const input = new Uint8Array(100_000).map((_, at) => at % 251);
    const { stdout } = await box.exec(['cat'], { input });
    assert.ok(Buffer.from(stdout).equals(input));
  }),
  inContainer('streams output that nobody keeps, once', async (box) => {
    const job = await box.spawn('', { argv: ['cat'], stdin: 'pipe', output: 'live' });
    await job.write('one ');
    const first = job.stream();
    assert.equal(text((await step(first, 'the first output')).data), 'one ');
    await first.return(undefined as never);
    await job.write('two');
    await job.endInput();
    let rest = '';
    for await (const { data } of job.stream()) rest += text(data);
    assert.equal(rest, 'two');
    await refused(box.run('true', { output: 'live' }), 'INVALID_SPEC', 'a run with live output');
  }),
  inContainer('sets variables and the working directory', async (box) => {
    const { stdoutText } = await box.exec(['env'], { environment: { GREETING: 'hello=world' } });
    assert.ok(stdoutText.split('\n').includes('GREETING=hello=world'));
    const { stdoutText: where } = await box.exec(['pwd'], { workingDirectory: '/tmp' });
    assert.equal(where, '/tmp\n');
    await refused(box.exec(['true'], { workingDirectory: 'tmp' }), 'INVALID_SPEC', 'a relative directory');
    await refused(
      box.exec(['true'], { environment: { '': 'x' } }),
      'INVALID_SPEC',
      'a variable without name',
    );
    await refused(box.exec([]), 'INVALID_SPEC', 'no program');
  }),
  inContainer('answers the status of a failure, and throws it with check', async (box) => {
    assert.equal((await box.exec(['false'])).exitStatus, 1);
    await refused(box.exec(['false'], { check: true }), 'COMMAND_FAILED', 'a checked failure');
    assert.equal((await box.run('exit 7')).exitStatus, 7);
  }),
  inContainer('quotes what a command is put together from', async (box) => {
    const odd = "it's; exit 3 $(exit 4)";
    const { stdoutText } = await box.sh`echo ${odd} ${[1, 'two  words']}`;
    assert.equal(stdoutText, `${odd} 1 two  words\n`);
    assert.equal((await box.run(sh`exit ${5}`)).exitStatus, 5);
  }),
  inContainer('streams output and then tells the end', async (box) => {
    const job = await box.spawn('', { argv: ['echo', 'streamed'] });
    let output = '';
    for await (const { stream, data } of job.output) if (stream === 'stdout') output += text(data);
    assert.equal(output, 'streamed\n');
    assert.equal((await job.result()).exitStatus, 0);
    await refused(job.link(), 'UNKNOWN_JOB', 'a second result');
  }),
  inContainer('gives the result of a job as often as it is asked for', async (box) => {
    const job = await box.spawn('', { argv: ['echo', 'once'] });
    for (const which of ['the first', 'the second'])
      assert.equal((await job.result()).stdoutText, 'once\n', which);
  }),
  inContainer('signals a job', async (box) => {
    const job = await box.spawn('', { argv: ['sleep', '1000'] });
    assert.deepEqual((await box.info()).jobIds, [job.id]);
    await job.kill({ signal: 10 });
    assert.deepEqual((await job.link()).verdict, { reason: 'signal', signal: 10 });
  }),
  inContainer('tells which jobs have ended, and how, until their results are taken', async (box, warden) => {
    const job = await box.spawn('', { argv: ['false'] });
    const killed = await box.spawn('', { argv: ['sleep', '1000'] });
    await killed.kill({ signal: 10 });
    await until(async () => (await box.info()).endedJobs?.length === 2, 'the end of both');
    const ended = [
      { id: job.id, exitStatus: 1, verdict: { reason: 'exited' } },
      { id: killed.id, exitStatus: 255, verdict: { reason: 'signal', signal: 10 } },
    ];
    assert.deepEqual((await box.info()).endedJobs, ended);
    const [report] = await warden.infoMany({ handles: [box.handle] });
    assert.deepEqual(report?.info?.endedJobs, ended);
    assert.ok(!('endedJobs' in (await job.link()).info), 'the info with an end tells the state then');
    assert.deepEqual((await box.info()).endedJobs, ended.slice(1));
    await killed.link();
    assert.ok(!('endedJobs' in (await box.info())), 'nothing waits any more');
  }),
  inContainer('kills at a time limit, and on abort', async (box) => {
    await refused(box.exec(['sleep', '1000'], { timeoutMs: 50 }), 'TIMEOUT', 'a slow run');
    const giveUp = new AbortController();
    const run = box.exec(['sleep', '1000'], { signal: giveUp.signal });
    setTimeout(() => giveUp.abort(), 50);
    await refused(run, 'ABORTED', 'an aborted run');
    await until(async () => (await box.info()).jobIds.length === 0, 'the end of both');
  }),
  inContainer('writes to a job that reads, and ends its input', async (box) => {
    const job = await box.spawn('', { argv: ['cat'], stdin: 'pipe' });
    const output = job.output[Symbol.asyncIterator]();
    await job.write('one\n');
    assert.equal(text((await step(output, 'the first line')).data), 'one\n');
    await job.write(new TextEncoder().encode('two\n'));
    assert.equal(text((await step(output, 'the second line')).data), 'two\n');
    await job.endInput();
    while (!(await output.next()).done);
    assert.equal((await job.result()).exitStatus, 0);
  }),
  inContainer('writes more than any pipe holds, in order', async (box) => {
    const job = await box.spawn('', { argv: ['cat'], stdin: 'pipe' });
    const pieces = Array.from({ length: 20 }, (_, at) => new Uint8Array(10_000).fill(at));
    const [, result] = await Promise.all([job.writeAll(pieces), job.link()]);
    assert.ok(Buffer.from(result.stdout).equals(Buffer.concat(pieces)));
  }),
  inContainer('takes the whole input at once, as text or bytes', async (box) => {
    for (const whole of ['text', new TextEncoder().encode('bytes')]) {
      const job = await box.spawn('', { argv: ['cat'], stdin: 'pipe' });
      await job.writeAll(whole);
      assert.equal((await job.result()).stdoutText, typeof whole === 'string' ? whole : text(whole));
    }
  }),
  inContainer('ends the input early, without an error, when the job has ended', async (box) => {
    const job = await box.spawn('', { argv: ['true'], stdin: 'pipe' });
    await until(async () => (await box.info()).endedJobs?.length === 1, 'the end');
    await job.writeAll('too late');
    const result = await job.result();
    await job.writeAll('too late');
    assert.equal(result.exitStatus, 0);
    const sleeper = await box.spawn('', { argv: ['sleep', '1000'], stdin: 'pipe' });
    async function* source(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1);
      await sleeper.kill();
      await sleeper.link();
      yield new Uint8Array(1);
      assert.fail('nobody asks for more');
    }
    await box.job(sleeper.id).writeAll(source());
    await refused(box.job(0x7fff_0000).writeAll('x'), 'UNKNOWN_JOB', 'input of no job');
  }),
  inContainer('refuses input for a job that has none open', async (box) => {
    const job = await box.spawn('', { argv: ['sleep', '1000'] });
    await refused(job.write('x'), 'BAD_STATE', 'input that is not open');
    await refused(job.resize({ rows: 24, columns: 80 }), 'BAD_STATE', 'the size of no terminal');
    await refused(box.job(0x7fff_0000).write('x'), 'UNKNOWN_JOB', 'input of no job');
    await refused(
      box.spawn('', { terminal: { rows: 0, columns: 80 } }),
      'INVALID_SPEC',
      'a terminal without rows',
    );
  }),
  inContainer('gives up a write that nobody takes', async (box) => {
    const job = await box.spawn('', { argv: ['sleep', '1000'], stdin: 'pipe' });
    const giveUp = new AbortController();
    const write = job.write(new Uint8Array(4_000_000), { signal: giveUp.signal });
    setTimeout(() => giveUp.abort(), 100);
    await refused(write, 'ABORTED', 'a write without a reader');
    await job.endInput();
    await job.endInput();
    await refused(job.write('x'), 'BAD_STATE', 'input that was ended');
    await job.kill();
    assert.equal((await job.link()).verdict?.reason, 'signal');
  }),
];

const CONTAINER: readonly ContractCase[] = [
  inContainer('changes limits live', async (box) => {
    assert.equal(await box.limitMemory(64n * 1024n * 1024n), 64n * 1024n * 1024n);
    assert.equal(await box.limitMemory(), 64n * 1024n * 1024n);
    assert.equal(await box.limitCpu(512n), 512n);
    await box.limitBandwidth({ rate: 1_000_000n, burst: 100_000n });
  }),
  inContainer('publishes ports and allows egress', async (box) => {
    const { hostPort, containerPort } = await box.netIn({ containerPort: 8080 });
    assert.equal(containerPort, 8080);
    assert.ok(hostPort > 0 && hostPort < 65_536);
    assert.deepEqual((await box.info()).ports, [{ hostPort, containerPort }]);
    await box.netOut({ network: '203.0.113.0/24', port: 443 });
    await refused(box.netOut({ network: 'nowhere' }), 'INVALID_SPEC', 'a network that is none');
    await box.netOut({ domain: '*.example.org', port: 443 });
    await refused(box.netOut({ domain: 'no name', port: 443 }), 'INVALID_SPEC', 'a name that is none');
  }),
  inContainer('lists what is open, and takes it back as often as it is told', async (box) => {
    assert.deepEqual(await box.netRules(), { ports: [], egress: [] });
    const first = { protocol: 'tcp', network: '203.0.113.0/24', port: 443 } as const;
    const second = { protocol: 'udp', domain: '*.example.org', portRange: '53:60', log: true } as const;
    const third = { protocol: 'icmp', network: '203.0.113.1-203.0.113.6', icmpType: 8, icmpCode: 0 } as const;
    for (const rule of [first, second, third, first]) await box.netOut(rule);
    const [one, other] = [await box.netIn({ containerPort: 80 }), await box.netIn({ containerPort: 81 })];
    const all = { ports: [one, other], egress: [first, second, third, first] };
    assert.deepEqual(await box.netRules(), all);
    await refused(
      box.removeNetRules({ ports: [one.hostPort], egress: [first, { port: 443, network: 'nowhere' }] }),
      'INVALID_SPEC',
      'a removal of what is no rule',
    );
    assert.deepEqual(await box.removeNetRules({ ports: [1], egress: [{ port: 443 }] }), all);
    // written in another way, and without saying whether it logs
    const { log: _log, ...quiet } = second;
    const left = { ports: [other], egress: [third] };
    const going = {
      ports: [one.hostPort],
      egress: [{ network: '203.0.113.77/24', portRange: '443' }, quiet],
    };
    assert.deepEqual(await box.removeNetRules(going), left);
    assert.deepEqual(await box.removeNetRules(going), left);
    assert.deepEqual((await box.info()).ports, [other]);
    assert.deepEqual(await box.removeNetRules({ ports: [other.hostPort], egress: left.egress }), {
      ports: [],
      egress: [],
    });
    assert.deepEqual(await box.netRules(), { ports: [], egress: [] });
  }),
  inContainer(
    'stands still while it is paused, and goes on',
    async (box) => {
      const job = await box.spawn('', { argv: ['cat'], stdin: 'pipe' });
      await box.pause();
      await box.pause();
      assert.equal((await box.info()).paused, true);
      await refused(box.exec(['true']), 'BAD_STATE', 'a run in a paused container');
      await refused(job.write('x'), 'BAD_STATE', 'input in a paused container');
      await refused(box.files.stat('/tmp'), 'BAD_STATE', 'a file in a paused container');
      await box.resume();
      await box.resume();
      assert.equal((await box.info()).paused, undefined);
      await job.write('alive');
      await job.endInput();
      assert.equal((await job.link()).stdoutText, 'alive');
    },
    'pause',
  ),
  inContainer(
    'destroys a paused container',
    async (box, warden) => {
      await box.spawn('', { argv: ['sleep', '1000'] });
      await box.pause();
      await box.destroy();
      assert.ok(!(await warden.list()).includes(box.handle));
    },
    'pause',
  ),
  {
    title: 'tells of many containers by one request, and of each that is not there',
    run: async ({ connect }) => {
      await using warden = await connect();
      const mark = Math.random().toString(36).slice(2);
      await using one = await warden.create({ properties: { mark } });
      await using other = await warden.create({ properties: { mark } });
      const reports = await warden.infoMany({ properties: { mark } });
      assert.deepEqual(
        reports.map(({ handle, info }) => [handle, info?.state]),
        [one, other].map(({ handle }) => [handle, 'active']),
      );
      const named = await warden.infoMany({ handles: [other.handle, 'nobody', other.handle] }); // each once
      assert.deepEqual(
        named.map(({ info, error }) => info?.state ?? error?.code),
        ['active', 'UNKNOWN_HANDLE'],
      );
      assert.deepEqual(await warden.infoMany({ handles: [] }), []);
      // more than a daemon reads in one request, by their number and by their length
      const nobodies = [...Array(10_500).keys(), ...Array(50).keys()].map((at, index) =>
        index < 10_500 ? `nobody ${at}` : `${'nobody '.repeat(500)}${at}`,
      );
      const all = await warden.infoMany({ handles: [...nobodies, one.handle] });
      assert.deepEqual(
        all.map(({ handle }) => handle),
        [...nobodies, one.handle],
      );
      const metrics = await warden.metrics();
      assert.ok(metrics.containers >= 2 && metrics.totals.created >= 2);
      assert.ok(metrics.pools.every(({ used, limit }) => used <= limit));
    },
  },
];

const EVENTS: readonly ContractCase[] = [
  {
    title: 'tells what happens to containers, in order',
    run: async ({ connect }) => {
      await using warden = await connect();
      const handle = `events-${Math.random().toString(36).slice(2)}`;
      const events = await warden.events({ handle });
      const box = await warden.create({ handle });
      await box.setProperties({ seen: 'yes' });
      await box.limitCpu(256n);
      const job = await box.spawn('exit 3');
      await job.link();
      await box.destroy();
      const seen: ContainerEvent[] = [];
      while (seen.at(-1)?.type !== 'destroyed') seen.push(await step(events, 'the next event'));
      assert.deepEqual(
        seen.map(({ type }) => type),
        ['created', 'properties', 'limit', 'exit', 'stopped', 'destroyed'],
      );
      const exit = seen[3] as Extract<ContainerEvent, { type: 'exit' }>;
      assert.deepEqual([exit.jobId, exit.exitStatus, exit.verdict], [job.id, 3, { reason: 'exited' }]);
      assert.deepEqual(
        [seen[2]?.type === 'limit' && seen[2].limit, seen[2]?.type === 'limit' && seen[2].value],
        ['cpu', 256n],
      );
      assert.ok(seen.every(({ lost, time }) => lost === 0 && time > 1_500_000_000_000));
      await events.return?.();
      assert.equal((await events.next()).done, true);
    },
  },
  {
    title: 'tells only of the events that a filter admits, and ends with its signal',
    run: async ({ connect }) => {
      await using warden = await connect();
      const giveUp = new AbortController();
      const mark = Math.random().toString(36).slice(2);
      const events = await warden.events({ types: ['exit'], properties: { mark }, signal: giveUp.signal });
      await using other = await warden.create();
      await using box = await warden.create({ properties: { mark } });
      await other.exec(['true']);
      await box.exec(['false']);
      const event = await step(events, 'the exit');
      assert.deepEqual([event.type, event.handle], ['exit', box.handle]);
      const next = events.next();
      giveUp.abort();
      await refused(next, 'ABORTED', 'a step of a subscription that was given up');
    },
  },
  {
    title: 'refuses to tell of what it does not know',
    run: async ({ connect }) => {
      await using warden = await connect();
      await refused(warden.events({ types: ['nonsense' as 'exit'] }), 'INVALID_SPEC', 'a kind that is none');
    },
  },
];

const FILES: readonly ContractCase[] = [
  inContainer('writes a file, reads it, and says what it is', async ({ files }) => {
    await files.write('/tmp/greeting', 'hello');
    assert.equal(await files.readText('/tmp/greeting'), 'hello');
    const { type, mode, size } = await files.stat('/tmp/greeting');
    assert.deepEqual([type, mode, size], ['file', 0o644, 5n]);
    await files.write('/tmp/greeting', 'again', { mode: 0o600 });
    assert.equal((await files.stat('/tmp/greeting')).mode, 0o600);
    await files.write('/tmp/greeting', 'third');
    assert.equal((await files.stat('/tmp/greeting')).mode, 0o600);
    assert.equal(await files.readText('/tmp/greeting', { offset: 1n, length: 3n }), 'hir');
  }),
  inContainer('shares one signal between many operations without a warning', async ({ files }) => {
    const warnings: string[] = [];
    const note = (warning: Error): void => void warnings.push(`${warning.name}: ${warning.message}`);
    process.on('warning', note);
    try {
      const { signal } = new AbortController();
      // more than an AbortSignal takes without a warning, and no more than a container takes at a time
      const many = Array.from({ length: 20 }, (_, at) => `/tmp/${at}`);
      await Promise.all(many.map((path) => files.write(path, path, { signal })));
      const read = await Promise.all(many.map((path) => files.readText(path, { signal })));
      assert.deepEqual(read, many);
      await delay(0); // a warning is emitted a turn later
      assert.deepEqual(warnings, []);
    } finally {
      process.off('warning', note);
    }
  }),
  inContainer('carries large files both ways', async ({ files }) => {
    const pieces = Array.from({ length: 30 }, (_, at) => new Uint8Array(100_003).fill(at));
    await files.write('/tmp/large', pieces);
    assert.ok(Buffer.from(await files.readAll('/tmp/large')).equals(Buffer.concat(pieces)));
    await refused(files.readAll('/tmp/large', { maxBytes: 1000 }), 'INVALID_SPEC', 'more than was asked for');
  }),
  inContainer('replaces a file as a whole, or not at all', async ({ files }) => {
    await files.write('/tmp/whole', 'old');
    async function* broken(): AsyncGenerator<Uint8Array, void, undefined> {
      yield new TextEncoder().encode('half');
      throw new Error('the source fails');
    }
    await assert.rejects(files.write('/tmp/whole', broken()), /the source fails/);
    assert.equal(await files.readText('/tmp/whole'), 'old');
    const names: string[] = [];
    for await (const { name } of files.list('/tmp')) names.push(name);
    assert.deepEqual(names, ['whole']);
  }),
  inContainer('lists directories', async ({ files }) => {
    for (const name of ['b', 'a', ' c\nd']) await files.write(`/tmp/${name}`, name);
    const found: string[] = [];
    for await (const { name, type, size } of files.list('/tmp'))
      found.push(`${type} ${JSON.stringify(name)} ${size}`);
    assert.deepEqual(found.sort(), ['file " c\\nd" 4', 'file "a" 1', 'file "b" 1']);
  }),
  inContainer('says what is wrong with a path', async ({ files }) => {
    await files.write('/tmp/file', 'x');
    await refused(files.stat('/tmp/nothing'), 'INVALID_SPEC', 'stat of nothing');
    assert.equal(await files.exists('/tmp/nothing'), false);
    assert.equal(await files.exists('/tmp/file'), true);
    await refused(files.readText('/tmp/nothing'), 'INVALID_SPEC', 'read of nothing');
    await refused(files.readText('/tmp'), 'INVALID_SPEC', 'read of a directory');
    await refused(files.write('/tmp', 'x'), 'INVALID_SPEC', 'a directory replaced by a file');
    await refused(files.write('/tmp/no/where', 'x'), 'INVALID_SPEC', 'a file in no directory');
    await refused(files.stat('tmp'), 'INVALID_SPEC', 'a relative path');
    await refused(files.stat('/tmp/\0'), 'INVALID_SPEC', 'a NUL');
    await refused(files.stat(`/${'x'.repeat(5000)}`), 'INVALID_SPEC', 'a long path');
    for (const mode of [0o10000, 0o4755, 0o2755, -1, 0.5])
      await refused(files.write('/tmp/file', 'x', { mode }), 'INVALID_SPEC', 'a mode that no file gets');
  }),
  inContainer('tells changes of a directory', async ({ files }) => {
    const changes = await files.watch('/tmp');
    await files.write('/tmp/news', 'x');
    const seen: FileChange[] = [];
    while (!seen.some(({ kind, name }) => kind === 'created' && name === 'news'))
      seen.push(await step(changes, 'the new file'));
    await changes.return?.();
    await refused(files.watch('/tmp/nothing'), 'INVALID_SPEC', 'a watch of nothing');
  }),
  inContainer('carries a tree as a tar archive, and back', async ({ files }) => {
    await files.write('/tmp/one', 'first');
    await files.write('/tmp/two words', 'second', { mode: 0o755 });
    const archive = await collect(files.readTar('/tmp'));
    assert.equal(archive.length % 512, 0);
    await files.write('/tmp/one', 'changed');
    await files.writeTar('/tmp', archive);
    assert.equal(await files.readText('/tmp/one'), 'first');
    assert.equal((await files.stat('/tmp/two words')).mode, 0o755);
    await files.writeTar('/home', await collect(files.readTar('/tmp/one')), { privileged: true });
    assert.equal(await files.readText('/home/one'), 'first');
  }),
  inContainer('leaves set-user-id bits of an archive out, and keeps the sticky one', async ({ files }) => {
    await files.write('/tmp/tool', 'x');
    const archive = await collect(files.readTar('/tmp/tool'));
    archive.set(new TextEncoder().encode('0007755\0'), 100);
    fixChecksum(archive);
    await files.writeTar('/tmp', archive);
    assert.equal((await files.stat('/tmp/tool')).mode, 0o1755);
  }),
  inContainer('refuses an archive that is none, cut, or leads out', async ({ files }) => {
    await files.write('/tmp/one', 'first'.repeat(1000));
    const archive = await collect(files.readTar('/tmp'));
    await refused(files.writeTar('/tmp', new Uint8Array(512).fill(1)), 'INVALID_SPEC', 'nonsense');
    await refused(files.writeTar('/tmp', archive.subarray(0, 1024)), 'INVALID_SPEC', 'half an archive');
    await refused(files.writeTar('/tmp/one', archive), 'INVALID_SPEC', 'unpacking into a file');
    const out = archive.slice();
    out.set(new TextEncoder().encode('../evil'), 0);
    fixChecksum(out);
    await refused(files.writeTar('/tmp', out), 'INVALID_SPEC', 'a name that leads out');
    assert.equal(await files.exists('/evil'), false);
    assert.equal((await files.readText('/tmp/one')).length, 5000);
  }),
];

/** Of the first header. */
function fixChecksum(archive: Uint8Array): void {
  archive.fill(0x20, 148, 156);
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  archive.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
}

/** Every case. */
export const CLIENT_CONTRACT: readonly ContractCase[] = [
  ...LIFE,
  ...PROPERTIES,
  ...JOBS,
  ...CONTAINER,
  ...EVENTS,
  ...FILES,
];
