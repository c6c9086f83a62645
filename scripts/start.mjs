// What `npm start` shows: a daemon, a container from the embedded root file system, a script in it, and how long each step took.
//
// dev.mjs runs this in fresh network and mount namespaces, so trying warden changes nothing on the machine: the links, rules
// and mounts it makes exist only here and vanish with it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect } from '../packages/client/dist/index.js';
import { makeDefaultRootfs } from '../packages/daemon/dist/index.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const words = process.argv.slice(2);
const keep = words.includes('--keep');
const rootfsAt = words.indexOf('--rootfs');
const chosen = rootfsAt === -1 ? undefined : path.resolve(words[rootfsAt + 1] ?? '');

const SCRIPT = `
echo "hello from $(hostname), I am $(whoami), process $$ of $(ls -d /proc/[0-9]* | wc -l)"
for i in 1 2 3; do echo "line $i"; sleep 0.1; done
echo "this goes to standard error" >&2
ls /
`;

// whoever looks at the beginning only (`| head`) must not leave a daemon behind
process.stdout.on('error', () => {});

const timings = [];
async function timed(step, action) {
  const began = process.hrtime.bigint();
  const result = await action();
  timings.push([step, Number(process.hrtime.bigint() - began) / 1e6]);
  return result;
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

const rootfs = chosen ?? path.join(root, 'node_modules/.cache/warden-rootfs');
await timed('root file system', () => {
  if (chosen === undefined) makeDefaultRootfs(rootfs);
});

// not the configured temporary directory: a socket address in the depot takes 107 bytes and no more
const directory = fs.mkdtempSync('/tmp/warden-start-');
// one that stays takes the place where programs and `warden` look for a daemon, unless one is there already
const USUAL = '/tmp/warden.sock';
const socket = keep && !fs.existsSync(USUAL) ? USUAL : path.join(directory, 'warden.sock');
const log = path.join(directory, 'wardend.log');
const name = `warden-start-${process.pid}`;
fs.mkdirSync(path.join(directory, 'depot'), { mode: 0o700 });
fs.writeFileSync(
  path.join(directory, 'wardend.yml'),
  JSON.stringify({
    server: {
      unix_domain_path: socket,
      container_klass: 'Warden::Container::Linux',
      container_rootfs_path: rootfs,
      container_depot_path: path.join(directory, 'depot'),
      quota: { disk_quota_enabled: false },
    },
    health_check_server: { port: null },
    logging: { level: 'info' },
    drivers: { name },
    compat: { cgroup_view: null },
  }),
);

const output = fs.openSync(log, 'a');
const daemon = spawn(
  process.execPath,
  [path.join(root, 'packages/daemon/bin/wardend.js'), '--config', path.join(directory, 'wardend.yml')],
  {
    stdio: ['ignore', output, output],
  },
);
fs.closeSync(output);

let failure;
try {
  const client = await timed('daemon start', () => waitForDaemon());
  showDrivers();
  if (keep) await prompt();
  else await demonstrate(client);
  await client.close();
} catch (error) {
  failure = error;
} finally {
  await finish();
}
if (failure) {
  process.stderr.write(`${failure.stack ?? failure}\n`);
  process.exit(1);
}

async function waitForDaemon() {
  const deadline = Date.now() + 20_000;
  for (;;) {
    if (daemon.exitCode !== null)
      throw new Error(`wardend ended with ${daemon.exitCode}:\n${fs.readFileSync(log, 'utf8')}`);
    if (fs.existsSync(socket)) {
      try {
        return await connect({ path: socket });
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
    if (Date.now() > deadline)
      throw new Error(`wardend did not answer within 20 s:\n${fs.readFileSync(log, 'utf8')}`);
    await delay(2);
  }
}

/** The daemon's log tells which driver was chosen for each role, and why others were not. */
function showDrivers() {
  for (const line of fs.readFileSync(log, 'utf8').split('\n')) {
    if (!line.includes('"driver-chosen"')) continue;
    const { data } = JSON.parse(line);
    const rejected = data.rejected?.length ? ` (not ${data.rejected.join('; ')})` : '';
    const detail = data.detail ? ` (${data.detail})` : '';
    say(`  ${data.role.padEnd(11)} ${data.driver}${detail}${rejected}`);
  }
}

async function demonstrate(client) {
  const box = await timed('create', () => client.create());
  say(`\ncontainer ${box.handle}`);
  await timed('run', async () => {
    const job = await box.spawn(SCRIPT);
    for await (const chunk of job.output) {
      const prefix = chunk.stream === 'stdout' ? '  | ' : '  ! ';
      process.stdout.write(String(Buffer.from(chunk.data)).replace(/^(?=.)/gm, prefix));
    }
  });
  await timed('run true', () => box.run('true'));
  const info = await timed('info', () => box.info());
  say(`  state ${info.state}, container ${info.containerIp}, host ${info.hostIp}`);
  say(`  memory ${info.memoryStat?.rss ?? 'unknown'} bytes rss, cpu ${info.cpuStat?.usage ?? 'unknown'} ns`);
  await timed('destroy', () => box.destroy());
}

async function prompt() {
  say(`\nsocket ${socket}; end with Ctrl-D\n`);
  const cli = spawn(process.execPath, [path.join(root, 'packages/cli/bin/warden.js'), '--socket', socket], {
    stdio: 'inherit',
  });
  process.on('SIGINT', () => {}); // the prompt's business; the clean-up below must still run
  await once(cli, 'exit');
}

async function finish() {
  try {
    if (daemon.exitCode === null && fs.existsSync(socket)) {
      const client = await connect({ path: socket });
      for (const handle of await client.list()) {
        await client.container(handle).stop({ kill: true });
        await client.container(handle).destroy();
      }
      await client.close();
    }
  } finally {
    if (daemon.exitCode === null && daemon.signalCode === null) {
      const gone = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await gone;
    }
    const left = fs.readdirSync(path.join(directory, 'depot')).filter((entry) => !entry.startsWith('.'));
    removeGroups();
    if (left.length === 0 && !failure) fs.rmSync(directory, { recursive: true, force: true });
    else process.stderr.write(`kept for inspection: ${directory}\n`);
  }
  if (!failure && !keep) {
    say('');
    for (const [step, ms] of timings) say(`  ${step.padEnd(18)} ${ms.toFixed(1).padStart(8)} ms`);
    say('\nnothing is left behind; `npm start -- --keep` stays with a prompt');
  }
}

/** The daemon keeps its own parent groups for its next start; a trial takes them away. */
function removeGroups() {
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    if (!/ - cgroup2? /.test(line)) continue;
    const parent = path.join(line.split(' ')[4], name);
    if (fs.existsSync(parent)) fs.rmdirSync(parent);
  }
}
