/** A depot with one busybox root, and specs for containers and jobs in it. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  type Init,
  type InitDriver,
  type InitJob,
  type InitSpec,
  type JobSpec,
  type LogFields,
  type Logger,
  silentLogger,
  UNCONFINED,
} from '@warden/interface';
import { expect } from 'vitest';
import { type WshdOptions, wshd } from '../src/index.ts';

const APPLETS = [
  'sh',
  'cat',
  'sleep',
  'id',
  'stty',
  'kill',
  'head',
  'tail',
  'ls',
  'printf',
  'hostname',
  'grep',
  'env',
  'touch',
  'sha256sum',
  'seq',
  'stat',
];

export class Depot {
  readonly directory: string = mkdtempSync('/tmp/wshd-test-');
  readonly root: string = join(this.directory, 'root');
  readonly path: string = join(this.directory, 'depot');
  readonly lines: { event: string; fields: LogFields | undefined }[] = [];

  constructor() {
    for (const name of ['', 'bin', 'etc', 'tmp', 'home', 'proc', 'dev', 'mnt', 'root'])
      mkdirSync(join(this.root, name));
    copyFileSync('/usr/bin/busybox', join(this.root, 'bin/busybox'));
    for (const name of APPLETS) symlinkSync('busybox', join(this.root, 'bin', name));
    writeFileSync(join(this.root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
    writeFileSync(join(this.root, 'etc/group'), 'root:x:0:\n');
    mkdirSync(this.path);
  }

  get logger(): Logger {
    const take = (event: string, fields?: LogFields): void => {
      this.lines.push({ event, fields });
    };
    return { ...silentLogger, debug: take, info: take, warn: take, error: take, child: () => this.logger };
  }

  async driver(options: WshdOptions = {}): Promise<InitDriver> {
    const driver = wshd(options)({ logger: this.logger });
    await driver.setup(this.path);
    return driver;
  }

  /** With one hook of an operator's, in a directory of its own. */
  async driverWithHook(name: string, script: string): Promise<InitDriver> {
    const hooksDirectory = mkdtempSync(join(this.directory, 'hooks-'));
    writeFileSync(join(hooksDirectory, `hook-${name}.sh`), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return await this.driver({ hooksDirectory });
  }

  spec(id: string, changes: Partial<InitSpec> = {}): InitSpec {
    return {
      id,
      directory: join(this.path, id),
      hostname: id,
      config: [['id', id]],
      hookEnvironment: { id },
      mounts: [{ type: 'none', source: this.root, target: '/', options: ['bind', 'rw'] }],
      bindMounts: [],
      network: undefined,
      cgroupJoinFiles: [],
      user: { name: 'vcap', uid: 10_007, gid: 10_007, home: '/home/vcap', shell: '/bin/sh' },
      hosts: '127.0.0.1 localhost\n',
      resolvConf: 'nameserver 10.0.0.1\n',
      confinement: UNCONFINED,
      nice: 0,
      ...changes,
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Processes of the host whose command line or title names this depot's containers. */
  processes(...ids: string[]): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
      .map((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        } catch {
          return '';
        }
      })
      .filter((line) => line.includes(this.directory) || ids.some((id) => line.includes(`wshd: ${id}`)));
  }
}

export function shell(id: number, script: string, changes: Partial<JobSpec> = {}): JobSpec {
  return {
    id,
    argv: ['/bin/sh', '-c', script],
    user: 'vcap',
    stdin: new Uint8Array(),
    environment: {},
    rlimits: [],
    discardOutput: false,
    trackTree: false,
    ...changes,
  };
}

export async function start(driver: InitDriver, spec: InitSpec): Promise<Init> {
  await driver.prepare(spec);
  return await (await driver.launch(spec)).proceed();
}

/** Collects both streams until the end. */
export async function output(job: InitJob): Promise<{ stdout: string; stderr: string }> {
  const read = (source: InitJob['stdout']): Promise<string> =>
    new Promise((resolve) => {
      const chunks: Buffer[] = [];
      source.start(
        (chunk) => chunks.push(chunk),
        () => resolve(Buffer.concat(chunks).toString('latin1')),
      );
    });
  const [stdout, stderr] = await Promise.all([read(job.stdout), read(job.stderr)]);
  return { stdout, stderr };
}

export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/**
 * That no more descriptors are open than before. What an earlier test or the runner had open may be closed meanwhile,
 * and what has ended may be closed a little later than its answer comes.
 */
export async function expectNoMoreDescriptors(before: number): Promise<void> {
  await expect.poll(openDescriptors, { timeout: 5_000 }).toBeLessThanOrEqual(before);
}
