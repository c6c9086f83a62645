// Publishes the copy of the checkout below the directory given to a local registry, and looks whether all of
// it is there. Started by scripts/dev.mjs in a network namespace with loopback only; anywhere else it
// refuses.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { registryEnvironment, startRegistry } from './registry.mjs';
import { commit } from './workspace-copy.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const home = path.resolve(process.argv[2] ?? '.');
const copy = path.join(home, 'workspace');

const others = Object.keys(os.networkInterfaces()).filter((name) => name !== 'lo');
if (others.length > 0) {
  process.stderr.write(`not published: ${others.join(', ')} is here, and only loopback may be\n`);
  process.exit(1);
}

function manifests() {
  const packages = path.join(copy, 'packages');
  return fs
    .readdirSync(packages)
    .map((directory) => JSON.parse(fs.readFileSync(path.join(packages, directory, 'package.json'), 'utf8')));
}

/** Name and reason of every package that the registry does not have as it should. */
async function missing(url) {
  const problems = [];
  for (const { name, version } of manifests()) {
    const answer = await fetch(`${url}${name.replace('/', '%2f')}`);
    const latest = answer.ok ? (await answer.json())['dist-tags'].latest : `status ${answer.status}`;
    if (latest !== version) problems.push(`${name}: published ${version}, the registry has ${latest}`);
  }
  return problems;
}

/** Name of every version without its tag. */
function untagged() {
  const { stdout } = spawnSync('git', ['tag', '--list'], { cwd: copy, encoding: 'utf8' });
  const tags = new Set(stdout.split('\n'));
  return manifests()
    .map(({ name, version }) => `${name}@${version}`)
    .filter((tag) => !tags.has(tag))
    .map((tag) => `${tag}: no tag`);
}

/** Nothing when it went well. */
function publish(env) {
  // the pnpm that runs this is in PATH
  const { status, stdout, stderr } = spawnSync('npm', ['run', 'release:publish'], {
    cwd: copy,
    env,
    encoding: 'utf8',
  });
  return status === 0 ? undefined : [`npm run release:publish ended with ${status}`, stdout, stderr];
}

const registry = await startRegistry(root, home);
let problems;
try {
  const env = registryEnvironment(home, registry.url);
  // the copy's own file counts for every program that publishes from it
  fs.copyFileSync(env.npm_config_userconfig, path.join(copy, '.npmrc'));
  commit(copy, 'the local registry');
  // the very command of a release; the second time as after one that was stopped when all but its end was done
  problems = publish(env) ?? publish(env) ?? [...(await missing(registry.url)), ...untagged()];
} finally {
  await registry.close();
}
if (problems.length > 0) {
  process.stderr.write(`${problems.join('\n')}\n`);
  process.exit(1);
}
