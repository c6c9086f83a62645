// The rehearsal of a release, from the checkout to a container: versions are raised by the waiting
// changesets, every package is published to a registry of its own, `@warden/daemon` and `@warden/client` are
// installed in empty projects by npm and by pnpm, and the daemon installed there runs a container. Then a
// driver of one's own, as docs/writing-a-driver.md has it, by the tarballs of `npm run pack`.
//
// Publishing happens in a network namespace that has nothing but loopback, the registry included: whatever
// npm and pnpm are configured for, no package can leave. Installing needs the ordinary registry for what is
// not ours, so it happens outside, from what was published. The daemon runs in network and mount namespaces
// of its own, which is scripts/dev.mjs's business, as everywhere.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { pnpmCommand } from '../pnpm.mjs';
import { forgetPublished, registryEnvironment, startRegistry } from './registry.mjs';
import { commit, copyWorkspace } from './workspace-copy.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-rehearsal-'));
const dev = path.join(root, 'scripts/dev.mjs');
const WANTED = ['@warden/daemon', '@warden/client'];

function say(text) {
  process.stdout.write(`${text}\n`);
}

function must(command, args, options) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (error || status !== 0)
    throw new Error(
      `${command} ${args.join(' ')}: ${error?.message ?? `status ${status}\n${stdout}${stderr}`}`,
    );
  return stdout;
}

function pnpm(args, options) {
  const { command, prefix } = pnpmCommand();
  return must(command, [...prefix, ...args], options);
}

function readJson(...parts) {
  return JSON.parse(fs.readFileSync(path.join(...parts), 'utf8'));
}

function packagesOf(copy) {
  return fs
    .readdirSync(path.join(copy, 'packages'))
    .map((name) => readJson(copy, 'packages', name, 'package.json'));
}

/** Raises the versions; answers what will be published, as name to version. */
function raiseVersions(copy) {
  pnpm(['install', '--frozen-lockfile', '--prefer-offline'], { cwd: copy });
  must(process.execPath, [path.join(copy, 'node_modules/@changesets/cli/bin.js'), 'version'], { cwd: copy });
  pnpm(['install', '--lockfile-only', '--prefer-offline'], { cwd: copy });
  commit(copy, 'versions');
  return new Map(packagesOf(copy).map(({ name, version }) => [name, version]));
}

function publish(copy, versions) {
  // the attestation is for the public forge; the copy's manifests do not ask for it
  for (const name of fs.readdirSync(path.join(copy, 'packages'))) {
    const file = path.join(copy, 'packages', name, 'package.json');
    const manifest = readJson(file);
    delete manifest.publishConfig.provenance;
    fs.writeFileSync(file, JSON.stringify(manifest, null, 2));
  }
  commit(copy, 'without provenance');
  must(process.execPath, [dev, 'publish-isolated', home], { cwd: root });
  say(`published ${versions.size} packages`);
}

function emptyProject(name) {
  const directory = path.join(home, name);
  fs.mkdirSync(directory);
  fs.writeFileSync(
    path.join(directory, 'package.json'),
    JSON.stringify({ name, version: '1.0.0', private: true, type: 'module' }),
  );
  return directory;
}

const INSTALL = {
  npm: (cwd, env) => must('npm', ['install', '--no-audit', '--no-fund', ...WANTED], { cwd, env }),
  pnpm: (cwd, env) => {
    // as the README of @warden/native says
    fs.writeFileSync(
      path.join(cwd, 'pnpm-workspace.yaml'),
      'packages: []\nallowBuilds:\n  koffi: false\npmOnFail: ignore\n',
    );
    pnpm(['add', ...WANTED], { cwd, env });
  },
};

/** Platform packages that an install has brought, wherever npm or pnpm has put them. */
function platformsIn(directory) {
  const found = new Set();
  const look = (modules) => {
    const scope = path.join(modules, '@warden');
    if (!fs.existsSync(scope)) return;
    for (const name of fs.readdirSync(scope))
      if (name.includes('-linux-') && fs.existsSync(path.join(scope, name, 'package.json'))) found.add(name);
  };
  look(path.join(directory, 'node_modules'));
  const store = path.join(directory, 'node_modules/.pnpm');
  if (fs.existsSync(store))
    for (const entry of fs.readdirSync(store)) look(path.join(store, entry, 'node_modules'));
  return [...found].sort();
}

function checkInstalled(directory, versions, expected) {
  for (const name of WANTED) {
    const { version } = readJson(directory, 'node_modules', name, 'package.json');
    if (version !== versions.get(name))
      throw new Error(`${name} ${version} was installed, not ${versions.get(name)}`);
  }
  const found = platformsIn(directory);
  if (found.join() !== expected.join())
    throw new Error(`installed for this host: ${found.join(', ')}; expected ${expected.join(', ')}`);
}

/** The choice for another machine, without running anything of it. */
function checkForeign(env) {
  const directory = emptyProject('foreign');
  must(
    'npm',
    [
      'install',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
      '--os=linux',
      '--cpu=arm64',
      '--libc=musl',
      '@warden/daemon',
    ],
    { cwd: directory, env },
  );
  const found = platformsIn(directory).join();
  const expected = 'native-linux-arm64-musl,wshd-linux-arm64';
  if (found !== expected) throw new Error(`installed for arm64 with musl: ${found}; expected ${expected}`);
  say('npm, as for arm64 with musl: the packages for it and no others');
}

/**
 * What a reader of docs/writing-a-driver.md does outside of the checkout, while nothing is published. Answers
 * the project.
 */
function checkDriver() {
  const packed = path.join(home, 'packed');
  must(process.execPath, [path.join(root, 'scripts/pack.mjs'), '--output', packed], { cwd: root });
  const directory = path.join(home, 'driver');
  fs.cpSync(path.join(root, 'examples/driver-copy'), directory, { recursive: true });
  const tarballs = fs.readdirSync(packed).map((name) => path.join(packed, name));
  must('npm', ['install', '--no-audit', '--no-fund', ...tarballs], { cwd: directory });
  // its mounts are in namespaces that the test makes
  const passed = /^\S pass ([1-9]\d*)$/m.exec(must('npm', ['test'], { cwd: directory }));
  if (passed === null) throw new Error('the driver of the documentation ran no test by what was packed');
  say(`packed: the driver of the documentation passes the kit (${passed[1]} tests)`);
  return directory;
}

async function main() {
  const copy = path.join(home, 'workspace');
  fs.mkdirSync(copy);
  copyWorkspace(root, copy);
  const versions = raiseVersions(copy);
  for (const [name, version] of versions) say(`  ${name} ${version}`);
  const libc = process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
  const expected = [`native-linux-${process.arch}-${libc}`, `wshd-linux-${process.arch}`];
  pnpm(['install', '--frozen-lockfile', '--prefer-offline'], {
    cwd: path.join(root, 'scripts/rehearsal/registry'),
  });
  forgetPublished(root);
  publish(copy, versions);
  const registry = await startRegistry(root, home);
  const projects = [];
  try {
    const env = registryEnvironment(home, registry.url);
    for (const [name, install] of Object.entries(INSTALL)) {
      const directory = emptyProject(name);
      install(directory, env);
      checkInstalled(directory, versions, expected);
      say(`${name}: installed ${WANTED.join(' and ')} with ${expected.join(' and ')}`);
      projects.push([name, directory]);
    }
    checkForeign(env);
  } finally {
    await registry.close();
  }
  projects.push(['packed', checkDriver()]);
  for (const [name, directory] of projects) {
    const output = must(process.execPath, [dev, 'run-installed', directory], { cwd: root });
    say(`${name}: ${output.trim()}`);
  }
}

let failure;
try {
  await main();
  fs.rmSync(home, { recursive: true, force: true });
  say('the rehearsal went well; nothing is left of it');
} catch (error) {
  failure = error;
  process.stderr.write(`${error.message}\nthe rehearsal failed; its files are in ${home}\n`);
}
process.exit(failure ? 1 : 0);
