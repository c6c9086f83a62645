// What `npm start` shows: a daemon, a container from the embedded root file system, a script in it, and how
// long each step took.
//
// dev.mjs runs this in fresh network and mount namespaces, so trying warden changes nothing on the machine:
// the links, rules and mounts it makes exist only here and vanish with it.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect } from '../packages/client/dist/index.js';
import { makeDefaultRootfs } from '../packages/daemon/dist/index.js';
import { requireFreePath } from '../packages/server/dist/index.js';

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

// whoever looks at the beginning only (`| head`), or closes the terminal, must not leave a daemon behind
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

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
const USUAL = process.env.WARDEN_SOCKET || '/tmp/warden.sock';
const isUsual =
  keep &&
  (await requireFreePath(USUAL).then(
    () => true,
    () => false,
  ));
const socket = isUsual ? USUAL : path.join(directory, 'warden.sock');
const log = path.join(directory, 'wardend.log');
const configuration = path.join(directory, 'wardend.yml');
const WARDEND = path.join(root, 'packages/daemon/bin/wardend.js');
const name = `warden-start-${process.pid}`;
fs.mkdirSync(path.join(directory, 'depot'), { mode: 0o700 });
fs.writeFileSync(
  configuration,
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
// out of the terminal's group: Ctrl-C at the prompt is for the job that runs there
const daemon = spawn(process.execPath, [WARDEND, '--config', configuration], {
  detached: true,
  stdio: ['ignore', output, output],
});
fs.closeSync(output);
const ended = once(daemon, 'exit');

const interrupted = new Promise((_, reject) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => reject(new Error(`ended by ${signal}`)));
});
interrupted.catch(() => {});

let failure;
let hasStarted = false;
try {
  const client = await Promise.race([interrupted, timed('daemon start', () => waitForDaemon())]);
  hasStarted = true;
  showDrivers();
  await Promise.race([interrupted, keep ? prompt() : demonstrate(client)]);
  await client.close();
} catch (error) {
  failure = error;
}
await finish();

/** How the daemon has ended; `undefined`: it runs. */
function endOfDaemon() {
  if (daemon.signalCode !== null) return `was ended by ${daemon.signalCode}`;
  return daemon.exitCode === null ? undefined : `ended with ${daemon.exitCode}`;
}

async function waitForDaemon() {
  const deadline = Date.now() + 20_000;
  for (;;) {
    if (endOfDaemon() !== undefined) throw new Error(whyNot());
    if (fs.existsSync(socket)) {
      try {
        return await connect({ path: socket });
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
    if (Date.now() > deadline) throw new Error(`wardend did not answer within 20 s; its log: ${log}`);
    await delay(2);
  }
}

/** The line it writes when it cannot start, which stands behind its log. */
function whyNot() {
  const lines = fs.readFileSync(log, 'utf8').split('\n');
  return (
    lines.findLast((line) => line.startsWith('wardend: ')) ?? `wardend ${endOfDaemon()}; its log: ${log}`
  );
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
  process.removeAllListeners('SIGINT').on('SIGINT', () => {}); // the prompt's business
  const cli = spawn(process.execPath, [path.join(root, 'packages/cli/bin/warden.js'), '--socket', socket], {
    stdio: 'inherit',
  });
  interrupted.catch(() => cli.kill());
  await once(cli, 'exit');
}

/**
 * Takes everything away, in whatever state it is, and says in a line each what was not as it should be. Never
 * rejects.
 */
async function finish() {
  let early = endOfDaemon();
  if (failure) complain(failure.message);
  if (early === undefined) {
    try {
      await destroyAll();
    } catch (error) {
      // one that is killed closes its connections a moment before it has ended
      await Promise.race([ended, delay(1_000)]);
      early = endOfDaemon();
      if (early === undefined) complain(error.message); // what it does not manage is left to the clean-up
    }
    await endDaemon();
  }
  const left = cleanUp();
  const isLeft = left.length > 0;
  if (early !== undefined && hasStarted)
    complain(`the daemon ${early} meanwhile; ${isLeft ? 'not all' : 'all'} that it had left is removed`);
  for (const line of left) complain(line);
  if (failure || isLeft) {
    process.stderr.write(`kept for inspection: ${directory}\n`);
    process.exitCode = 1;
  } else fs.rmSync(directory, { recursive: true, force: true });
  if (!failure && !isLeft && !keep) {
    say('');
    for (const [step, ms] of timings) say(`  ${step.padEnd(18)} ${ms.toFixed(1).padStart(8)} ms`);
    say('\nnothing is left behind; `npm start -- --keep` stays with a prompt');
  }
  process.exit(); // a connection that hangs must not hold it
}

function complain(text) {
  process.stderr.write(`npm start: ${text}\n`);
}

async function destroyAll() {
  if (!fs.existsSync(socket)) return;
  const client = await connect({ path: socket });
  for (const handle of await client.list()) {
    await client.container(handle).stop({ kill: true });
    await client.container(handle).destroy();
  }
  await client.close();
}

async function endDaemon() {
  if (endOfDaemon() !== undefined) return;
  daemon.kill('SIGTERM');
  const timer = setTimeout(() => daemon.kill('SIGKILL'), 20_000);
  await ended;
  clearTimeout(timer);
}

/**
 * What a daemon leaves for its next start, and all that a killed one leaves, goes as `wardend cleanup` does
 * it. Answers what does not.
 */
function cleanUp() {
  const words = [WARDEND, 'cleanup', '--all', '--config', configuration];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  if (status === 0) return [];
  const failed = stdout.split('\n').filter((line) => /^(failed|keep) /.test(line));
  if (failed.length > 0) return failed;
  // what the daemon could not start with is no configuration for the clean-up either, and was told
  return hasStarted ? [stderr.trim()] : [];
}
