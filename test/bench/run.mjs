// The bench: warden beside the floor program and beside other container programs, in one run, with the safe
// defaults. Only ratios mean anything.
//
//   npm run bench [-- --count N] default 100 of each; below 50 the short form, with smaller crowds and copies
//   npm run bench -- --only lives,copies these sections alone
//   npm run bench -- --write-baseline keeps what was measured in baseline.json, which later runs are compared
//   with npm run bench -- --write-docs puts the table into docs/performance.md
//
// Ends with 1 when a ratio is worse than the committed one by more than a quarter, twice in a row, on a
// machine that was quiet enough to tell.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { makeDefaultRootfs } from '@warden/daemon';
import { makePlace } from './lib/daemon.mjs';
import { startFloor } from './lib/floor.mjs';
import { FULL } from './lib/form.mjs';
import { Samples } from './lib/samples.mjs';
import { compare, evaluate, isMet, restlessness } from './report/evaluate.mjs';
import { markdown, table } from './report/markdown.mjs';
import { plot } from './report/plot.mjs';
import { rows } from './report/rows.mjs';
import { measureConfinement } from './sections/confinement.mjs';
import { measureCopies } from './sections/copies.mjs';
import { measureCrowd } from './sections/crowd.mjs';
import { measureDocker } from './sections/docker.mjs';
import { measureDurable } from './sections/durable.mjs';
import { measureLives } from './sections/lives.mjs';
import { measureOutput } from './sections/output.mjs';
import { measureParallel } from './sections/parallel.mjs';
import { measureQuota } from './sections/quota.mjs';
import { measureStarts } from './sections/starts.mjs';
import { measureWarmPool } from './sections/warm-pool.mjs';

const SECTIONS = {
  lives: measureLives,
  warm: measureWarmPool,
  confinement: measureConfinement,
  parallel: measureParallel,
  starts: measureStarts,
  output: measureOutput,
  quota: measureQuota,
  durable: measureDurable,
  crowd: measureCrowd,
  docker: measureDocker,
  // last: new files meet the inodes that it removes by the hundred thousand, for some minutes
  copies: measureCopies,
};

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const baselineFile = path.join(repository, 'test/bench/baseline.json');
const options = given();
const count = Number(options.count);
const isShort = count < FULL;
const form = isShort ? 'short' : 'full';
const only = options.only?.split(',') ?? Object.keys(SECTIONS);
const unknown = only.filter((name) => !Object.hasOwn(SECTIONS, name));
if (!(count >= 1)) refuse(`--count ${options.count} is no number of at least 1`);
if (unknown.length > 0) refuse(`no such section: ${unknown.join(', ')}`);

function given() {
  try {
    return parseArgs({
      options: {
        count: { type: 'string', default: '100' },
        only: { type: 'string' },
        'write-baseline': { type: 'boolean', default: false },
        'write-docs': { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return refuse(error.message);
  }
}

function refuse(why) {
  process.stderr.write(
    `${why}; usage: npm run bench -- [--count N] [--only ${Object.keys(SECTIONS).join(',')}] [--write-baseline] [--write-docs]\n`,
  );
  process.exit(2);
}

const directory = fs.mkdtempSync('/tmp/warden-bench-');
const cache = path.join(repository, 'node_modules/.cache');
const rootfs = path.join(cache, 'warden-rootfs');
const load = os.loadavg()[0];
const samples = new Samples();
const skipped = new Map();
const facts = new Map();

const processors = `${os.cpus().length} processors (${os.cpus()[0]?.model.trim() || 'of unknown make'})`;
const about = `${form} form, ${count} of each, ${processors}, load before ${load.toFixed(1)}, Linux ${os.release()}, Node ${process.versions.node}`;

/** Makes a place for a daemon; `settings` is for programs that are no daemon of ours. */
const place = Object.assign((_name, sections) => makePlace({ directory, rootfs, sections }), {
  settings: { directory, rootfs },
  groups: (name) => () => countGroups(name),
});

function countGroups(name) {
  const table = fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const mounts = table.filter((line) => / - cgroup2? /.test(line)).map((line) => line.split(' ')[4]);
  const parent = mounts.map((mount) => path.join(mount, name)).find((one) => fs.existsSync(one));
  return parent === undefined
    ? 0
    : fs.readdirSync(parent).filter((group) => group.startsWith('instance-')).length;
}

async function measure(sections, into) {
  const floor = await startFloor({ directory: fs.mkdtempSync(`${directory}/floor-`), rootfs, cache });
  facts.set('control groups of a container', floor.groups);
  try {
    for (const name of sections) {
      const began = performance.now();
      await SECTIONS[name]({ samples: into, skipped, facts, place, floor, count, isShort });
      process.stderr.write(`${name}: ${((performance.now() - began) / 1e3).toFixed(1)} s\n`);
    }
  } finally {
    await floor.stop();
  }
}

function judge(baseline, from) {
  const asked = rows(isShort).filter(({ section }) => only.includes(section));
  return asked.map((row) => {
    const result = evaluate(row, from);
    return { row, result, met: isMet(row, result), comparison: compare(row, result, baseline[row.id]) };
  });
}

/** What is worse is measured once more; only what is worse again counts. */
async function confirm(baseline, results) {
  const worse = results.filter(({ comparison }) => comparison === 'worse');
  if (worse.length === 0) return [];
  const sections = [...new Set(worse.map(({ row }) => row.section))];
  process.stderr.write(
    `measured once more, because worse than the baseline: ${worse.map(({ row }) => row.id).join('; ')}\n`,
  );
  const again = new Samples();
  await measure(sections, again);
  return judge(baseline, again).filter(
    ({ row, comparison }) => comparison === 'worse' && worse.some((one) => one.row.id === row.id),
  );
}

function write(name, text) {
  fs.mkdirSync(path.join(repository, 'reports'), { recursive: true });
  fs.writeFileSync(path.join(repository, 'reports', name), text);
}

function writeReports(results) {
  const text = markdown({ results, samples, skipped, about });
  process.stdout.write(text);
  write('bench.md', text);
  write('bench.svg', plot(samples));
  const ratios = results.map(({ row, result, met, comparison }) => ({ ...row, result, met, comparison }));
  write(
    'bench.json',
    JSON.stringify(
      { about, ratios, facts: Object.fromEntries(facts), skipped: Object.fromEntries(skipped), samples },
      null,
      1,
    ),
  );
}

/** Between the two marks stands what the bench has said last. */
function writeDocs(results) {
  const [begin, end] = ['<!-- bench -->', '<!-- end of bench -->'];
  const file = path.join(repository, 'docs/performance.md');
  const text = fs.readFileSync(file, 'utf8');
  const [before, rest] = text.split(begin);
  const [, after] = (rest ?? '').split(end);
  if (after === undefined) throw new Error(`${file} lacks the marks ${begin} and ${end}`);
  const report = table({ results, skipped, about });
  fs.writeFileSync(file, `${before}${begin}\n\n${report}\n${end}${after}`);
}

function writeBaseline(all, results) {
  const measured = results.filter(({ row, result }) => result !== undefined && !row.isAbsolute);
  const ratios = measured.map(({ row, result }) => [row.id, Number(result.value.toPrecision(3))]);
  all[form] = { ...all[form], ...Object.fromEntries(ratios) };
  fs.writeFileSync(baselineFile, `${JSON.stringify(all, null, 2)}\n`);
}

makeDefaultRootfs(rootfs);
try {
  await measure(only, samples);
  const all = fs.existsSync(baselineFile) ? JSON.parse(fs.readFileSync(baselineFile, 'utf8')) : {};
  const baseline = all[form] ?? {};
  const results = judge(baseline, samples);
  writeReports(results);
  if (options['write-docs']) writeDocs(results);
  const restless = restlessness(samples, load, os.cpus().length);
  if (options['write-baseline'] && restless === undefined) writeBaseline(all, results);
  else if (options['write-baseline']) {
    process.stderr.write(`no baseline is made on a restless machine: ${restless}\n`);
    process.exitCode = 1;
  } else {
    if (restless !== undefined) {
      process.stdout.write(`\ninconclusive beside the baseline: ${restless}\n`);
    } else {
      const worse = await confirm(baseline, results);
      for (const { row, result } of worse)
        process.stdout.write(
          `\nworse by more than a quarter: ${row.id} is ${result.value.toPrecision(3)}, the baseline ${baseline[row.id]}\n`,
        );
      if (worse.length > 0) process.exitCode = 1;
    }
  }
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}
