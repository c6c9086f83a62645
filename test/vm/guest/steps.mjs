/** In the guest: the steps of the plan, one vitest run each. After a reset it goes on behind the step that was cut off. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const RESULTS = '/run/vm/results';
const { steps } = JSON.parse(fs.readFileSync(`${RESULTS}/plan.json`, 'utf8'));
const progress = path.join(RESULTS, 'progress');
const first = fs.existsSync(progress) ? Number(fs.readFileSync(progress, 'utf8')) : 0;

say('up');
for (const [at, step] of steps.entries()) {
  if (at < first) continue;
  fs.writeFileSync(progress, String(at + 1));
  say(`begin ${step.name}`);
  for (const module of step.withoutModules ?? []) forget(module);
  say(`end ${step.name} ${run(step)}`);
}
say('done');

function say(words) {
  process.stdout.write(`warden-vm: ${words}\n`);
}

/** A kernel that has the module no more: unloaded, and not to be found. */
function forget(module) {
  spawnSync('/run/vm/busybox', ['modprobe', '-r', module]);
  const release = fs.readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  const directory = `/lib/modules/${release}`;
  for (const file of fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }))
    if (path.basename(file).replace(/\.ko.*$/, '') === module) fs.rmSync(path.join(directory, file));
}

/** As `npm test` does it: in network and mount namespaces of its own. Answers the status. */
function run({ name, files, environment }) {
  const output = fs.openSync(`${RESULTS}/${name}.log`, 'w');
  const isolated = ['--net', '--mount', '--propagation', 'private', '--', 'sh', '-c'];
  const step = { files, report: `${RESULTS}/${name}.json` };
  const { status, signal } = spawnSync(
    'unshare',
    [...isolated, 'ip link set lo up && exec "$@"', 'sh', process.execPath, 'test/vm/guest/run-tests.mjs'],
    {
      stdio: ['ignore', output, output],
      env: { ...process.env, ...environment, WARDEN_VM_STEP: JSON.stringify(step) },
    },
  );
  fs.closeSync(output);
  return signal ?? status;
}
