// One entry for `npm start`, `npm test`, `npm run build` and the other root scripts on a fresh machine.
//
// It checks Node, installs the system packages a task needs (as root on Debian; otherwise it names the command), finds
// pnpm, installs the dependencies when the lockfile is newer, builds, and then runs the task. Everything that
// starts containers runs in a fresh network and mount namespace: the machine's own interfaces are out of its reach.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { FULL } from '../test/bench/lib/form.mjs';
import { fetchPrograms } from './fetch-programs.mjs';
import { isolated } from './isolated.mjs';
import { pnpmCommand } from './pnpm.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const isRoot = process.getuid?.() === 0;

/** Programs by Debian package; `for` lists the tasks that need them. */
const SYSTEM_PACKAGES = [
  { package: 'gcc', file: 'gcc', for: ['build'] },
  { package: 'libc6-dev', path: ['/usr/include/stdio.h'], for: ['build'] },
  { package: 'make', file: 'make', for: ['build'] },
  { package: 'musl-tools', file: 'musl-gcc', for: ['build'] },
  {
    package: 'busybox-static',
    path: ['/bin/busybox', '/usr/bin/busybox'],
    for: ['start', 'test', 'bench', 'vm', 'abuse', 'scale'],
  },
  {
    package: 'bash-static',
    path: ['/bin/bash-static', '/usr/bin/bash-static'],
    for: ['start', 'test', 'bench', 'vm', 'abuse', 'scale'],
  },
  { package: 'util-linux', file: 'unshare', for: ['start', 'test', 'bench', 'vm', 'abuse', 'scale'] },
  { package: 'iproute2', file: 'ip', for: ['start', 'test', 'bench', 'vm', 'abuse', 'scale'] },
  { package: 'nftables', file: 'nft', for: ['test', 'vm', 'abuse', 'scale'] },
  { package: 'strace', file: 'strace', for: ['test'] },
  { package: 'tmux', file: 'tmux', for: ['test'] },
  { package: 'zsh', file: 'zsh', for: ['test'], isOptional: true },
  { package: 'fish', file: 'fish', for: ['test'], isOptional: true },
  { package: 'python3', file: 'python3', for: ['test', 'vm', 'abuse'] },
  {
    package: 'python3-prometheus-client',
    path: ['/usr/lib/python3/dist-packages/prometheus_client/openmetrics/parser.py'],
    for: ['test'],
  },
  { package: 'ruby', file: 'ruby', for: ['test'] },
  { package: 'skopeo', file: 'skopeo', for: ['test'] },
  { package: 'docker-registry', file: 'docker-registry', for: ['test'] },
  { package: 'ruby-beefcake', path: ['/usr/lib/ruby/vendor_ruby/beefcake.rb'], for: ['test'] },
  { package: 'ruby-eventmachine', path: ['/usr/lib/ruby/vendor_ruby/eventmachine.rb'], for: ['test'] },
  { package: 'lintian', file: 'lintian', for: ['deb'] },
  { package: 'chromium', path: ['/usr/bin/chromium'], for: ['page'] },
  { package: 'fonts-dejavu-core', path: ['/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf'], for: ['page'] },
  { package: 'clang', file: 'clang', for: ['fuzz'] },
  // the sanitizers' and the fuzzer's libraries, which a clang without recommended packages comes without
  { package: 'libclang-rt-dev', path: ['/usr/share/doc/libclang-rt-dev'], for: ['fuzz'], isOptional: true },
  { package: 'runc', file: 'runc', for: ['bench', 'abuse'] },
  { package: 'crun', file: 'crun', for: ['bench'] },
  { package: 'rsync', file: 'rsync', for: ['bench'] },
  { package: 'qemu-system-x86', file: 'qemu-system-x86_64', for: ['vm'] },
  { package: 'e2fsprogs', file: 'mkfs.ext4', for: ['vm'] },
  { package: 'xfsprogs', file: 'mkfs.xfs', for: ['vm'] },
  { package: 'btrfs-progs', file: 'mkfs.btrfs', for: ['test', 'vm'] },
  { package: 'kmod', file: 'depmod', for: ['vm'] },
  { package: 'debootstrap', file: 'debootstrap', for: ['debootstrap'] },
];

/** Builds for the other processor and runs them; what the `release` tasks need. */
const FOREIGN = process.arch === 'x64' ? ['aarch64', 'arm64'] : ['x86-64', 'amd64'];
SYSTEM_PACKAGES.push(
  {
    package: `gcc-${FOREIGN[0]}-linux-gnu`,
    file: `${FOREIGN[0].replace('-', '_')}-linux-gnu-gcc`,
    for: ['release'],
  },
  {
    package: `libc6-dev-${FOREIGN[1]}-cross`,
    path: [`/usr/${FOREIGN[0].replace('-', '_')}-linux-gnu/include/stdio.h`],
    for: ['release'],
  },
  { package: 'qemu-user-static', file: `qemu-${FOREIGN[0].replace('-', '_')}-static`, for: ['release'] },
  { package: 'binutils', file: 'nm', for: ['release'] },
);

const SEARCH = [
  ...(process.env.PATH ?? '').split(':'),
  '/usr/local/sbin',
  '/usr/sbin',
  '/sbin',
  '/usr/bin',
  '/bin',
];

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function isPresent(entry) {
  if (entry.path) return entry.path.some((candidate) => fs.existsSync(candidate));
  return SEARCH.some((directory) => directory !== '' && fs.existsSync(path.join(directory, entry.file)));
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    ...options,
    env: {
      ...process.env,
      TURBO_TELEMETRY_DISABLED: '1',
      TURBO_NO_UPDATE_NOTIFIER: '1',
      npm_config_yes: 'true',
      ...options.env,
    },
  });
  if (result.error) fail(`cannot run ${command}: ${result.error.message}`);
  return result.signal ? 128 : (result.status ?? 1);
}

function must(command, args, options) {
  const status = run(command, args, options);
  if (status !== 0) process.exit(status);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    fail(`Node 20.19 or newer is needed, this is ${process.versions.node}`);
}

const UNATTENDED = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };

/** Tests of what is not there are skipped. Nothing is waited for: the lists of packages are taken as they are. */
function tryOptional(entries) {
  if (entries.length === 0 || !isRoot || !fs.existsSync('/etc/debian_version')) return;
  const names = entries.map((entry) => entry.package);
  const options = [
    '-y',
    '--no-install-recommends',
    '-o',
    'Acquire::http::Timeout=10',
    '-o',
    'Acquire::Retries=0',
  ];
  spawnSync('apt-get', ['install', ...options, ...names], { stdio: 'ignore', env: UNATTENDED });
}

/** `refuse` is told what is wrong when packages are missing and cannot be installed. */
function ensureSystemPackages(tasks, refuse = fail) {
  const absent = SYSTEM_PACKAGES.filter(
    (entry) => entry.for.some((task) => tasks.includes(task)) && !isPresent(entry),
  );
  ensureNeeded(
    absent.filter(({ isOptional }) => !isOptional),
    refuse,
  );
  tryOptional(absent.filter(({ isOptional }) => isOptional));
}

function ensureNeeded(missing, refuse) {
  if (missing.length === 0) return;
  const names = missing.map((entry) => entry.package);
  const command = `apt-get update && apt-get install -y --no-install-recommends ${names.join(' ')}`;
  if (!isRoot || !fs.existsSync('/etc/debian_version')) {
    const needed = missing.filter((entry) => entry.for.includes('build'));
    const text = `missing system packages: ${names.join(' ')}\ninstall them with:\n  ${isRoot ? '' : 'sudo '}sh -c '${command}'`;
    if (needed.length > 0 || isRoot) refuse(text);
    process.stderr.write(`${text}\n`);
    return;
  }
  process.stdout.write(`installing system packages: ${names.join(' ')}\n`);
  const log = spawnSync('sh', ['-c', command], {
    encoding: 'utf8',
    env: UNATTENDED,
  });
  if (log.status !== 0)
    refuse(`${log.stdout}${log.stderr}\ninstalling system packages failed; the command was:\n  ${command}`);
  const still = missing.filter((entry) => !isPresent(entry)).map((entry) => entry.package);
  if (still.length > 0)
    refuse(`the packages ${still.join(' ')} are installed, but what they should bring is not there`);
}

function skipGuest(message) {
  const end = message.trim().split('\n').slice(-5).join('\n');
  process.stdout.write(
    `${end}\nskipped: the guest: its packages are missing (above)\n0 passed, 0 failed, 1 skipped\n`,
  );
  process.exit(0);
}

function newest(...files) {
  return Math.max(
    0,
    ...files.map((file) => fs.statSync(path.join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0),
  );
}

function installAndBuild() {
  const { command, prefix } = pnpmCommand();
  const installed = newest('node_modules/.modules.yaml');
  if (installed === 0 || installed < newest('pnpm-lock.yaml', 'package.json', 'pnpm-workspace.yaml')) {
    must(command, [...prefix, 'install', '--frozen-lockfile']);
  }
  must(command, [...prefix, 'exec', 'turbo', 'run', 'build', '--output-logs=errors-only']);
  removeStaleModules();
  linkPrograms();
}

/** What the compiler made of a source that has gone since: it would be published, and the build's cache keeps it. */
function removeStaleModules() {
  const packages = path.join(root, 'packages');
  for (const name of fs.readdirSync(packages)) {
    const [sources, built] = ['src', 'dist'].map((directory) => path.join(packages, name, directory));
    if (!fs.existsSync(sources) || !fs.existsSync(built)) continue;
    for (const file of fs.readdirSync(built, { recursive: true })) {
      const [, module] = /^(.*)\.(?:js|d\.ts)(?:\.map)?$/.exec(file) ?? [];
      if (module !== undefined && !fs.existsSync(path.join(sources, `${module}.ts`)))
        fs.rmSync(path.join(built, file));
    }
  }
}

/** `node_modules/.bin/{wardend,warden}` point at programs that exist only after the build. */
function linkPrograms() {
  for (const [name, target] of [
    ['wardend', 'packages/daemon/bin/wardend.js'],
    ['warden', 'packages/cli/bin/warden.js'],
  ]) {
    const link = path.join(root, 'node_modules/.bin', name);
    if (fs.existsSync(link)) continue;
    fs.rmSync(link, { force: true });
    fs.symlinkSync(path.join('../..', target), link);
  }
}

function runIsolated(argv, env) {
  const [command, args] = isRoot ? ['unshare', isolated(argv)] : [argv[0], argv.slice(1)];
  // Node 20 reads such a file at each start, some 90 ms where it holds a distribution's certificates, and
  // nobody in there can reach whom they are for
  return run(command, args, { env: { ...programs(), NODE_EXTRA_CA_CERTS: '', ...env } });
}

/**
 * The search path with the distribution's own interpreters in front: the shims of version managers start ten
 * times as slowly, and tests start interpreters by the hundred.
 */
function programs() {
  const directory = path.join(root, 'node_modules/.cache/warden-programs');
  fs.mkdirSync(directory, { recursive: true });
  for (const name of ['python3', 'ruby']) {
    const link = path.join(directory, name);
    if (fs.existsSync(`/usr/bin/${name}`) && !fs.existsSync(link)) fs.symlinkSync(`/usr/bin/${name}`, link);
  }
  return { PATH: `${directory}:${process.env.PATH ?? ''}` };
}

/**
 * The search path with docker's programs. Where they are not installed, they are unpacked into the cache, by
 * `fetch` alone: to install the package would start a service that changes the host's interfaces and rules.
 * Without them the bench says what it has not measured.
 */
function dockerPrograms(fetch) {
  if (isPresent({ file: 'dockerd' })) return {};
  const directory = path.join(root, 'node_modules/.cache/warden-docker');
  if (!fs.existsSync(directory) && fetch && isRoot && fs.existsSync('/etc/debian_version'))
    unpackPackages(['docker.io', 'containerd', 'tini'], directory);
  if (!fs.existsSync(directory)) return {};
  return { PATH: `${directory}/usr/bin:${directory}/usr/sbin:${programs().PATH}` };
}

/** Without their dependencies, and nothing of them runs. */
function unpackPackages(names, directory) {
  const script =
    'apt-get download -o APT::Sandbox::User=root "$@" && for file in *.deb; do dpkg-deb --extract "$file" root || exit 1; done';
  const failure = fetchPrograms({ directory, script, words: names, made: 'root', env: UNATTENDED });
  if (failure !== undefined) process.stderr.write(`${names.join(' ')} cannot be unpacked: ${failure}\n`);
}

/**
 * systemd and what it needs, as packages for the root file system of `npm run rootfs`, which tells what is there
 * already. Kept in the cache until that is made again; installed only in a test's own copy of it, never here.
 */
function fetchSystemd() {
  const [status, directory] = ['warden-debian-rootfs/var/lib/dpkg/status', 'warden-systemd-packages'].map(
    (name) => path.join(root, 'node_modules/.cache', name),
  );
  if (!isRoot || !fs.existsSync(status)) return;
  if (fs.existsSync(directory)) {
    if (fs.statSync(directory).mtimeMs > fs.statSync(status).mtimeMs) return;
    fs.rmSync(directory, { recursive: true });
  }
  const script = `mkdir -p archives/partial && apt-get install --yes --download-only --no-install-recommends \
    -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Dir::State::status="$1" -o Dir::Cache::archives="$PWD/archives" \
    systemd >&2 && rm -r archives/partial`;
  const failure = fetchPrograms({ directory, script, words: [status], made: 'archives', env: UNATTENDED });
  if (failure !== undefined)
    process.stdout.write(`systemd for the root file system cannot be had: ${failure}\n`);
}

/** A suite of `test/` that is a command of its own. */
function runSuite(name, words, env) {
  return runIsolated(
    [node, 'node_modules/vitest/vitest.mjs', 'run', '--root', `test/${name}`, ...words],
    env,
  );
}

/** Flags of a task: a word that is none of them is not for guessing, as what runs without it may take hours. */
function onlyFlags(...flags) {
  const known = flags.map((flag) => flag.split(' ')[0]);
  const valued = known.filter((flag, at) => flag !== flags[at]);
  // one form of --flag=value for all that look at them
  const apart = rest.flatMap((word) => {
    const [flag, ...value] = word.split('=');
    return value.length > 0 && valued.includes(flag) ? [flag, value.join('=')] : [word];
  });
  rest.splice(0, rest.length, ...apart);
  refuse(
    rest.find((word) => word !== '--' && word.startsWith('-') && !known.includes(word)),
    flags,
  );
}

/**
 * As `onlyFlags`, for a task that takes no words besides: `keep` for `--keep` would be another run than what
 * was meant.
 */
function flagsAlone(...flags) {
  onlyFlags(...flags);
  const valued = flags.filter((flag) => flag.includes(' ')).map((flag) => flag.split(' ')[0]);
  refuse(
    rest.find((word, at) => !word.startsWith('-') && !valued.includes(rest[at - 1])),
    flags,
  );
}

function refuse(wrong, flags) {
  if (wrong === undefined) return;
  fail(`${wrong}: usage: npm run ${task} -- ${flags.map((flag) => `[${flag}]`).join(' ')}`);
}

/** The number behind `flag`. */
function numberBehind(flag) {
  const at = rest.indexOf(flag);
  if (at === -1) return undefined;
  if (!/^\d+(\.\d+)?$/.test(rest[at + 1] ?? '')) fail(`${flag} needs a number`);
  return rest[at + 1];
}

/**
 * Refuses a `--rootfs DIR` that is none. Never makes one: a slip in the name would cost minutes and hundreds
 * of megabytes.
 */
function checkRootfs() {
  const at = rest.indexOf('--rootfs');
  if (at === -1) return;
  const directory = rest[at + 1];
  if (directory === undefined || directory.startsWith('-')) fail('--rootfs needs a directory');
  if (fs.existsSync(path.join(directory, 'bin/bash'))) return;
  const isThere = fs.existsSync(directory);
  if (isThere && !fs.statSync(directory).isDirectory()) fail(`--rootfs: ${directory} is no directory`);
  if (isThere && fs.readdirSync(directory).length > 0)
    fail(`--rootfs: ${directory} is not empty and holds no root file system (no bin/bash)`);
  // what is there is replaced only when that is said
  const words = `${isThere ? '--force ' : ''}${directory}`;
  fail(
    `--rootfs: ${directory} ${isThere ? 'is empty' : 'does not exist'}; make a Debian there with: warden rootfs build ${words} (in a checkout without debootstrap: npm run rootfs -- ${words})`,
  );
}

const node = process.execPath;
const [task, ...rest] = process.argv.slice(2);

const TASKS = {
  build() {
    ensureSystemPackages(['build']);
    installAndBuild();
    return 0;
  },
  start() {
    flagsAlone('--keep', '--rootfs DIR');
    if (!isRoot) fail('npm start makes containers and needs root: sudo npm start');
    checkRootfs();
    ensureSystemPackages(['build', 'start']);
    installAndBuild();
    return runIsolated([node, 'scripts/start.mjs', ...rest]);
  },
  rootfs() {
    if (!isRoot) fail('a root file system is made by root');
    ensureSystemPackages(['build', 'debootstrap']);
    installAndBuild();
    const directory = path.join(root, 'node_modules/.cache/warden-debian-rootfs');
    const words = rest.length > 0 ? rest : ['--force', directory];
    return run(node, ['packages/cli/bin/warden.js', 'rootfs', 'build', ...words]);
  },
  lint() {
    ensureSystemPackages(['build']);
    installAndBuild();
    const biome = run(node, ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.']);
    const rules = run(node, ['scripts/lint-dependencies.mjs']);
    const safety = run(node, ['scripts/lint-safety.mjs']);
    const docs = run(node, ['scripts/lint-docstrings.mjs']);
    return biome || rules || safety || docs;
  },
  test() {
    ensureSystemPackages(['build', 'test']);
    installAndBuild();
    return runIsolated([node, 'node_modules/vitest/vitest.mjs', 'run', ...rest]);
  },
  platforms() {
    ensureSystemPackages(['build', 'release']);
    return run(node, ['scripts/build-platforms.mjs', ...rest]);
  },
  rehearsal() {
    if (!isRoot) fail('the rehearsal of a release runs a container and needs root');
    ensureSystemPackages(['build', 'start', 'release']);
    installAndBuild();
    must(node, ['scripts/build-platforms.mjs']);
    must(node, ['node_modules/vitest/vitest.mjs', 'run', '--project', 'repository', 'packed-packages'], {
      env: { WARDEN_TEST_PLATFORMS: 'all' },
    });
    return run(node, ['scripts/rehearsal/run.mjs']);
  },
  'publish-isolated'() {
    const { command, prefix } = pnpmCommand();
    return runIsolated([
      command,
      ...prefix,
      'exec',
      'node',
      path.join(root, 'scripts/rehearsal/publish.mjs'),
      ...rest,
    ]);
  },
  'run-installed'() {
    return runIsolated([node, 'scripts/rehearsal/run-installed.mjs', ...rest]);
  },
  vm() {
    if (!isRoot) fail("the guest runs as root what is root's: sudo npm run vm");
    ensureSystemPackages(['build']);
    // the short form runs by itself, in CI: where its packages cannot be had, it says so and is left out
    ensureSystemPackages(['vm'], rest.includes('--short') ? skipGuest : fail);
    installAndBuild();
    return run(node, ['test/vm/run.mjs', ...rest.filter((word) => word !== '--')]);
  },
  abuse() {
    if (!isRoot) fail('the abuse suite makes containers and needs root');
    ensureSystemPackages(['build', 'abuse']);
    installAndBuild();
    must('make', ['-s', '-C', 'test/abuse/probe']);
    const words = rest.filter((word) => word !== '--' && word !== '--short' && word !== '--write-golden');
    return runIsolated([node, 'node_modules/vitest/vitest.mjs', 'run', '--root', 'test/abuse', ...words], {
      WARDEN_ABUSE_SHORT: rest.includes('--short') ? '1' : '',
      WARDEN_ABUSE_WRITE_GOLDEN: rest.includes('--write-golden') ? '1' : '',
    });
  },
  docs() {
    ensureSystemPackages(['build']);
    installAndBuild();
    return run(node, ['docs/api/typedoc.mjs']);
  },
  'test:node'() {
    if (!isRoot) fail('the tests on other versions of Node make containers and need root');
    ensureSystemPackages(['build', 'test']);
    installAndBuild();
    return run(node, ['scripts/test-nodes.mjs', ...rest.filter((word) => word !== '--')], {
      env: programs(),
    });
  },
  'test:sanitize'() {
    ensureSystemPackages(['build', 'test']);
    installAndBuild();
    return runIsolated([node, 'scripts/test-sanitize.mjs', ...rest]);
  },
  analyze() {
    ensureSystemPackages(['build']);
    return run('make', ['-s', '-j2', '-C', 'native', 'analyze']);
  },
  fuzz() {
    ensureSystemPackages(['build', 'fuzz']);
    installAndBuild();
    return run(node, ['scripts/fuzz.mjs', ...rest]);
  },
  'prove-kit'() {
    ensureSystemPackages(['build', 'test']);
    installAndBuild();
    return runIsolated([node, 'scripts/prove-kit.mjs']);
  },
  faults() {
    if (!isRoot) fail('the fault suite makes containers and needs root');
    ensureSystemPackages(['build', 'test']);
    installAndBuild();
    // the whole of it: many rounds, and kills in a row while starting
    const rounds = process.env.WARDEN_FAULTS_ROUNDS ?? '5';
    const words = [node, 'node_modules/vitest/vitest.mjs', 'run'];
    const environment = { WARDEN_TEST_FAULTS: '1', WARDEN_FAULTS_ROUNDS: rounds };
    // a record that is cut at every byte; a part of the tests was asked for otherwise
    const cut =
      rest.length === 0 ? runIsolated([...words, '--project', 'core', 'cut-record'], environment) : 0;
    return runIsolated([...words, '--project', 'faults', ...rest], environment) || cut;
  },
  model() {
    onlyFlags(
      '--short',
      '--seed N',
      '--path P',
      '--replay P',
      '--steps N',
      '--runs N',
      '--seconds N',
      '--loud',
    );
    if (!isRoot) fail('the model test makes containers and needs root');
    ensureSystemPackages(['build', 'test']);
    installAndBuild();
    const isShort = rest.includes('--short');
    const word = (name, otherwise = '') => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : otherwise);
    const runs = word('--runs');
    fs.rmSync(path.join(root, 'reports/model'), { recursive: true, force: true });
    return runIsolated([node, 'node_modules/vitest/vitest.mjs', 'run', '--root', 'test/model'], {
      // the short form is the same each time: what is random belongs to whoever looks at it
      WARDEN_MODEL_SEED: word('--seed', isShort ? '1' : ''),
      WARDEN_MODEL_PATH: word('--path'),
      WARDEN_MODEL_REPLAY: word('--replay'),
      WARDEN_MODEL_STEPS: word('--steps'),
      WARDEN_MODEL_RUNS: runs,
      WARDEN_MODEL_SECONDS: word('--seconds', runs === '' ? (isShort ? '60' : '300') : ''),
      WARDEN_MODEL_LOUD: rest.includes('--loud') ? '1' : '',
    });
  },
  scale() {
    onlyFlags('--short', '--count N');
    if (!isRoot) fail('a thousand containers need root');
    ensureSystemPackages(['build', 'scale']);
    installAndBuild();
    const count = numberBehind('--count') ?? (rest.includes('--short') ? '100' : '1000');
    return runSuite('scale', ['src/scale.test.ts', 'src/statistics.test.ts'], {
      WARDEN_FIGURES: 'scale',
      WARDEN_SCALE_COUNT: count,
    });
  },
  soak() {
    onlyFlags('--short', '--cycles N', '--hours N');
    if (!isRoot) fail('the soak makes containers and needs root');
    ensureSystemPackages(['build', 'scale']);
    installAndBuild();
    return runSuite('scale', ['src/soak.test.ts'], {
      WARDEN_FIGURES: 'soak',
      WARDEN_SOAK_HOURS: numberBehind('--hours') ?? '',
      WARDEN_SOAK_CYCLES: numberBehind('--cycles') ?? (rest.includes('--short') ? '200' : '10000'),
    });
  },
  storms() {
    onlyFlags('--short', '-t NAME');
    if (!isRoot) fail('the storms rage in containers and need root');
    ensureSystemPackages(['build', 'scale']);
    installAndBuild();
    must('make', ['-s', '-C', 'test/abuse/probe']);
    const words = rest.filter((word) => word !== '--' && word !== '--short');
    return runSuite('storms', words, {
      WARDEN_FIGURES: 'storms',
      WARDEN_STORMS_SHORT: rest.includes('--short') ? '1' : '',
    });
  },
  pack() {
    ensureSystemPackages(['build']);
    installAndBuild();
    return run(node, ['scripts/pack.mjs', ...rest.filter((word) => word !== '--')]);
  },
  deb() {
    ensureSystemPackages(['build']);
    installAndBuild();
    return run(node, ['scripts/deb/build.mjs', ...rest.filter((word) => word !== '--')]);
  },
  'deb:test'() {
    if (!isRoot) fail('a package is installed by root');
    ensureSystemPackages(['build', 'scale']);
    // Debian's checker only: what it would say is left out where it cannot be had
    ensureSystemPackages(['deb'], (message) => process.stdout.write(`${message}\n`));
    fetchSystemd();
    installAndBuild();
    return runSuite('deb', rest, {});
  },
  page() {
    if (!isRoot) fail('what the page shows are containers, which need root');
    ensureSystemPackages(['build', 'scale']);
    // a browser is large: where it cannot be had, its tests say so and are skipped
    ensureSystemPackages(['page'], (message) => process.stdout.write(`${message}\n`));
    installAndBuild();
    return runSuite('page', rest, {});
  },
  bench() {
    onlyFlags('--count N', '--only SECTIONS', '--write-baseline', '--write-docs');
    if (!isRoot) fail('the bench makes containers and needs root');
    ensureSystemPackages(['build', 'bench']);
    installAndBuild();
    const isFull = Number(numberBehind('--count') ?? FULL) >= FULL;
    return runIsolated([node, 'test/bench/run.mjs', ...rest], dockerPrograms(isFull));
  },
};

checkNode();
if (!Object.hasOwn(TASKS, task ?? ''))
  fail(`usage: node scripts/dev.mjs ${Object.keys(TASKS).join('|')} [arguments]`);
process.exit(TASKS[task]());
