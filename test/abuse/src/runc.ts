/** A container of Debian's runc with moby's defaults, in the test's own namespaces. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { cgroupParents, patience, type TestPlace } from '@warden/test-harness';
import { makeImage } from './image.ts';
import { mobySpec } from './moby.ts';

/** A living container beside ours. */
export interface RuncContainer {
  run(uid: number, command: readonly string[]): { status: number; stdout: string; stderr: string };
  remove(): void;
}

/** Why runc cannot be used here; `undefined` when it can. */
export function runcProblem(): string | undefined {
  if (process.arch !== 'x64') return 'an x86_64 processor: the profile here is that of its calls';
  return spawnSync('runc', ['--version'], { stdio: 'ignore' }).error === undefined
    ? undefined
    : "Debian's package runc";
}

/** Makes the image, the bundle and the container; its first process sleeps. */
export function startRunc(place: TestPlace): RuncContainer {
  const bundle = path.join(place.directory, 'bundle');
  const group = `${place.name}-runc`;
  fs.mkdirSync(bundle);
  makeImage(path.join(bundle, 'rootfs'));
  fs.writeFileSync(
    path.join(bundle, 'config.json'),
    JSON.stringify(mobySpec(path.join(bundle, 'rootfs'), `/${group}/box`)),
  );
  const runc = (...args: string[]): { status: number; stdout: string; stderr: string } => {
    const [program, ...words] = place.network.host.enter([
      'runc',
      '--root',
      path.join(place.directory, 'runc'),
      ...args,
    ]);
    // a detached container inherits the streams: those of `run` must not be pipes that somebody waits on
    const isStart = args[0] === 'run';
    const log = path.join(place.directory, 'runc.log');
    const out = isStart ? fs.openSync(log, 'a') : 'pipe';
    const result = spawnSync(program!, words, {
      encoding: 'utf8',
      stdio: ['ignore', out, out],
      maxBuffer: 1 << 26,
      timeout: patience(240_000),
    });
    if (typeof out === 'number') fs.closeSync(out);
    return {
      status: result.status ?? 255,
      stdout: result.stdout ?? '',
      stderr: isStart ? fs.readFileSync(log, 'utf8') : (result.stderr ?? ''),
    };
  };
  const remove = (): void => {
    runc('delete', '--force', 'box');
    for (const parent of cgroupParents(group)) fs.rmdirSync(parent);
  };
  const started = runc('run', '--detach', '--bundle', bundle, 'box');
  if (started.status !== 0) {
    remove();
    throw new Error(`runc run ended with ${started.status}: ${started.stderr}`);
  }
  return {
    run: (uid, command) => runc('exec', '--user', `${uid}:${uid}`, 'box', ...command),
    remove,
  };
}
