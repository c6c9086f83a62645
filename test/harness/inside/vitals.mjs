// Loaded into a daemon under test by --import: at SIGPWR it tells how late its event loop was since the last
// time, and what it holds after a collection of garbage.
import fs from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import v8 from 'node:v8';
import vm from 'node:vm';

const file = process.env.WARDEN_TEST_VITALS;
const RESOLUTION_MS = 1;
if (file !== undefined) {
  // the options of NODE_OPTIONS do not include this one
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc');
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  process.on('SIGPWR', () => {
    // what is recorded is the interval between two ticks of the timer, which would be the resolution
    const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    const loop = {
      max: late(histogram.max),
      p99: late(histogram.percentile(99)),
      median: late(histogram.percentile(50)),
    };
    collect();
    const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
    const resources = process.getActiveResourcesInfo().length;
    fs.writeFileSync(
      `${file}.new`,
      JSON.stringify({ loop, heapUsed, external, arrayBuffers, rss, resources }),
    );
    fs.renameSync(`${file}.new`, file);
    // the collection was ours
    histogram.reset();
  });
}
