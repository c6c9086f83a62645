/** A core on fakes with jobs that tests describe, and what tests say to it. */
import fs from 'node:fs';
import path from 'node:path';
import type { Program } from '@warden/driver-compliance';
import type { Container, Warden } from '@warden/interface';
import { afterEach, beforeEach, vi } from 'vitest';
import type { Core } from '../src/index.ts';
import { TestHost } from './host.ts';

/** Deadlines for a machine that is busy with something else. */
export const SOON = { timeout: 20_000 };

/** Scripts of these tests are JSON: what to print, how to end. */
export interface Script {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly status?: number;
  /** Milliseconds before the end. */
  readonly wait?: number;
  /** Ignores everything but SIGKILL. */
  readonly forever?: boolean;
  /** Bytes in pieces of 64 KiB. */
  readonly bytes?: number;
  readonly showUser?: boolean;
  /** Prints the limit of this number. */
  readonly showLimit?: number;
}

/** What each job does. */
export const program: Program = async ({ spec, write, killed }) => {
  const script = JSON.parse(Buffer.from(spec.stdin).toString()) as Script;
  if (script.showUser) write('stdout', spec.user);
  if (script.showLimit !== undefined)
    write('stdout', String(spec.rlimits.find(({ resource }) => resource === script.showLimit)?.soft));
  if (script.stdout) write('stdout', script.stdout);
  if (script.stderr) write('stderr', script.stderr);
  for (let left = script.bytes ?? 0; left > 0; left -= 65_536)
    write('stdout', Buffer.alloc(Math.min(left, 65_536), 'x'));
  if (script.wait) await new Promise((resolve) => setTimeout(resolve, script.wait));
  if (script.forever) return { signal: await killed };
  return { exitCode: script.status ?? 0 };
};

/** One of its own for each test. */
export interface Setting {
  readonly host: TestHost;
  readonly core: Core;
  readonly warden: Warden;
}

/**
 * Gives each test of the file a daemon that has just started, with its first session, and ends that which is
 * `current` behind it: a test may have put another one in its place.
 */
export function eachAnew(take: (setting: Setting) => void, current: () => Core): void {
  let host: TestHost;
  beforeEach(async () => {
    host = new TestHost({ program });
    fs.writeFileSync(path.join(host.rootfs, 'file'), 'base');
    const core = await host.start();
    take({ host, core, warden: core.openSession() });
  });
  afterEach(async () => {
    vi.useRealTimers();
    vi.unstubAllEnvs();
    await current().close();
    host.remove();
  });
}

/** As a job is given it. */
export const script = (value: Script): string => JSON.stringify(value);
/** Output, to compare. */
export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
/** Runs a job to its end. */
export async function run(
  box: Container,
  value: Script,
): Promise<{ stdout: string; stderr: string; exitStatus: number }> {
  const { stdout, stderr, exitStatus } = await (await box.spawn(script(value))).link();
  return { stdout: text(stdout), stderr: text(stderr), exitStatus };
}
