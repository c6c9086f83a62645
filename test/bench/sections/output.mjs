// Bytes a job prints and a client gets: live through the daemon, live at the job's pipes, both into memory
// that is used again and into memory of their own, and kept; and what the daemon holds while a client does
// not read.
//
// Two programs print: `dd` copies each page into a new one of the pipe's, which costs more than a reader
// does; busybox `cat` of a file that is in memory hands the file's own pages over (sendfile), so that what is
// measured is the way to the client. What the kernel gives is told by the floor program: the same two kinds
// of a writer, with a reader in C.
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { startDaemon } from '../lib/daemon.mjs';

const MIB = 1 << 20;

/** What `cat` prints again and again: more than the processor's caches hold. */
const FILE_MIB = 64;
const FILE = '/tmp/printed';

export async function measureOutput({ samples, place, floor, isShort }) {
  const mebibytes = isShort ? 128 : 1_024;
  const bytes = mebibytes * MIB;
  const daemon = await startDaemon(place('output', { server: { job_output_limit: 0 } }));
  try {
    const box = await daemon.client.create();
    await box.run(`dd if=/dev/zero of=${FILE} bs=1M count=${FILE_MIB} 2>/dev/null`);
    for (let i = 0; i < (isShort ? 3 : 5); i++) {
      await throughput(samples, 'job output GB/s', box, { bytes, way: 'framed', reuseMemory: true });
      await byKernel(samples, box, bytes);
      await throughput(samples, 'job output at the pipes GB/s', box, {
        bytes,
        way: 'direct',
        reuseMemory: true,
      });
      samples.add('floor: a pipe, copied GB/s', await floor.ask('pipe', 'copied', mebibytes));
      await throughput(samples, 'lent job output GB/s', box, {
        bytes,
        way: 'framed',
        reuseMemory: true,
        print: printFile,
      });
      await throughput(samples, 'lent job output at the pipes GB/s', box, {
        bytes,
        way: 'direct',
        reuseMemory: true,
        print: printFile,
      });
      samples.add('floor: a pipe, lent GB/s', await floor.ask('pipe', 'lent', mebibytes));
      await throughput(samples, 'job output, own memory GB/s', box, { bytes, way: 'framed' });
      await throughput(samples, 'job output at the pipes, own memory GB/s', box, { bytes, way: 'direct' });
      await throughput(samples, 'kept job output GB/s', box, { bytes: bytes / 4, way: 'kept' });
    }
    await box.destroy();
    await slowReader(samples, daemon);
  } finally {
    await daemon.stop();
  }
}

const printZeros = (bytes) => `exec dd if=/dev/zero bs=1M count=${bytes / MIB} 2>/dev/null`;
const printFile = (bytes) => `exec busybox cat${` ${FILE}`.repeat(bytes / MIB / FILE_MIB)}`;

/**
 * `framed`: by a client that does not know that the job is live, through the daemon; `direct`: by one that
 * opens the pipes; `kept`: the original's way.
 */
async function throughput(samples, name, box, { bytes, way, reuseMemory = false, print = printZeros }) {
  const job = await box.spawn(print(bytes), way === 'kept' ? {} : { output: 'live' });
  const reader = way === 'framed' ? box.job(job.id) : job;
  const began = performance.now();
  let received = 0;
  for await (const { data } of reader.stream({ reuseMemory })) received += data.length;
  if (received !== bytes) throw new Error(`${received} of ${bytes} bytes came`);
  samples.add(name, received / 1e6 / (performance.now() - began));
}

/** The most the kernel gives: the same program into a pipe inside. */
async function byKernel(samples, box, bytes) {
  const began = performance.now();
  await box.run(`dd if=/dev/zero bs=1M count=${bytes / MIB} 2>/dev/null | cat > /dev/null`);
  samples.add('a pipe inside GB/s', bytes / 1e6 / (performance.now() - began));
}

/** A client that reads one piece and then nothing: what has the daemon taken out of the job's pipe meanwhile? */
async function slowReader(samples, daemon) {
  const client = await daemon.connect();
  const box = await client.create();
  const job = await box.spawn('exec yes 0123456789abcdef0123456789abcdef', { output: 'live' });
  const chunks = box.job(job.id).stream();
  await chunks.next();
  const rss = () =>
    Number(/^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))[1]);
  await delay(500);
  const before = rss();
  await delay(1_500);
  samples.add('growth with a slow reader MB', (rss() - before) / 1_024);
  await job.kill({ tree: true });
  await client.close();
  await daemon.client.container(box.handle).destroy();
}
