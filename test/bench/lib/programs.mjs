// The other container programs and copiers. Each is measured as it is used: one process per request.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { removeGroups } from './groups.mjs';

/** Why a program cannot be measured here; `undefined` when it can. */
export function whyNot(program) {
  const result = spawnSync(program, ['--version'], { stdio: 'ignore', timeout: 10_000 });
  if (result.error !== undefined) return `${program} is not installed (apt-get install ${program})`;
  return result.status === 0 ? undefined : `${program} --version ends with ${result.status}`;
}

/**
 * As {@link whyNot} for crun, which refuses a v2 hierarchy with controllers beside v1 ones. In a mount
 * namespace of the bench's own that one is taken out of sight, for everybody measured here: nobody uses it.
 */
export function whyNoCrun() {
  const missing = whyNot('crun');
  if (missing !== undefined) return missing;
  const mounts = fs
    .readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '));
  const v2 = mounts.find(([, , type]) => type === 'cgroup2')?.[1];
  if (v2 === undefined || !mounts.some(([, , type]) => type === 'cgroup')) return undefined;
  if (fs.readFileSync(`${v2}/cgroup.controllers`, 'utf8').trim() === '') return undefined;
  const namespace = (pid) => fs.readlinkSync(`/proc/${pid}/ns/mnt`);
  if (namespace('self') === namespace(process.ppid)) return 'crun refuses this layout of control groups';
  return spawnSync('umount', [v2], { stdio: 'ignore' }).status === 0
    ? undefined
    : `${v2} cannot be unmounted for crun`;
}

/** Runs to the end. Standard output and error must not be pipes that a container left behind could hold open. */
export async function run(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options });
  const [status, signal] = await once(child, 'exit');
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status ?? signal}`);
}

/** crun and runc take the same bundles and words. The container has the same root and no network at all. */
export function ociRuntime(program, { directory, rootfs }) {
  const own = path.join(directory, program);
  const group = `warden-bench-${process.pid}-${program}`;
  const state = ['--root', path.join(own, 'state')];
  // each its own group: what deletes one kills all that is in there
  const bundle = (name) => {
    const place = path.join(own, name);
    if (!fs.existsSync(place)) makeBundle(program, place, { rootfs, group: `/${group}/${name}` });
    return place;
  };
  return {
    name: program,
    create: (id) =>
      run(program, [...state, 'run', '--detach', '--bundle', bundle(id === 'live' ? id : 'box'), id]),
    exec: (id) => run(program, [...state, 'exec', id, '/bin/true']),
    remove: (id) => run(program, [...state, 'delete', '--force', id]),
    close: () => removeGroups(group),
  };
}

function makeBundle(program, place, { rootfs, group }) {
  fs.mkdirSync(place, { recursive: true });
  if (spawnSync(program, ['spec'], { cwd: place, stdio: 'inherit' }).status !== 0)
    throw new Error(`${program} spec failed`);
  const file = path.join(place, 'config.json');
  const spec = JSON.parse(fs.readFileSync(file, 'utf8'));
  spec.process.terminal = false;
  spec.process.args = ['/bin/sleep', '3600'];
  spec.root = { path: rootfs, readonly: true };
  spec.linux.cgroupsPath = group;
  fs.writeFileSync(file, JSON.stringify(spec));
}
