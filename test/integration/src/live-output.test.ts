/** Output that nobody keeps: through the daemon, and read by the client itself at the job's pipes. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import type { ClientContainer, ClientJob } from '@warden/client';
import type { OutputChunk } from '@warden/interface';
import { describeWith, startDaemon, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

/** Prints so many MiB that are not the same twice, and their sum last. */
const numbers = (mebibytes: number): string =>
  `seq 1 100000000 | head -c ${mebibytes * 1_048_576} | tee /dev/stderr 2>/tmp/copy | cat; sum=$(sha256sum </tmp/copy); echo "$sum"`;

interface Seen {
  readonly bytes: number;
  /** Of what came before the last line, and what that says. */
  readonly sum: string;
  readonly said: string;
  /** What the pieces lay in. */
  readonly pieces: number;
  readonly memories: number;
}

async function read(chunks: AsyncIterable<{ stream: string; data: Uint8Array }>): Promise<Seen> {
  const parts: Uint8Array[] = [];
  const memories = new Set<unknown>();
  for await (const { stream, data } of chunks) {
    memories.add(data.buffer);
    if (stream === 'stdout') parts.push(Uint8Array.from(data));
  }
  const all = Buffer.concat(parts);
  const at = all.length - '  -\n'.length - 64;
  const said = text(all.subarray(at)).slice(0, 64);
  const content = all.subarray(0, at);
  const sum = createHash('sha256').update(content).digest('hex');
  return { bytes: content.length, sum, said, pieces: parts.length, memories: memories.size };
}

function textOf(step: IteratorResult<OutputChunk, unknown>): string {
  return step.done === true ? 'the end' : text(step.value.data);
}

function linkOf(file: string): string {
  try {
    return fs.readlinkSync(file);
  } catch {
    return ''; // closed meanwhile
  }
}

/** The same job for whoever does not know how it was started: read through the daemon. */
const framed = (box: ClientContainer, job: ClientJob): ClientJob => box.job(job.id);

describeWith(['root', 'isolated', 'overlayfs'], 'live output', () => {
  const suite = withDaemon({ config: { server: { job_output_limit: 1_000 } } });

  it.each([
    ['by the client itself', false],
    ['through the daemon', false],
    ['by the client itself, in memory that is used again', true],
    ['through the daemon, in memory that is used again', true],
  ])('comes whole %s, far beyond what is kept of other jobs', async (way, reuseMemory) => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const job = await box.spawn(numbers(8), { output: 'live' });
    const reader = way.startsWith('through the daemon') ? framed(box, job) : job;
    const seen = await read(reader.stream({ reuseMemory }));
    expect(seen.bytes).toBe(8 * 1_048_576);
    if (reuseMemory) expect(seen.memories).toBeLessThan(seen.pieces);
    expect(seen.sum).toBe(seen.said);
    expect((await box.info()).events).toEqual([]);
    await expect(box.job(job.id).link()).rejects.toMatchObject({ code: 'UNKNOWN_JOB' });
  });

  it('is read at the pipes by the client itself, without the daemon', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const job = await box.spawn('cat', { output: 'live', stdin: 'pipe' });
    const pipes = (pid: number): Set<string> =>
      new Set(
        fs
          .readdirSync(`/proc/${pid}/fd`)
          .map((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
          .filter((target) => target.startsWith('pipe:')),
      );
    const common = (): number =>
      [...pipes(process.pid)].filter((one) => pipes(suite.daemon.pid).has(one)).length;
    const before = common();
    const chunks = job.stream();
    await job.write('x');
    expect(textOf(await chunks.next())).toBe('x');
    expect(common()).toBe(before + 2);
    await chunks.return(undefined as never);
    expect(common()).toBe(before);
  });

  it('of both streams, and the status, are there either way', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    for (const way of ['direct', 'framed']) {
      const job = await box.spawn('echo out; echo err >&2; exit 7', { output: 'live' });
      const chunks = (way === 'framed' ? framed(box, job) : job).stream();
      const seen = { stdout: '', stderr: '' };
      let step = await chunks.next();
      for (; !step.done; step = await chunks.next()) seen[step.value.stream] += text(step.value.data);
      expect(seen).toEqual({ stdout: 'out\n', stderr: 'err\n' });
      expect(step.value).toMatchObject({ exitStatus: 7, verdict: { reason: 'exited' } });
    }
  });

  it('holds the job while nobody reads, and the daemon holds none of it', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const job = await box.spawn('head -c 4000000 /dev/zero; touch /tmp/done', { output: 'live' });
    const { containerPath = '' } = await box.info();
    const done = (): boolean => fs.existsSync(`${containerPath}/tmp/rootfs/tmp/done`);
    expect((await box.run('sleep 0.3')).exitStatus).toBe(0);
    expect(done()).toBe(false);
    expect(fs.existsSync(`${containerPath}/jobs/${job.id}`)).toBe(false);
    let length = 0;
    for await (const { data } of framed(box, job).stream()) length += data.length;
    expect(length).toBe(4_000_000);
    expect(done()).toBe(true);
  });

  it('of a reader that leaves stays for the next one, and goes to one at a time', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const job = await box.spawn('cat; echo rest', { output: 'live', stdin: 'pipe' });
    const first = job.stream();
    await job.write('first ');
    expect(textOf(await first.next())).toBe('first ');
    await expect(framed(box, job).stream().next()).rejects.toMatchObject({ code: 'BAD_STATE' });
    await first.return(undefined as never);
    const second = framed(box, job).stream();
    await job.write('second ');
    expect(textOf(await second.next())).toBe('second ');
    await second.return(undefined as never);
    await job.endInput();
    let rest = '';
    for await (const { data } of job.stream()) rest += text(data);
    expect(rest).toBe('rest\n');
  });

  it('of a job that has ended is there until it is taken, and costs the daemon no descriptor', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const descriptors = (): number => fs.readdirSync(`/proc/${suite.daemon.pid}/fd`).length;
    const before = descriptors();
    const jobs: ClientJob[] = [];
    for (let at = 0; at < 5; at++) jobs.push(await box.spawn(`echo ${at}`, { output: 'live' }));
    await expect.poll(descriptors, { timeout: 20_000 }).toBeLessThanOrEqual(before);
    for (const [at, job] of jobs.entries()) {
      let seen = '';
      for await (const { data } of job.stream()) seen += text(data);
      expect(seen).toBe(`${at}\n`);
    }
  });

  it('ends with the script, whatever its children hold', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    for (const way of ['direct', 'framed']) {
      const job = await box.spawn('echo now; (while sleep 0.01; do echo later; done) & exit 3', {
        output: 'live',
      });
      const chunks = (way === 'framed' ? framed(box, job) : job).stream();
      let step = await chunks.next();
      while (!step.done) step = await chunks.next();
      expect(step.value.exitStatus).toBe(3);
    }
  });

  it('of a killed daemon goes on at the next one: what it had not read is in the pipes', async () => {
    let daemon = await startDaemon();
    const { place } = daemon;
    try {
      const box = await (await daemon.connect()).create();
      // more than init would keep, and than a pipe holds
      const job = await box.spawn('cat; head -c 3000000 /dev/zero; echo end', {
        output: 'live',
        stdin: 'pipe',
      });
      const chunks = framed(box, job).stream();
      await job.write('begin\n');
      expect(textOf(await chunks.next())).toBe('begin\n');
      await chunks.return(undefined as never);
      await daemon.kill('SIGKILL');
      daemon = await startDaemon({ place });
      const same = (await daemon.connect()).container(box.handle).job(job.id);
      await same.endInput();
      let length = 0;
      let last = '';
      for await (const { data } of same.stream()) {
        length += data.length;
        last = text(data.subarray(-4));
      }
      expect([length, last]).toEqual([3_000_004, 'end\n']);
    } finally {
      await daemon.stop();
      await daemon.kill();
      await place.remove();
    }
  }, 60_000);

  it('is refused together with what it excludes', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    for (const options of [{ discardOutput: true }, { logTag: 'x' }, { terminal: { rows: 24, columns: 80 } }])
      await expect(box.spawn('true', { output: 'live', ...options })).rejects.toMatchObject({
        code: 'INVALID_SPEC',
      });
    await expect(box.run('true', { output: 'live' })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
  });
});
