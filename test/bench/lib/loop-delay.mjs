// Loaded into the daemon by --import: at SIGPWR it writes how late its event loop was since the last time. It
// begins at the first one: its timer wakes the loop a thousand times a second, which no other measurement is
// to pay for.
import fs from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const file = process.env.WARDEN_BENCH_LOOP_DELAY;
const RESOLUTION_MS = 1;
if (file !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  process.on('SIGPWR', () => {
    // what is recorded is the interval between two ticks of the timer, which would be the resolution
    const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    const report = {
      max: late(histogram.max),
      p99: late(histogram.percentile(99)),
      median: late(histogram.percentile(50)),
    };
    histogram.reset();
    histogram.enable();
    fs.writeFileSync(`${file}.new`, JSON.stringify(report));
    fs.renameSync(`${file}.new`, file);
  });
}
