// Runs a container with what is installed in the project given: its own `wardend`, asked by its own
// `@warden/client`. Everything of ours is resolved from that project, nothing from the checkout.
// scripts/dev.mjs starts this in namespaces of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const project = path.resolve(process.argv[2] ?? '.');
const installed = (name) =>
  import(pathToFileURL(path.join(project, 'node_modules', name, 'dist/index.js')).href);
const { connect } = await installed('@warden/client');
const { makeDefaultRootfs } = await installed('@warden/daemon');

// not the configured temporary directory: a socket address in the depot takes 107 bytes and no more
const directory = fs.mkdtempSync('/tmp/warden-installed-');
const socket = path.join(directory, 'warden.sock');
const log = path.join(directory, 'wardend.log');
const name = `warden-installed-${process.pid}`;
const rootfs = path.join(directory, 'rootfs');
makeDefaultRootfs(rootfs);
fs.mkdirSync(path.join(directory, 'depot'), { mode: 0o700 });
fs.writeFileSync(
  path.join(directory, 'warden.yml'),
  JSON.stringify({
    server: {
      unix_domain_path: socket,
      container_klass: 'Warden::Container::Linux',
      container_rootfs_path: rootfs,
      container_depot_path: path.join(directory, 'depot'),
      quota: { disk_quota_enabled: false },
    },
    health_check_server: { port: null },
    drivers: { name },
    compat: { cgroup_view: null },
  }),
);
const output = fs.openSync(log, 'a');
// the program that npm and pnpm link, not a file of the package
const daemon = spawn(
  path.join(project, 'node_modules/.bin/wardend'),
  ['--config', path.join(directory, 'warden.yml')],
  { stdio: ['ignore', output, output], env: { PATH: process.env.PATH } },
);

async function dial() {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      return await connect({ path: socket });
    } catch (error) {
      if (daemon.exitCode !== null || Date.now() > deadline)
        throw new Error(`wardend does not answer (exit status ${daemon.exitCode})`, { cause: error });
      await delay(20);
    }
  }
}

async function useContainer() {
  const client = await dial();
  try {
    const box = await client.create();
    const { stdoutText } = await box.run('echo "$(id -un) on $(hostname)"; cat /proc/1/comm', {
      check: true,
    });
    await box.destroy();
    const [first, second] = stdoutText.split('\n');
    if (first !== `vcap on ${box.handle}` || !second?.startsWith('wshd'))
      throw new Error(`the container printed ${JSON.stringify(stdoutText)}`);
    return first;
  } finally {
    await client.close();
  }
}

function removeGroups() {
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    if (!/ - cgroup2? /.test(line)) continue;
    const parent = path.join(line.split(' ')[4], name);
    if (fs.existsSync(parent)) fs.rmdirSync(parent);
  }
}

let failure;
try {
  process.stdout.write(`a container ran: ${await useContainer()}\n`);
} catch (error) {
  failure = error;
  process.stderr.write(`${error.stack}\n${error.cause ?? ''}\n${fs.readFileSync(log, 'utf8')}\n`);
} finally {
  if (daemon.exitCode === null && daemon.signalCode === null) {
    const gone = once(daemon, 'exit');
    daemon.kill('SIGTERM');
    await gone;
  }
  removeGroups();
}
if (!failure) fs.rmSync(directory, { recursive: true, force: true });
process.exit(failure ? 1 : 0);
