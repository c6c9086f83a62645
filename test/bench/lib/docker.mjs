// A docker daemon of the bench's own, in the bench's network namespace, which leads nowhere: no bridge, no
// rules, containers without any network. Its files, sockets and state lie in the bench's directory; what it
// would make in /run, it makes in a mount namespace of its own.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { removeGroups } from './groups.mjs';
import { run, whyNot } from './programs.mjs';

const PROGRAMS = ['dockerd', 'docker', 'containerd', 'runc'];
const IMAGE = 'warden-bench:1';
/** Milliseconds for its start. */
const PATIENCE = 30_000;

/** Why docker cannot be measured here; `undefined` when it can. */
export function whyNoDocker() {
  const reasons = PROGRAMS.map(whyNot).filter((reason) => reason !== undefined);
  if (reasons.length === 0) return undefined;
  return `${reasons[0].replace(/ \(.*/, '')}; as root on Debian the full form unpacks what is missing, without its service`;
}

/** Errors: that it does not start, with the end of what it said. */
export async function startDocker({ directory, rootfs }) {
  const own = fs.mkdtempSync(path.join(directory, 'docker-'));
  const group = `warden-bench-${process.pid}-docker`;
  const at = (name) => path.join(own, name);
  const host = `unix://${at('docker.sock')}`;
  const env = { ...process.env, DOCKER_HOST: host, DOCKER_CONFIG: at('config') };
  const log = fs.openSync(at('log'), 'w');
  const daemon = spawn('unshare', unshared(flags({ host, at, group })), { stdio: ['ignore', log, log] });
  fs.closeSync(log);
  const ended = once(daemon, 'exit');
  const docker = (...words) => run('docker', words, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const stop = async () => {
    daemon.kill('SIGTERM');
    await ended;
    await removeGroups(group);
  };
  try {
    await untilItAnswers(daemon, env, () => fs.readFileSync(at('log'), 'utf8'));
    importImage(rootfs, env);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    create: (name) =>
      docker('run', '--detach', '--network', 'none', '--name', name, IMAGE, '/bin/sleep', '3600'),
    exec: (name) => docker('exec', name, '/bin/true'),
    copyIn: (source, name, target) => docker('cp', source, `${name}:${target}`),
    copyOut: (name, source, target) => docker('cp', `${name}:${source}`, target),
    remove: (name) => docker('rm', '--force', name),
    stop,
  };
}

function flags({ host, at, group }) {
  return [
    ['--host', host],
    ['--data-root', at('data')],
    ['--exec-root', at('exec')],
    ['--pidfile', at('pid')],
    ['--cgroup-parent', `/${group}`],
    ['--exec-opt', 'native.cgroupdriver=cgroupfs'],
    ['--log-level', 'error'],
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--ip-masq=false',
  ].flat();
}

/** The signal for the end reaches the daemon itself: each of the programs before it becomes the next one. */
function unshared(words) {
  const script = 'mount -t tmpfs -o mode=755 tmpfs /run && exec dockerd "$@"';
  return ['--mount', '--propagation', 'private', '--', 'sh', '-c', script, 'sh', ...words];
}

async function untilItAnswers(daemon, env, said) {
  const until = performance.now() + PATIENCE;
  while (spawnSync('docker', ['info'], { env, stdio: 'ignore', timeout: 5_000 }).status !== 0) {
    if (daemon.exitCode !== null || performance.now() > until)
      throw new Error(`no docker daemon starts here: ${said().trim().split('\n').slice(-3).join('; ')}`);
    await delay(100);
  }
}

/** The same root file system as everybody's. */
function importImage(rootfs, env) {
  const script = 'tar --create --one-file-system --directory "$1" . | docker import - "$2"';
  const { status, stderr } = spawnSync('sh', ['-c', script, 'sh', rootfs, IMAGE], { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`docker import fails: ${stderr.trim()}`);
}
