/**
 * `pnpm run vm`: boots another kernel in an emulated machine and runs parts of the suite there, which this host's own kernel cannot run.
 *
 *     pnpm run vm                  everything in steps.mjs
 *     pnpm run vm -- --short       the short form
 *     pnpm run vm -- --only quota  steps by name
 *     KERNEL=bzImage MODULES=lib/modules/6.6.1 pnpm run vm
 *     KERNEL=bzImage INITRD=initrd.img pnpm run vm
 *
 * The guest has the host's root read-only, keeps what it writes, and has no network device. Results are in reports/vm.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compile } from './lib/compile.mjs';
import { makeDisks } from './lib/disks.mjs';
import { writeInitramfs } from './lib/initramfs.mjs';
import { findKernel } from './lib/kernel.mjs';
import { startMachine } from './lib/machine.mjs';
import { summarize } from './lib/report.mjs';
import { planOf } from './steps.mjs';

const REPOSITORY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const CACHE = path.join(REPOSITORY, 'node_modules/.cache/warden-vm');
const RESULTS = path.join(REPOSITORY, 'reports/vm');
const MEMORY_MIB = 3072;
/** An emulated processor is ten to thirty times slower: what waits in a test waits that much longer. */
const PATIENCE = 10;

const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    minutes: { type: 'string' },
  },
});
const minutes = Number(options.minutes ?? (options.short ? 15 : 45));
const began = Date.now();

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-vm-'));
// the machine itself ends with this process
for (const [signal, number] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
])
  process.once(signal, () => {
    fs.rmSync(work, { recursive: true, force: true });
    process.exit(number);
  });
let status = 1;
try {
  status = await main();
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}
process.exit(status);

async function main() {
  const steps = planOf(options).map((step) => ({ ...step }));
  await prepareResults(steps);
  const kernel = findKernel(CACHE);
  const initramfs = path.join(work, 'initramfs');
  writeInitramfs(initramfs, kernel, work);
  say(`kernel ${kernel.name}, ${steps.length} steps, at most ${minutes} minutes`);
  const machine = startMachine({
    work: RESULTS,
    kernel,
    initramfs,
    disks: makeDisks(work),
    shares: [
      { tag: 'host', directory: '/', readonly: true },
      { tag: 'results', directory: RESULTS, readonly: false },
    ],
    memory: MEMORY_MIB,
    onMark: (words) => follow(words, steps, () => machine.reset()),
  });
  const timer = setTimeout(() => {
    say(`not done within ${minutes} minutes`);
    machine.stop();
  }, minutes * 60_000);
  const { code, signal, trouble } = await machine.ended;
  clearTimeout(timer);
  await machine.stop();
  if (trouble !== '') process.stderr.write(trouble);
  const problem = signal ?? (code === 0 ? undefined : `status ${code}`);
  return close(steps, problem);
}

async function prepareResults(steps) {
  fs.rmSync(RESULTS, { recursive: true, force: true });
  fs.mkdirSync(RESULTS, { recursive: true });
  const environment = {
    WARDEN_TEST_PATIENCE: String(PATIENCE),
    WARDEN_TEST_GUEST: '/run/vm',
    WARDEN_TEST_USER_QUOTA: '/run/vm/ext4-user',
    WARDEN_TEST_PROJECT_QUOTA: '/run/vm/ext4-project:/run/vm/xfs-project',
  };
  const plan = {
    steps: steps.map((step) => ({ ...step, environment: { ...environment, ...step.environment } })),
  };
  fs.writeFileSync(path.join(RESULTS, 'plan.json'), JSON.stringify(plan));
  const files = steps.flatMap((step) => step.files.map((file) => [file].flat()[0]));
  const settings = {
    REPOSITORY,
    NODE: process.execPath,
    VITEST: await compile(REPOSITORY, files, path.join(RESULTS, 'build')),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}='${value}'\n`);
  fs.writeFileSync(path.join(RESULTS, 'settings'), lines.join(''));
}

/** What the guest says: `up`, `begin STEP`, `end STEP STATUS`, `reset`, `fail WHY`, `done`. */
function follow(words, steps, reset) {
  const [word, name] = words.split(' ');
  say(words);
  if (word === 'begin') steps.find((step) => step.name === name).state = 'cut off';
  else if (word === 'end') steps.find((step) => step.name === name).state = 'ended';
  else if (word === 'reset') {
    const step = steps.find(({ state, resets }) => state === 'cut off' && resets);
    if (step === undefined) return;
    step.state = 'reset';
    reset().catch((error) => say(error.message));
  }
}

function close(steps, problem) {
  const { passed, failed, skipped, skips, failures } = summarize(RESULTS, steps);
  for (const one of failures) process.stdout.write(`\nFAILED ${one}\n`);
  process.stdout.write(skipped === 0 ? '\nskipped: nothing\n' : '\nskipped | why\n');
  for (const [reason, count] of [...skips].sort())
    process.stdout.write(`${String(count).padStart(7)} | ${reason}\n`);
  if (problem !== undefined)
    say(`the machine ended with ${problem}; its console is in reports/vm/console.log`);
  const total = failed + (problem !== undefined && failed === 0 ? 1 : 0);
  process.stdout.write(`${passed} passed, ${total} failed, ${skipped} skipped\n`);
  return total === 0 && passed > 0 ? 0 : 1;
}

function say(words) {
  process.stdout.write(`[${String(Math.round((Date.now() - began) / 1000)).padStart(4)} s] ${words}\n`);
}
