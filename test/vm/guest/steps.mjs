/** In the guest: the steps of the plan, one process each. After a reset it goes on behind the step that was cut off. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const RESULTS = '/run/vm/results';
const CGROUPS = '/sys/fs/cgroup';
const { steps, retry } = JSON.parse(fs.readFileSync(`${RESULTS}/plan.json`, 'utf8'));
const progress = path.join(RESULTS, 'progress');
const first = fs.existsSync(progress) ? Number(fs.readFileSync(progress, 'utf8')) : 0;

say('up');
for (const [at, step] of steps.entries()) {
  if (at < first) continue;
  fs.writeFileSync(progress, String(at + 1));
  say(`begin ${step.name}`);
  const kept = (step.withoutModules ?? []).filter((module) => !forget(module));
  const status = kept.length === 0 ? run(step) : skip(step, `a kernel that has ${kept} as a module`);
  say(`end ${step.name} ${status}`);
  if (status !== 0) clearGroups();
}
say('done');

function say(words) {
  process.stdout.write(`warden-vm: ${words}\n`);
}

/** A kernel that has the module no more: unloaded, and not to be found. False where it is built in. */
function forget(module) {
  spawnSync('/run/vm/busybox', ['modprobe', '-r', module]);
  const release = fs.readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  const directory = `/lib/modules/${release}`;
  for (const file of fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }))
    if (path.basename(file).replace(/\.ko.*$/, '') === module) fs.rmSync(path.join(directory, file));
  const builtIn = fs.readFileSync(path.join(directory, 'modules.builtin'), 'utf8');
  return !builtIn.includes(`/${module}.ko`) && !fs.existsSync(`/sys/module/${module}`);
}

/** The report of a step that cannot be run here. */
function skip({ name, files }, needs) {
  const results = files.map((file) => ({
    name: [file].flat()[0],
    failed: false,
    tests: [{ name: `${name} [needs: ${needs}]`, state: 'skip', errors: [] }],
    errors: [],
  }));
  fs.writeFileSync(`${RESULTS}/${name}.json`, JSON.stringify({ results, errors: [] }));
  return 0;
}

/** As `npm test` does it: in network and mount namespaces of its own. Answers the status, the signal, or ETIMEDOUT. */
function run({ name, files, environment, minutes }) {
  const output = fs.openSync(`${RESULTS}/${name}.log`, 'w');
  const isolated = ['--net', '--mount', '--propagation', 'private', '--', 'sh', '-c'];
  const step = { files, report: `${RESULTS}/${name}.json`, retry };
  const { status, signal, error } = spawnSync(
    'unshare',
    [...isolated, 'ip link set lo up && exec "$@"', 'sh', process.execPath, 'test/vm/guest/run-tests.mjs'],
    {
      stdio: ['ignore', output, output],
      env: { ...process.env, ...environment, WARDEN_VM_STEP: JSON.stringify(step) },
      timeout: minutes * 60_000,
      killSignal: 'SIGKILL',
    },
  );
  fs.closeSync(output);
  return error?.code ?? signal ?? status;
}

/** Containers of a step that failed are no burden of the next. All groups of this machine are made by the steps. */
function clearGroups() {
  for (const entry of fs.readdirSync(CGROUPS, { withFileTypes: true }))
    if (entry.isDirectory()) fs.writeFileSync(path.join(CGROUPS, entry.name, 'cgroup.kill'), '1');
}
