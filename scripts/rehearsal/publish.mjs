// Publishes the copy of the checkout below the directory given to a local registry, and looks whether all of it is there. Started by
// scripts/dev.mjs in a network namespace with loopback only; anywhere else it refuses.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { registryEnvironment, startRegistry } from './registry.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const home = path.resolve(process.argv[2] ?? '.');
const copy = path.join(home, 'workspace');

const others = Object.keys(os.networkInterfaces()).filter((name) => name !== 'lo');
if (others.length > 0) {
  process.stderr.write(`not published: ${others.join(', ')} is here, and only loopback may be\n`);
  process.exit(1);
}

/** Name and reason of every package that the registry does not have as it should. */
async function missing(url) {
  const problems = [];
  for (const directory of fs.readdirSync(path.join(copy, 'packages'))) {
    const file = path.join(copy, 'packages', directory, 'package.json');
    const { name, version } = JSON.parse(fs.readFileSync(file, 'utf8'));
    const answer = await fetch(`${url}${name.replace('/', '%2f')}`);
    const latest = answer.ok ? (await answer.json())['dist-tags'].latest : `status ${answer.status}`;
    if (latest !== version) problems.push(`${name}: published ${version}, the registry has ${latest}`);
  }
  return problems;
}

const registry = await startRegistry(root, home);
let problems;
try {
  const env = registryEnvironment(home, registry.url);
  // the copy's own file counts for every program that publishes from it
  fs.copyFileSync(env.npm_config_userconfig, path.join(copy, '.npmrc'));
  const program = path.join(copy, 'node_modules/@changesets/cli/bin.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'publish'], {
    cwd: copy,
    // the pnpm that runs this is in PATH
    env,
    encoding: 'utf8',
  });
  problems =
    status === 0 ? await missing(registry.url) : [`changeset publish ended with ${status}`, stdout, stderr];
} finally {
  await registry.close();
}
if (problems.length > 0) {
  process.stderr.write(`${problems.join('\n')}\n`);
  process.exit(1);
}
