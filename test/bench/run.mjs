// The bench: warden beside runc in one run, on this machine, with the defaults of both. Only ratios mean anything.
//
//   npm run bench [-- --count N]      default 100 of each; with less than 50 the copies are smaller too
//   npm run bench -- --only copies    copies beside cp -a, and nothing else
//
// warden is measured from request to answer over the socket, runc as a whole process (that is how it is used). The
// runc bundle has the same root file system and no network at all; warden's containers have link, rules, cgroups and limits.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect } from '../../packages/client/dist/index.js';
import { makeDefaultRootfs } from '../../packages/daemon/dist/index.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const countAt = process.argv.indexOf('--count');
const COUNT = countAt === -1 ? 100 : Number(process.argv[countAt + 1]);
const ONLY_COPIES = process.argv.includes('--only') && process.argv.includes('copies');
const directory = fs.mkdtempSync('/tmp/warden-bench-');
const rootfs = path.join(root, 'node_modules/.cache/warden-rootfs');
const name = `warden-bench-${process.pid}`;

const rows = new Map();

async function sample(row, action) {
  const began = process.hrtime.bigint();
  const result = await action();
  const us = Number(process.hrtime.bigint() - began) / 1e3;
  rows.set(row, [...(rows.get(row) ?? []), us]);
  return result;
}

function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

async function measureWarden() {
  const socket = path.join(directory, 'warden.sock');
  const configuration = path.join(directory, 'wardend.yml');
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
      logging: { level: 'warn' },
      network: { pool_network: '10.254.0.0/20', release_delay: 0 },
      user: { pool_size: 1024 },
      drivers: { name },
      compat: { cgroup_view: null },
    }),
  );
  const daemon = spawn(
    process.execPath,
    [path.join(root, 'packages/daemon/bin/wardend.js'), '--config', configuration],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  try {
    while (!fs.existsSync(socket)) {
      if (daemon.exitCode !== null) throw new Error(`wardend ended with ${daemon.exitCode}`);
      await delay(5);
    }
    const client = await connect({ path: socket });
    for (let i = 0; i < 5; i++) await (await client.create()).destroy(); // warm-up, not counted
    if (!ONLY_COPIES) await measureLives(client);
    const box = await client.create();
    await measureCopies(box);
    await box.destroy();
    await client.close();
  } finally {
    if (daemon.exitCode === null) {
      daemon.kill('SIGTERM');
      await once(daemon, 'exit');
    }
    removeGroups();
  }
}

async function measureLives(client) {
  for (let i = 0; i < COUNT; i++) {
    const box = await sample('warden create', () => client.create());
    for (let j = 0; j < 3; j++) await sample('warden run true', () => box.run('true'));
    await sample('warden destroy', () => box.destroy());
  }
  const box = await client.create();
  for (let i = 0; i < 20; i++) {
    await delay(100);
    await sample('warden run true, idle 100 ms before', () => box.run('true'));
    await delay(100);
    const other = await sample('warden create, idle 100 ms before', () => client.create());
    await other.destroy();
  }
  for (let i = 0; i < COUNT; i++) await sample('warden info', () => box.info());
  for (let i = 0; i < COUNT; i++) await sample('warden ping', () => client.ping());
  await box.destroy();
}

/** The same trees by the daemon and by `cp -a`, in turn, so that what the machine does otherwise meets both. */
async function measureCopies(box) {
  const isShort = COUNT < 50;
  const [rounds, bytes, files] = isShort ? [5, 1 << 26, 1_000] : [5, 1 << 30, 20_000];
  const host = path.join(directory, 'copies');
  const trees = { large: `one file of ${bytes >> 20} MiB`, small: `${files} files of 1 KiB` };
  for (const name of Object.keys(trees)) fs.mkdirSync(path.join(host, name), { recursive: true });
  const fd = fs.openSync(path.join(host, 'large/file'), 'w');
  for (let at = 0; at < bytes; at += 1 << 20) fs.writeSync(fd, Buffer.alloc(1 << 20, at >> 20));
  fs.closeSync(fd);
  for (let at = 0; at < files; at++) {
    const place = path.join(host, `small/${at % 100}`);
    fs.mkdirSync(place, { recursive: true });
    fs.writeFileSync(path.join(place, String(at)), Buffer.alloc(1_024, at));
  }
  for (const [name, what] of Object.entries(trees)) {
    for (let round = 0; round < rounds; round++) {
      await sample(`copy_in ${what}`, () => box.copyIn(path.join(host, name), '/tmp'));
      await sample(`cp -a ${what}`, () =>
        copyByProgram(path.join(host, name), path.join(host, 'by-program')),
      );
      await sample(`copy_out ${what}`, () => box.copyOut(`/tmp/${name}`, path.join(host, 'back/')));
      await box.run(`rm -rf /tmp/${name}`);
      for (const used of ['by-program', 'back']) fs.rmSync(path.join(host, used), { recursive: true });
    }
  }
  fs.rmSync(host, { recursive: true });
  copyRows.push(...Object.values(trees));
}

const copyRows = [];

async function copyByProgram(from, to) {
  const [status] = await once(spawn('cp', ['-a', from, to], { stdio: 'inherit' }), 'exit');
  if (status !== 0) throw new Error(`cp ended with ${status}`);
}

function removeGroups() {
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    if (!/ - cgroup2? /.test(line)) continue;
    const parent = path.join(line.split(' ')[4], name);
    if (fs.existsSync(parent)) fs.rmdirSync(parent);
  }
}

function runc(...args) {
  const result = spawnSync('runc', ['--root', path.join(directory, 'runc'), ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (result.error) throw result.error;
  if (result.status !== 0) throw new Error(`runc ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

async function measureRunc() {
  const bundle = path.join(directory, 'bundle');
  fs.mkdirSync(bundle);
  runc('spec', '--bundle', bundle);
  const file = path.join(bundle, 'config.json');
  const spec = JSON.parse(fs.readFileSync(file, 'utf8'));
  spec.process.terminal = false;
  spec.root = { path: rootfs, readonly: true };
  spec.linux.cgroupsPath = `/${name}-runc/box`;
  const write = (args) =>
    fs.writeFileSync(file, JSON.stringify({ ...spec, process: { ...spec.process, args } }));
  write(['/bin/true']);
  for (let i = 0; i < COUNT; i++)
    await sample('runc run true (whole life)', () => runc('run', '--bundle', bundle, `r${i}`));
  write(['/bin/sleep', '600']);
  for (let i = 0; i < Math.min(COUNT, 30); i++) {
    await sample('runc create and start', () => detached(bundle, `d${i}`));
    await sample('runc delete', () => runc('delete', '--force', `d${i}`));
  }
  await detached(bundle, 'live');
  try {
    for (let i = 0; i < COUNT; i++) await sample('runc exec true', () => runc('exec', 'live', '/bin/true'));
  } finally {
    runc('delete', '--force', 'live');
    for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
      if (!/ - cgroup2? /.test(line)) continue;
      const parent = path.join(line.split(' ')[4], `${name}-runc`);
      if (fs.existsSync(parent)) fs.rmdirSync(parent);
    }
  }
}

/** A detached container inherits its standard streams, so they must not be pipes that somebody waits on. */
function detached(bundle, id) {
  const result = spawnSync(
    'runc',
    ['--root', path.join(directory, 'runc'), 'run', '--detach', '--bundle', bundle, id],
    { stdio: 'ignore' },
  );
  if (result.status !== 0) throw new Error(`runc run --detach ended with ${result.status}`);
}

function report() {
  const lines = ['| what | n | median µs | p10 | p90 |', '|---|---|---|---|---|'];
  const median = (row) => quantile(rows.get(row), 0.5);
  for (const [row, values] of rows) {
    lines.push(
      `| ${row} | ${values.length} | ${median(row).toFixed(0)} | ${quantile(values, 0.1).toFixed(0)} | ${quantile(values, 0.9).toFixed(0)} |`,
    );
  }
  const ratios = {};
  for (const what of copyRows) {
    for (const direction of ['copy_in', 'copy_out'])
      ratios[`${direction} / cp -a, ${what}`] = median(`${direction} ${what}`) / median(`cp -a ${what}`);
  }
  if (rows.has('runc exec true')) {
    ratios['runc create and start / warden create'] =
      median('runc create and start') / median('warden create');
    ratios['runc exec true / warden run true'] = median('runc exec true') / median('warden run true');
    ratios['runc delete / warden destroy'] = median('runc delete') / median('warden destroy');
    ratios['runc run true / warden create + run + destroy'] =
      median('runc run true (whole life)') /
      (median('warden create') + median('warden run true') + median('warden destroy'));
  } else lines.push('', 'runc: skipped, the program is not installed');
  lines.push('', '| ratio | |', '|---|---|');
  for (const [ratio, value] of Object.entries(ratios)) lines.push(`| ${ratio} | ${value.toFixed(2)} |`);
  process.stdout.write(`${lines.join('\n')}\n`);
  fs.mkdirSync(path.join(root, 'reports'), { recursive: true });
  fs.writeFileSync(
    path.join(root, 'reports/bench.json'),
    JSON.stringify({ samples: Object.fromEntries(rows), ratios }, null, 1),
  );
}

makeDefaultRootfs(rootfs);
try {
  await measureWarden();
  if (!ONLY_COPIES && spawnSync('runc', ['--version']).error === undefined) await measureRunc();
  report();
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}
