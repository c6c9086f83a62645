// Writes docs/compliance.md: which drivers, with which options, run through the compliance kits, taken from
// the tests themselves. Called by `npm run kit-table`; with `--check` it only says whether the page is as it
// should be.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const page = path.join(root, 'docs/compliance.md');
const FILES = ['test/compliance/src', 'packages/driver-compliance/src/fakes.test.ts'];
const ROLES = {
  'file-system': 'filesystem',
  network: 'network',
  cgroup: 'cgroup',
  quota: 'quota',
  init: 'init',
};
/** Where a row runs, for what the host of the tests may lack. */
const PLACES = [
  [/^aufs/, 'a kernel with aufs: `KERNEL=… npm run vm -- --only filesystem`'],
  [/^(user|project) on /, 'the guest: `npm run vm -- --only quota-kit`'],
  [/^auto/, 'this host with v1, the guest with v2: `npm run vm -- --only cgroup`'],
  [/^btrfs/, 'a host with btrfs and its programs'],
];

function listedTests() {
  const { stdout, status, stderr } = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'list', ...FILES, '--json'],
    { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20, env: { ...process.env, WARDEN_TEST_LIST: '1' } },
  );
  if (status !== 0) throw new Error(`vitest list: ${stderr || stdout}`);
  return JSON.parse(stdout.slice(stdout.indexOf('[')));
}

function rowsOf(tests) {
  const counts = new Map();
  for (const { name } of tests) {
    for (const suite of name.split(' > ').slice(0, -1)) {
      const [, word, driver] = /^(file-system|network|cgroup|quota|init) driver (.*)$/.exec(suite) ?? [];
      if (word === undefined) continue;
      const key = `${ROLES[word]}\t${driver}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return [...counts]
    .map(([key, count]) => [...key.split('\t'), count])
    .sort(([a, b], [c, d]) => (a + b < c + d ? -1 : 1));
}

const rows = rowsOf(listedTests());
if (rows.length === 0) throw new Error('no kit is run by any test');
const text = `# What runs through the compliance kits

Every driver, with each set of options that changes what it does, and the fakes, run through the whole kit of their contract. A test that a driver's
\`supports\` excludes passes without having anything to do. Written by \`node scripts/kit-table.mjs\` from the tests; run by \`npm test\`, and where a row
says so elsewhere.

| contract | driver and options | tests | where |
|---|---|---|---|
${rows
  .map(([role, driver, count]) => {
    const place = PLACES.find(([pattern]) => pattern.test(driver))?.[1] ?? '';
    return `| ${role} | ${driver} | ${count} | ${place} |`;
  })
  .join('\n')}
`;
if (process.argv.includes('--check')) {
  if (fs.readFileSync(page, 'utf8') !== text) {
    process.stderr.write('docs/compliance.md is not what the tests say: npm run kit-table\n');
    process.exit(1);
  }
} else fs.writeFileSync(page, text);
process.stdout.write(`${rows.length} drivers and sets of options run through the kits\n`);
