/**
 * Loaded into a daemon under test by NODE_OPTIONS: notes how long its event loop was kept from going round,
 * in processor time, which a busy machine does not stretch as it stretches the clock's. The file named by the
 * environment always holds what was seen so far. Of the rounds it tells the third longest: a virtual machine
 * that touches memory for the first time waits for its host in the middle of an instruction, and that counts
 * as processor time; what a client does to a daemon again and again shows again and again.
 */
import fs from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const file = process.env.WARDEN_LOOP_WATCH;
if (file !== undefined && process.argv[1]?.endsWith('wardend.js')) {
  const delays = monitorEventLoopDelay({ resolution: 5 });
  delays.enable();
  // The first number is the main thread's time on a processor in nanoseconds.
  const task = fs.openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  const buffer = Buffer.alloc(64);
  const onProcessor = () => {
    const length = fs.readSync(task, buffer, 0, buffer.length, 0);
    return Number.parseInt(buffer.latin1Slice(0, length), 10) / 1e6;
  };
  let before = onProcessor();
  /** The longest rounds, the longest first. */
  let longest = [0, 0, 0];
  let requests = 0;
  setInterval(() => {
    const now = onProcessor();
    const round = now - before;
    if (round > longest[2]) longest = [...longest, round].sort((a, b) => b - a).slice(0, 3);
    before = now;
    if (++requests % 20 !== 0) return;
    if (fs.existsSync(`${file}.reset`)) {
      fs.rmSync(`${file}.reset`);
      longest = [0, 0, 0];
      delays.reset();
    }
    const facts = { busyMs: longest[2], delayMs: delays.max / 1e6, p99Ms: delays.percentile(99) / 1e6 };
    fs.writeFileSync(`${file}.new`, JSON.stringify(facts));
    fs.renameSync(`${file}.new`, file);
  }, 2).unref();
}
