// Builds what the platform packages hold: the shared library for each processor and libc, the static programs
// for each processor.
//
//   node scripts/build-platforms.mjs everything, foreign processors by cross compilers; their C unit tests
//   under qemu node scripts/build-platforms.mjs x64 one processor
//
// The library is glibc's or musl's like the Node that loads it; the programs are always musl's and static.
// Debian has no cross compiler for musl: the headers and archives of its arm64 package are unpacked into the
// cache, where the cross gcc is told to look, by apt with a state of its own. The machine's own list of
// architectures stays as it is.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const cache = path.join(root, 'node_modules/.cache/platforms');
const LIBRARY = 'libwarden_native.so';
/** The newest version of glibc that the library may ask for: Debian 12 and Ubuntu 22.04 have it. */
const GLIBC = [2, 34];

const PROCESSORS = {
  x64: { gnu: 'x86_64-linux-gnu', musl: 'x86_64-linux-musl', elf: 62, emulator: 'qemu-x86_64-static' },
  arm64: { gnu: 'aarch64-linux-gnu', musl: 'aarch64-linux-musl', elf: 183, emulator: 'qemu-aarch64-static' },
};

function fail(text) {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

function must(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    ...options,
  });
  if (result.error) fail(`cannot run ${command}: ${result.error.message}`);
  if (result.status !== 0)
    fail(
      `${command} ${args.join(' ')} ended with ${result.status ?? result.signal}\n${result.stdout ?? ''}${result.stderr ?? ''}`,
    );
  return result.stdout;
}

/** The musl of a foreign processor, unpacked; answers the directory in which `usr/` lies. */
function foreignMusl(arch) {
  const home = path.join(cache, `musl-${arch}`);
  const tree = path.join(home, 'tree');
  if (fs.existsSync(path.join(tree, 'complete'))) return tree;
  fs.rmSync(home, { recursive: true, force: true });
  for (const each of ['lists/partial', 'archives/partial', 'tree'])
    fs.mkdirSync(path.join(home, each), { recursive: true });
  fs.writeFileSync(path.join(home, 'status'), '');
  const options = [
    `APT::Architecture=${arch}`,
    `APT::Architectures=${arch}`,
    'Acquire::Languages=none',
    // the sandbox user of apt may not read below the checkout
    'APT::Sandbox::User=root',
    `Dir::State::status=${home}/status`,
    `Dir::State::lists=${home}/lists`,
    `Dir::Cache=${home}`,
  ].flatMap((one) => ['-o', one]);
  must('apt-get', [...options, '-q', 'update']);
  must('apt-get', [...options, '-q', 'download', 'musl', 'musl-dev'], { cwd: home });
  for (const name of fs.readdirSync(home))
    if (name.endsWith('.deb')) must('dpkg-deb', ['-x', path.join(home, name), tree]);
  fs.writeFileSync(path.join(tree, 'complete'), '');
  return tree;
}

/** The words that make a gcc compile and link for musl: Debian's own specs with the paths of the unpacked tree. */
function crossMuslCompiler(arch, { gnu, musl }) {
  const tree = foreignMusl(arch);
  const specs = path.join(tree, 'cross.specs');
  const original = fs.readFileSync(path.join(tree, 'usr/lib', musl, 'musl-gcc.specs'), 'utf8');
  fs.writeFileSync(
    specs,
    original.replaceAll(/\/usr\/(lib|include)\//g, (_, kind) => `${tree}/usr/${kind}/`),
  );
  // outlined atomics ask glibc's start-up code for the processor's features
  return `${gnu}-gcc -specs=${specs} -mno-outline-atomics -idirafter /usr/${gnu}/include`;
}

function muslCompiler(arch, processor) {
  if (arch === process.arch)
    return `musl-gcc -idirafter /usr/include -idirafter /usr/include/${processor.gnu}`;
  return crossMuslCompiler(arch, processor);
}

function elfMachine(file) {
  const head = fs.readFileSync(file).subarray(0, 20);
  return head.toString('latin1', 0, 4) === '\x7fELF' ? head.readUInt16LE(18) : undefined;
}

/** Names the library offers to koffi; every build must offer the same. */
function exportedNames(file) {
  const lines = must('nm', ['-D', '--defined-only', file]).trim().split('\n');
  // musl's start files add _init and _fini
  const names = lines.map((line) => line.split(' ').at(-1)).filter((name) => name.startsWith('warden_'));
  if (names.length === 0) fail(`${file} offers no function`);
  return names.sort();
}

function checkGlibc(file) {
  for (const [text, major, minor] of fs.readFileSync(file, 'latin1').matchAll(/\bGLIBC_(\d+)\.(\d+)\b/g))
    if (Number(major) > GLIBC[0] || Number(minor) > GLIBC[1])
      fail(`${file} asks for ${text}, newer than ${GLIBC.join('.')}: build it on Debian 12`);
}

function install(from, name, files, mode, elf) {
  for (const [file, place] of files) {
    const source = path.join(from, file);
    if (elfMachine(source) !== elf) fail(`${source} is not for the processor of ${name}`);
    const target = path.join(root, 'packages', name, place, file);
    fs.mkdirSync(path.dirname(target), { recursive: true });
    fs.copyFileSync(source, target);
    fs.chmodSync(target, mode);
  }
}

function buildProcessor(arch) {
  const processor = PROCESSORS[arch];
  const compilers = { glibc: `${processor.gnu}-gcc`, musl: muslCompiler(arch, processor) };
  const make = (libc, target, words = [], env = process.env) => {
    const build = path.join(cache, `${arch}-${libc}`);
    // what the programs need of the kernel's headers is among the compiler's words
    const variables = [
      `CC=${compilers[libc]}`,
      `MUSL_CC=${compilers.musl}`,
      'KERNEL=',
      `BUILD=${build}`,
      `OUT=${build}/out`,
    ];
    return must('make', ['-s', '-C', 'native', ...variables, ...words, target], { env });
  };
  const names = {};
  for (const libc of ['glibc', 'musl']) {
    make(libc, 'library');
    const from = path.join(cache, `${arch}-${libc}/out`);
    names[libc] = exportedNames(path.join(from, LIBRARY)).join('\n');
    if (libc === 'glibc') checkGlibc(path.join(from, LIBRARY));
    install(from, `native-linux-${arch}-${libc}`, [[LIBRARY, '.']], 0o644, processor.elf);
  }
  if (names.musl !== names.glibc)
    fail(`the libraries of glibc and musl for ${arch} offer different functions`);
  make('musl', 'programs');
  const out = path.join(cache, `${arch}-musl/out`);
  const programs = fs.readdirSync(out).filter((name) => name !== LIBRARY);
  install(
    out,
    `wshd-linux-${arch}`,
    programs.map((name) => [name, 'bin']),
    0o755,
    processor.elf,
  );
  process.stdout.write(`${arch}: ${LIBRARY} (glibc, musl), ${programs.join(', ')}\n`);
  runUnitTests(arch, processor, make);
  return names.glibc;
}

/**
 * The C unit tests as the artefacts are made: foreign ones by an emulator; those of this processor with glibc
 * are `make test`.
 */
function runUnitTests(arch, { gnu, emulator }, make) {
  const foreign = arch !== process.arch;
  const emulated = { ...process.env, WARDEN_TEST_EMULATED: '1' };
  const output = foreign
    ? make('glibc', 'unit-test', ['TEST_SANITIZE=', `RUN=${emulator} -L /usr/${gnu}`], emulated) +
      make('musl', 'unit-test', ['TEST_SANITIZE=-static', `RUN=${emulator}`], emulated)
    : make('musl', 'unit-test', ['TEST_SANITIZE=-static']);
  process.stdout.write(output);
  const all = output.match(/^ok /gm)?.length ?? 0;
  const skipped = output.match(/^ok .* # SKIP /gm)?.length ?? 0;
  if (all === skipped) fail(`no C unit test ran for ${arch}`);
  process.stdout.write(
    `${arch}: ${all - skipped} C checks passed${foreign ? ` under ${emulator}` : ' with musl'}, ${skipped} skipped\n`,
  );
}

const wanted = process.argv.slice(2);
const unknown = wanted.find((one) => !Object.hasOwn(PROCESSORS, one));
if (unknown) fail(`unknown processor ${unknown}; known: ${Object.keys(PROCESSORS).join(', ')}`);
const offered = (wanted.length > 0 ? wanted : Object.keys(PROCESSORS)).map(buildProcessor);
if (new Set(offered).size > 1) fail('the libraries for different processors offer different functions');
