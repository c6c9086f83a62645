// Refuses to publish what nobody should get: `node scripts/check-release.mjs`, in the checkout. What the
// registry once has can never be replaced, and pnpm packs a package without what was not built, or with what
// lies there uncommitted, and says nothing.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const root = process.cwd();
const PROGRAMS = ['warden-copy', 'warden-unpack', 'wsh', 'wshd'];

function git(...words) {
  const { status, error, stdout, stderr } = spawnSync('git', ['-C', root, ...words], { encoding: 'utf8' });
  return status === 0 ? { stdout } : { failure: error?.message ?? stderr.trim() };
}

function uncommitted() {
  const { stdout, failure } = git('status', '--porcelain');
  if (failure !== undefined) return [`git cannot say what is uncommitted: ${failure}`];
  const files = stdout.split('\n').flatMap((line) => (line === '' ? [] : [line.slice(3)]));
  return files.length === 0
    ? []
    : [
        `uncommitted: ${files.slice(0, 5).join(', ')}${files.length > 5 ? ` and ${files.length - 5} more` : ''}`,
      ];
}

/**
 * The last that is published is what everybody installs: an older line, or a prerelease, would take the place
 * of the newest version.
 */
function otherThanNewest() {
  const { baseBranch = 'main' } = JSON.parse(
    fs.readFileSync(path.join(root, '.changeset/config.json'), 'utf8'),
  );
  const { stdout, failure } = git('branch', '--show-current');
  if (failure !== undefined) return [`git cannot say which branch this is: ${failure}`];
  const branch = stdout.trim();
  if (branch === baseBranch) return [];
  return [
    `this is ${branch === '' ? 'no branch' : `the branch ${branch}`}: releases are made from ${baseBranch}, and what is published is what everybody installs`,
  ];
}

/** changesets does not look whether git has made a tag. */
function tagger() {
  return git('var', 'GIT_COMMITTER_IDENT').failure === undefined
    ? []
    : ['git knows nobody who could make the tags: git config user.name and user.email'];
}

function waitingChangesets() {
  const waiting = fs
    .readdirSync(path.join(root, '.changeset'))
    .filter((name) => name.endsWith('.md') && name !== 'README.md');
  return waiting.length === 0
    ? []
    : [`${waiting.length} changesets wait: npm run release:version, and commit what it changes`];
}

/** What each package must have when it is packed, as a release builds it. */
function builtFiles({ name, bin, publishConfig }) {
  if (name.startsWith('@warden/native-linux-')) return ['libwarden_native.so'];
  if (name.startsWith('@warden/wshd-linux-')) return PROGRAMS.map((program) => `bin/${program}`);
  const modules = Object.values(publishConfig.exports).flatMap((place) =>
    typeof place === 'string' ? [place] : Object.values(place),
  );
  return [...modules, ...Object.keys(bin ?? {}).map((program) => `dist/program/${program}.cjs`)];
}

function packageProblems() {
  const manifests = new Map();
  const problems = [];
  for (const directory of fs.readdirSync(path.join(root, 'packages'))) {
    const base = path.join(root, 'packages', directory);
    if (!fs.existsSync(path.join(base, 'package.json'))) continue;
    const manifest = JSON.parse(fs.readFileSync(path.join(base, 'package.json'), 'utf8'));
    manifests.set(manifest.name, manifest);
    const missing = builtFiles(manifest).filter((file) => !fs.existsSync(path.join(base, file)));
    if (manifest.version.includes('-'))
      problems.push(
        `${manifest.name} is ${manifest.version}, a prerelease, and what is published is what everybody installs: changeset pre exit, then npm run release:version`,
      );
    if (missing.length > 0)
      problems.push(
        `${manifest.name} lacks ${missing.join(', ')}: npm run release:rehearsal builds everything and tries it`,
      );
  }
  for (const { name, version, optionalDependencies } of manifests.values())
    for (const other of Object.keys(optionalDependencies ?? {})) {
      const theirs = manifests.get(other)?.version;
      if (theirs !== version)
        problems.push(
          `${name} is ${version}, but ${other} ${theirs ?? 'does not exist'}: they share a version`,
        );
    }
  return problems;
}

const problems = [
  ...uncommitted(),
  ...otherThanNewest(),
  ...tagger(),
  ...waitingChangesets(),
  ...packageProblems(),
];
if (problems.length > 0) {
  process.stderr.write(`nothing was published:\n${problems.map((one) => `  ${one}\n`).join('')}`);
  process.exit(1);
}
