/**
 * `pnpm run vm`: boots another kernel in an emulated machine and runs parts of the suite there, which this
 * host's own kernel cannot run.
 *
 *     pnpm run vm                  everything in steps.mjs
 *     pnpm run vm -- --short       the short form
 *     pnpm run vm -- --only quota  steps by name
 *     KERNEL=bzImage MODULES=lib/modules/6.6.1 pnpm run vm
 *     KERNEL=bzImage INITRD=initrd.img pnpm run vm
 *
 * The guest has the host's root read-only, keeps what it writes, and has no network device. Results are in
 * reports/vm.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compile } from './lib/compile.mjs';
import { makeDisks } from './lib/disks.mjs';
import { writeInitramfs } from './lib/initramfs.mjs';
import { findKernel, NoArchive } from './lib/kernel.mjs';
import { startMachine } from './lib/machine.mjs';
import { Progress } from './lib/progress.mjs';
import { printReport, summarize } from './lib/report.mjs';
import { planOf } from './steps.mjs';

const REPOSITORY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const CACHE = path.join(REPOSITORY, 'node_modules/.cache/warden-vm');
const RESULTS = path.join(REPOSITORY, 'reports/vm');
const BUILD = path.join(RESULTS, 'build');
const MEMORY_MIB = 3072;
/** An emulated processor is ten to thirty times slower: what waits in a test waits that much longer. */
const PATIENCE = 10;

const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    minutes: { type: 'string' },
    // on a busy host one is often faster than two: the guest's kernel spins for locks that a processor
    // without time holds
    processors: { type: 'string', default: '2' },
    // how many times as long as on a host with nothing else to do everything may take
    slow: { type: 'string', default: '1' },
  },
});
const slow = Number(options.slow);
const minutes = Number(options.minutes ?? (options.short ? 20 : 90) * slow);
const began = Date.now();

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-vm-'));
const clear = () => {
  for (const directory of [work, BUILD]) fs.rmSync(directory, { recursive: true, force: true });
};
// the machine itself ends with this process
for (const [signal, number] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
])
  process.once(signal, () => {
    clear();
    process.exit(number);
  });
let status = 1;
try {
  status = await main();
} catch (error) {
  if (!(error instanceof NoArchive)) throw error;
  process.stdout.write(`${options.short ? 'skipped' : 'FAILED'}: the guest: ${error.message}\n`);
  // only the short form, which runs by itself in CI, goes without
  if (options.short) process.stdout.write('0 passed, 0 failed, 1 skipped\n');
  status = options.short ? 0 : 1;
} finally {
  clear();
}
process.exit(status);

async function main() {
  const steps = planOf(options).map((step) => ({ ...step, minutes: step.minutes * slow }));
  const kernel = findKernel(CACHE);
  await prepareResults(steps);
  const initramfs = path.join(work, 'initramfs');
  writeInitramfs(initramfs, kernel, work);
  const disks = makeDisks(work);
  say(`kernel ${kernel.name}, ${steps.length} steps, at most ${minutes} minutes`);
  const progress = new Progress(steps, {
    say,
    minutes,
    cpuSeconds: () => machine.cpuSeconds(),
    stop: () => machine.stop(),
    reset: () => machine.reset(),
    // the machine has opened them: nothing remains of them, however this ends
    up: () => fs.rmSync(work, { recursive: true, force: true }),
  });
  const machine = startMachine({
    results: RESULTS,
    kernel,
    initramfs,
    disks,
    shares: [
      { tag: 'host', directory: '/', readonly: true },
      { tag: 'results', directory: RESULTS, readonly: false },
    ],
    memory: MEMORY_MIB,
    processors: Number(options.processors),
    onMark: (words) => progress.follow(words),
  });
  const { code, signal, trouble } = await machine.ended;
  await machine.stop();
  if (trouble !== '') process.stderr.write(trouble);
  const problem = progress.end() ?? signal ?? (code === 0 ? undefined : `status ${code}`);
  if (problem !== undefined)
    say(`the machine ended with ${problem}; its console is in reports/vm/console.log`);
  return printReport(summarize(RESULTS, steps), problem);
}

async function prepareResults(steps) {
  fs.rmSync(RESULTS, { recursive: true, force: true });
  fs.mkdirSync(RESULTS, { recursive: true });
  const environment = {
    WARDEN_TEST_PATIENCE: String(PATIENCE * slow),
    WARDEN_TEST_GUEST: '/run/vm',
    WARDEN_TEST_USER_QUOTA: '/run/vm/ext4-user',
    WARDEN_TEST_PROJECT_QUOTA: '/run/vm/ext4-project:/run/vm/xfs-project',
  };
  const plan = {
    // as `npm test` does it: in CI what failed is tried once more, and the report names it
    retry: process.env.CI ? 1 : 0,
    steps: steps.map((step) => ({ ...step, environment: { ...environment, ...step.environment } })),
  };
  fs.writeFileSync(path.join(RESULTS, 'plan.json'), JSON.stringify(plan));
  const files = steps.flatMap((step) => step.files.map((file) => [file].flat()[0]));
  const settings = {
    REPOSITORY,
    NODE: process.execPath,
    VITEST: await compile(REPOSITORY, files, BUILD),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}='${value}'\n`);
  fs.writeFileSync(path.join(RESULTS, 'settings'), lines.join(''));
}

function say(words) {
  process.stdout.write(`[${String(Math.round((Date.now() - began) / 1000)).padStart(4)} s] ${words}\n`);
}
