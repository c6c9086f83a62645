// `npm run test:node -- [--node N] [--whole] [--short] [TEST FILES]`: the tests on later versions of Node
// than the one that runs this.
//
// Node's own programs come from the npm registry (the packages `node-linux-<arch>`), one directory per major
// version, into the cache. What depends on Node's event loop and on its inside runs: the native library, the
// wire, the daemon with jobs, output, copies, restarts; `--whole`: everything; or the files that are named.
// `--short`: the latest version only. Ends with the sum of all runs; a version that cannot be had is told,
// and counts as skipped.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fetchPrograms } from './fetch-programs.mjs';
import { isolated } from './isolated.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const cache = path.join(root, 'node_modules/.cache');
/** Those with long-term support beside the oldest that is supported, and the latest. */
const VERSIONS = ['22', '24', '26'];
const SLICE = [
  'packages/native/',
  'packages/wshd/',
  'packages/client/',
  'packages/server/',
  ...[
    'config',
    'copy',
    'drain',
    'images',
    'jobs',
    'lifecycle',
    'live-output',
    'output-recovery',
    'page',
    'prepared-shell',
    'recovery',
  ].map((name) => `test/integration/src/${name}.test.ts`),
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    node: { type: 'string', multiple: true },
    whole: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
  },
});
const versions = values.node ?? (values.short ? VERSIONS.slice(-1) : VERSIONS);
const wrong = versions.find((version) => !/^\d+$/.test(version));
if (wrong !== undefined) {
  process.stderr.write(`--node ${wrong}: name a major version, as 24\n`);
  process.exit(2);
}

/** The program of this version, or why it cannot be had. One that is there and does not run is an error. */
function nodeOf(version) {
  const directory = path.join(cache, `warden-node-${version}`);
  const program = path.join(directory, 'bin/node');
  const reason = fs.existsSync(program) ? undefined : fetchNode(version, directory);
  if (reason !== undefined) return { reason };
  const { stdout, error, status } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0 || !stdout.startsWith(`v${version}.`))
    throw new Error(`${program} ended with ${status} and says it is ${JSON.stringify(stdout.trim())}`);
  return { program, name: `Node ${stdout.trim().slice(1)}` };
}

/** Answers why it cannot be fetched. */
function fetchNode(version, directory) {
  const script = 'npm pack --silent "$1" && tar --extract --file *.tgz';
  const name = `node-linux-${process.arch}@${version}`;
  const failure = fetchPrograms({ directory, script, words: [name], made: 'package' });
  return failure && `${name} cannot be fetched: ${failure.split('\n').at(-1)}`;
}

/** Runs the tests; answers how many passed, failed and were skipped. */
async function testOn({ program, name }) {
  process.stdout.write(`${name}\n`);
  const files = positionals.length > 0 ? positionals : values.whole ? [] : SLICE;
  const words = [program, 'node_modules/vitest/vitest.mjs', 'run', '--reporter', 'default'];
  const reporter = ['--reporter', './scripts/closing-line.reporter.ts'];
  // what tests start by name is this Node, too
  const env = { ...process.env, PATH: `${path.dirname(program)}:${process.env.PATH}` };
  const child = spawn('unshare', isolated([...words, ...reporter, ...files]), {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let end = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text);
    end = (end + text).slice(-1_000);
  });
  const [status] = await once(child, 'close');
  const [, passed, failed, skipped] = /(\d+) passed, (\d+) failed, (\d+) skipped\s*$/.exec(end) ?? [];
  if (passed === undefined) return { passed: 0, failed: 1, skipped: 0 };
  return {
    passed: Number(passed),
    failed: Math.max(Number(failed), status === 0 ? 0 : 1),
    skipped: Number(skipped),
  };
}

const sum = { passed: 0, failed: 0, skipped: 0 };
const lines = [];
for (const version of versions) {
  const node = nodeOf(version);
  if (node.reason !== undefined) {
    lines.push(`skipped: Node ${version}: ${node.reason}`);
    sum.skipped++;
    continue;
  }
  const { passed, failed, skipped } = await testOn(node);
  lines.push(`${node.name}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  sum.passed += passed;
  sum.failed += failed;
  sum.skipped += skipped;
}
process.stdout.write(
  `\n${lines.join('\n')}\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`,
);
process.exitCode = sum.failed > 0 ? 1 : 0;
