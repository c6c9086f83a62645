// `npm run test:sanitize -- [--address] [TEST FILES]`: the C code under the address and undefined-behaviour
// sanitizers, in use.
//
// The programs are built with both, the runtime inside; on these run the C tests, those that drive whole
// programs, and then the tests of the packages that use them and the integration suite, or the files named.
// The library has both as well while the packages are tested, for which Node is started with the runtime;
// that makes the start of a daemon ten times as long, so in the integration suite it has the
// undefined-behaviour sanitizer only (unless `--address` is given).
// What a sanitizer finds ends the process; it is told in a file (native/sanitize/report.c), because a process
// of a container has nowhere else to tell it.
//
// warden-copy runs from a descriptor in roots without a dynamic linker, so there it has the
// undefined-behaviour sanitizer only, linked statically; with both it runs in native/test/copy_test.py and
// the fuzz targets.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const cache = path.join(root, 'node_modules/.cache/warden-sanitize');
const log = path.join(cache, 'findings.log');
const LOG_BYTES = 1 << 20;
const files = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const isAddressOnly = process.argv.includes('--address');

/** Tests that run the programs; what is only TypeScript has nothing to gain. */
const WITH_PROGRAMS = [
  'packages/native/',
  'packages/wshd/',
  'packages/net-nftables/',
  'packages/cgroup/',
  'packages/quota/',
  'test/compliance/',
  'test/integration/',
];
const chosen = files.length > 0 ? files : WITH_PROGRAMS;
const isOfDaemon = (file) => !isAddressOnly && file.includes('test/integration/');

function run(command, args, env = {}) {
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return status === 0;
}

function make(...words) {
  const variables = ['SANITIZE=1', `BUILD=${cache}/build`, `OUT=${cache}/out`, `SANITIZE_LOG=${log}`];
  return run('make', ['-s', '-C', 'native', ...variables, ...words]);
}

/** Runs test files on what was made; `library` is the one for the daemon. */
function test(paths, library, env) {
  if (paths.length === 0) return true;
  // everything takes several times as long
  const patience = ['--testTimeout', '300000', '--hookTimeout', '300000'];
  return run(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...patience, ...paths], {
    UBSAN_OPTIONS: `print_stacktrace=1:log_path=${cache}/node`,
    WARDEN_NATIVE_LIBRARY: library,
    WARDEN_WSHD_DIRECTORY: `${cache}/out`,
    WARDEN_TEST_PATIENCE: process.env.WARDEN_TEST_PATIENCE ?? '4',
    ...env,
  });
}

function runtime(name) {
  return spawnSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
}

/** What was told, with places in the source where an address is all there is. */
function findings() {
  const text = fs
    .readdirSync(cache)
    .filter((name) => name.startsWith('node.node.'))
    .map((name) => fs.readFileSync(path.join(cache, name), 'utf8'));
  const bytes = fs.readFileSync(log);
  const shared = bytes.toString('utf8', 8, 8 + Math.min(Number(bytes.readBigUInt64LE(0)), LOG_BYTES - 8));
  let program = '';
  for (const line of shared.split('\n')) {
    program = /^sanitizer: process \d+ of (.*)$/.exec(line)?.[1] ?? program;
    const address = /^ {2}(0x[0-9a-f]+)$/.exec(line)?.[1];
    const place =
      address && spawnSync('addr2line', ['-fpe', program, address], { encoding: 'utf8' }).stdout?.trim();
    text.push(place ? `  ${place}` : line);
  }
  return text.filter((line) => line.trim() !== '');
}

fs.mkdirSync(cache, { recursive: true });
for (const name of fs.readdirSync(cache).filter((one) => one.startsWith('node.')))
  fs.rmSync(path.join(cache, name));
fs.writeFileSync(log, Buffer.alloc(LOG_BYTES));

let passed = make('-j2', 'all');
// after the others: what is made of the same sources in another way lies in a place of its own
passed &&= make('-j2', 'LIBRARY_SANITIZE=undefined', `BUILD=${cache}/alone`, `OUT=${cache}/alone`, 'library');
if (passed && files.length === 0) passed = make('test');
if (passed) {
  const beside = test(
    chosen.filter((file) => !isOfDaemon(file)),
    `${cache}/out/libwarden_native.so`,
    {
      LD_PRELOAD: runtime('libasan.so'),
      // foreign programs that the tests start have the runtime as well, and findings of their own: they go
      // on, and are left out by their names
      ASAN_OPTIONS: `detect_leaks=0:halt_on_error=0:log_exe_name=1:log_path=${cache}/node`,
    },
  );
  passed = test(chosen.filter(isOfDaemon), `${cache}/alone/libwarden_native.so`, {}) && beside;
}
const found = findings();
if (found.length > 0) process.stderr.write(`the sanitizers found:\n${found.join('\n')}\n`);
else process.stdout.write('the sanitizers found nothing\n');
process.exit(passed && found.length === 0 ? 0 : 1);
