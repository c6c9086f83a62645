// `npm run fuzz -- [--short] [--target NAME] [--seconds N] [--keep]`: searches for inputs that break a
// parser.
//
// Each target of native/fuzz (libFuzzer, address and undefined-behaviour sanitizers) runs for N seconds,
// begins with what native/fuzz/corpus keeps and what earlier runs found, and is listed with its executions.
// Then the properties of the decoders in TypeScript run with N times the cases of `npm test`. `--short`, what
// continuous integration has time for, is a thousand runs per target, the same each time: what is random
// belongs to whoever looks at it.
//
// An input that breaks something is left where the output says. It goes into native/fuzz/corpus/<target>/ (C)
// or the array of known cases beside the property (TypeScript) together with the repair, and is tried by
// `npm test` from then on. `--keep` copies to native/fuzz/corpus what of the finds reaches code that the
// corpus does not.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const native = path.join(root, 'native');
const finds = path.join(root, 'node_modules/.cache/warden-fuzz');

const { values } = parseArgs({
  args: process.argv.slice(2).filter((word) => word !== '--'),
  options: {
    short: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    target: { type: 'string', multiple: true },
    seconds: { type: 'string' },
  },
});

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

const SHORT_RUNS = 1000;
const seconds = Number(values.seconds ?? (values.short ? 1 : 60));
if (!Number.isInteger(seconds) || seconds < 1) fail('--seconds takes a whole number from 1 on');

function hasClang() {
  return spawnSync('clang', ['--version'], { stdio: 'ignore' }).status === 0;
}

function make(...words) {
  const result = spawnSync('make', ['-s', '-C', native, ...words], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (result.status !== 0) fail(`make ${words.join(' ')} failed`);
  return result.stdout.trim();
}

function existing(...paths) {
  return paths.filter((one) => fs.existsSync(one));
}

/** One target for `seconds`. Answers its figures, or undefined when it broke, which has been told. */
function search(target) {
  const program = path.join(native, 'build/fuzz', target);
  const kept = path.join(native, 'fuzz/corpus', target);
  const found = path.join(finds, target);
  fs.mkdirSync(found, { recursive: true });
  const words = [
    ...(values.short ? ['-seed=1', `-runs=${SHORT_RUNS}`] : [`-max_total_time=${seconds}`]),
    '-max_len=4096',
    '-print_final_stats=1',
    `-artifact_prefix=${path.join(finds, `broken-${target}-`)}`,
    ...existing(path.join(native, 'fuzz/dictionaries', `${target}.dict`)).map((file) => `-dict=${file}`),
  ];
  const result = spawnSync(program, [...words, found, ...existing(kept)], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (result.status !== 0) {
    process.stderr.write(`${target} broke:\n${result.stderr.split('\n').slice(-60).join('\n')}\n`);
    return undefined;
  }
  return {
    runs: Number(/number_of_executed_units: (\d+)/.exec(result.stderr)?.[1] ?? 0),
    edges: Number(/.* cov: (\d+)/s.exec(result.stderr)?.[1] ?? 0),
  };
}

/** Copies to the corpus what reaches edges that it does not reach. Names are of libFuzzer: the hash of the content. */
function keep(target) {
  const program = path.join(native, 'build/fuzz', target);
  const kept = path.join(native, 'fuzz/corpus', target);
  const control = path.join(finds, `merge-${target}`);
  const spare = path.join(finds, `spare-${target}`);
  fs.rmSync(control, { force: true });
  fs.rmSync(spare, { recursive: true, force: true });
  fs.mkdirSync(spare, { recursive: true });
  spawnSync(program, ['-merge=1', `-merge_control_file=${control}`, spare, kept, path.join(finds, target)], {
    stdio: 'ignore',
  });
  const lines = fs.readFileSync(control, 'utf8').split('\n');
  const files = lines.slice(2, 2 + Number(lines[0]));
  const seen = new Set();
  for (const line of lines.filter((one) => one.startsWith('COV '))) {
    const [index, ...edges] = line.split(' ').slice(1).map(Number);
    const file = files[index];
    const fresh = edges.filter((edge) => !seen.has(edge));
    for (const edge of fresh) seen.add(edge);
    if (fresh.length > 0 && !file.startsWith(kept))
      fs.copyFileSync(file, path.join(kept, path.basename(file)));
  }
  fs.rmSync(spare, { recursive: true, force: true });
}

function searchNative() {
  const all = make('fuzz-targets').split(' ');
  const wanted = values.target ?? all;
  const unknown = wanted.filter((target) => !all.includes(target));
  if (unknown.length > 0) fail(`no such target: ${unknown.join(', ')}; there are ${all.join(', ')}`);
  make('-j2', ...wanted.map((target) => `build/fuzz/${target}`));
  let broken = 0;
  for (const target of wanted) {
    const figures = search(target);
    if (figures === undefined) broken++;
    else
      process.stdout.write(
        `${target.padEnd(16)} ${String(figures.runs).padStart(10)} runs, ${figures.edges} edges\n`,
      );
    if (figures !== undefined && values.keep) keep(target);
  }
  return broken;
}

/** The properties of the TypeScript decoders, with more cases and another seed each time. */
function searchTypeScript() {
  const factor = Math.max(10, seconds);
  const result = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--testTimeout', '3600000', '.property.test.ts'],
    { cwd: root, stdio: 'inherit', env: { ...process.env, WARDEN_FUZZ_FACTOR: String(factor) } },
  );
  return result.status === 0 ? 0 : 1;
}

let broken = 0;
if (hasClang()) broken += searchNative();
else process.stderr.write('the C parsers are skipped: clang is missing (apt-get install clang)\n');
if (values.target === undefined && !values.short) broken += searchTypeScript();
process.exit(broken > 0 ? 1 : 0);
