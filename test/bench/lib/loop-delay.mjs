// Loaded into the daemon by --import: at SIGPWR it writes how late its event loop was at most since the last
// time, and how late it would have been had it never waited for a processor. It begins at the first one: its
// timer wakes the loop a thousand times a second, which no other measurement is to pay for.
import fs from 'node:fs';

const file = process.env.WARDEN_BENCH_LOOP_DELAY;
const PERIOD_MS = 1;
if (file !== undefined) {
  // nanoseconds on a processor, and nanoseconds for which this thread could run and had none (kernel:
  // Documentation/scheduler/sched-stats.rst)
  const statistics = fs.openSync(`/proc/self/task/${process.pid}/schedstat`);
  const text = Buffer.alloc(128);
  const waitedMs = () => {
    const length = fs.readSync(statistics, text, 0, text.length, 0);
    return Number(text.latin1Slice(0, length).split(' ')[1]) / 1e6;
  };
  const state = () => ({ at: performance.now(), waited: waitedMs() });
  let last;
  let most;
  let timer;
  const tick = () => {
    const now = state();
    const late = now.at - last.at - PERIOD_MS;
    most.late = Math.max(most.late, late);
    most.own = Math.max(most.own, late - (now.waited - last.waited));
    last = now;
  };
  process.on('SIGPWR', () => {
    fs.writeFileSync(`${file}.new`, JSON.stringify(most ?? {}));
    fs.renameSync(`${file}.new`, file);
    clearInterval(timer);
    most = { late: 0, own: 0 };
    last = state();
    timer = setInterval(tick, PERIOD_MS);
  });
}
