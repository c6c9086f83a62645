// A registry on the loopback interface. Ours is published to it and never looked for elsewhere; everything
// else it fetches from the registry that npm is configured for and keeps in the checkout's cache, so that a
// second rehearsal needs no network.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function configuration(storage, log) {
  const upstream = spawnSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).stdout.trim();
  return {
    storage,
    uplinks: { upstream: { url: upstream, maxage: '1d' } },
    packages: {
      '@warden/*': { access: '$all', publish: '$all' },
      '**': { access: '$all', proxy: 'upstream' },
    },
    log: { type: 'file', path: log, level: 'warn' },
    // a tarball with source maps is larger than the default for a message
    max_body_size: '20mb',
  };
}

function storageOf(root) {
  return path.join(root, 'node_modules/.cache/rehearsal-registry');
}

/** Removes what an earlier rehearsal published, and leaves what was fetched. */
export function forgetPublished(root) {
  for (const own of ['@warden', '.verdaccio-db.json'])
    fs.rmSync(path.join(storageOf(root), own), { recursive: true, force: true });
}

/**
 * Environment in which npm, pnpm and changesets know the local registry alone, and keep nothing in the user's
 * caches. Nothing of npm's that is inherited survives: `npm run` hands its own configuration down, and that
 * would win.
 */
export function registryEnvironment(home, url) {
  const rc = path.join(home, 'npmrc');
  // publishing asks for some token; the registry takes any
  fs.writeFileSync(rc, `registry=${url}\n${url.replace('http:', '')}:_authToken=rehearsal\n`, {
    mode: 0o600,
  });
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm|pnpm)_/i.test(name));
  return {
    ...Object.fromEntries(kept),
    npm_config_userconfig: rc,
    npm_config_registry: url,
    npm_config_cache: path.join(home, 'npm-cache'),
    npm_config_store_dir: path.join(home, 'pnpm-store'),
    pnpm_config_registry: url,
    pnpm_config_store_dir: path.join(home, 'pnpm-store'),
    // no questions
    CI: 'true',
  };
}

/** Starts it; `home` holds its log. Answers the address, and how to end it. */
export async function startRegistry(root, home) {
  const log = path.join(home, 'registry.log');
  const config = path.join(home, 'registry.yaml');
  // JSON is YAML
  fs.writeFileSync(config, JSON.stringify(configuration(storageOf(root), log)));
  const port = await freePort();
  const program = path.join(root, 'scripts/rehearsal/registry/node_modules/verdaccio/bin/verdaccio');
  const child = spawn(process.execPath, [program, '--config', config, '--listen', `127.0.0.1:${port}`], {
    stdio: ['ignore', 'ignore', fs.openSync(path.join(home, 'registry.stderr'), 'a')],
    cwd: home,
  });
  const url = `http://127.0.0.1:${port}/`;
  const deadline = Date.now() + 120_000;
  for (;;) {
    if (child.exitCode !== null)
      throw new Error(`the local registry ended with ${child.exitCode}; see ${log}`);
    if (
      await fetch(`${url}-/ping`).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      break;
    if (Date.now() > deadline) {
      child.kill();
      throw new Error(`the local registry did not answer within 120 s; see ${log}`);
    }
    await delay(100);
  }
  return {
    url,
    close: async () => {
      if (child.exitCode !== null) return;
      const gone = once(child, 'exit');
      child.kill();
      await gone;
    },
  };
}
