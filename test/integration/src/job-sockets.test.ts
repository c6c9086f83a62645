/** Sockets by which log agents read the output of jobs that are not just run. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer, WardenClient } from '@warden/client';
import { describeWith, startDaemon, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';
import { touchInside } from './touch-inside.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

/** A log agent. */
class Agent {
  readonly socket: net.Socket;
  bytes: Buffer = Buffer.alloc(0);
  isEnded = false;

  constructor(file: string) {
    this.socket = net.connect(file);
    this.socket.on('data', (chunk) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
    });
    this.socket.on('end', () => {
      this.isEnded = true;
    });
    this.socket.on('error', () => {
      this.isEnded = true;
    });
  }

  get position(): number {
    return this.bytes.readUInt32BE(0);
  }

  get output(): string {
    return this.bytes.subarray(4).toString();
  }

  async end(): Promise<this> {
    await expect.poll(() => this.isEnded, { timeout: 30_000 }).toBe(true);
    return this;
  }
}

async function directoryOf(box: ClientContainer, job: number): Promise<string> {
  return path.join((await box.info()).containerPath!, 'jobs', String(job));
}

async function waitForFile(box: ClientContainer, name: string): Promise<void> {
  const file = path.join((await box.info()).containerPath!, 'tmp/rootfs', name);
  await expect.poll(() => fs.existsSync(file), { timeout: 20_000 }).toBe(true);
}

/** Lets jobs that wait for `/tmp/<name>` go on. */
async function release(box: ClientContainer, name: string): Promise<void> {
  await box.run(`touch /tmp/${name}`);
}

const WAIT = (name: string): string => `until [ -e /tmp/${name} ]; do sleep 0.02; done`;

describeWith(['root', 'isolated', 'overlayfs'], 'the sockets of a job', () => {
  const suite = withDaemon();
  const connect = (): Promise<WardenClient> => suite.daemon.connect();

  it('tell the position of the first byte, then all that was printed, then what comes, until the end [behaviour 6.2 sockets] [linux-container 13.2]', async () => {
    await using box = await (await connect()).create();
    const job = await box.spawn(
      `echo early; echo early error >&2; touch /tmp/began; ${WAIT('go')}; echo late; exit 9`,
    );
    await waitForFile(box, 'tmp/began');
    const directory = await directoryOf(box, job.id);
    const [out, error, status] = ['stdout', 'stderr', 'status'].map(
      (name) => new Agent(path.join(directory, `${name}.sock`)),
    );
    await expect.poll(() => out!.output, { timeout: 10_000 }).toBe('early\n');
    await release(box, 'go');
    await Promise.all([out!.end(), error!.end(), status!.end()]);
    expect([out!.position, out!.output]).toEqual([0, 'early\nlate\n']);
    expect([error!.position, error!.output]).toEqual([0, 'early error\n']);
    expect(status!.bytes.toString('hex')).toBe('00000900');
    // unlinked with the end; the directory goes with the result
    await expect
      .poll(() => fs.readdirSync(directory).filter((name) => name.endsWith('.sock')), SOON)
      .toEqual([]);
    expect((await job.result()).exitStatus).toBe(9);
    await expect.poll(() => fs.existsSync(directory), { timeout: 10_000 }).toBe(false);
  });

  it('begin with the last 65535 bytes for a reader that comes late [behaviour 6.2 replay]', async () => {
    await using box = await (await connect()).create();
    const job = await box.spawn(`seq 1 30000; touch /tmp/printed; ${WAIT('go')}; echo end`);
    await waitForFile(box, 'tmp/printed');
    const whole = `${Array.from({ length: 30_000 }, (_, at) => at + 1).join('\n')}\n`;
    const file = path.join(await directoryOf(box, job.id), 'stdout.sock');
    await expect
      .poll(
        async () => {
          const agent = new Agent(file);
          await expect.poll(() => agent.bytes.length, SOON).toBeGreaterThan(4);
          agent.socket.destroy();
          return agent.position;
        },
        { timeout: 20_000 },
      )
      .toBe(whole.length - 65_535);
    const late = new Agent(file);
    await expect.poll(() => late.bytes.length, { timeout: 10_000 }).toBe(4 + 65_535);
    await release(box, 'go');
    await late.end();
    expect(late.output).toBe(`${whole.slice(-65_535)}end\n`);
  });

  it('work without keeping output that is to be discarded, and are how the production client reads it [behaviour 19.1 Spawn]', async () => {
    await using box = await (await connect()).create();
    const job = await box.spawn(`${WAIT('go')}; echo to the agent; echo error >&2`, { discardOutput: true });
    const directory = await directoryOf(box, job.id);
    const agents = ['stdout', 'stderr'].map((name) => new Agent(path.join(directory, `${name}.sock`)));
    await Promise.all(agents.map(({ socket }) => once(socket, 'connect')));
    await release(box, 'go');
    await Promise.all(agents.map((agent) => agent.end()));
    expect(agents.map(({ output }) => output)).toEqual(['to the agent\n', 'error\n']);
    expect(fs.readdirSync(directory).filter((name) => !name.endsWith('.sock'))).toEqual(['cursors']);
    const { stdout, stderr, exitStatus } = await job.result();
    expect([stdout.length, stderr.length, exitStatus]).toEqual([0, 0, 0]);
  });

  it('serve several readers the same, and tell each the raw status of a death by signal [linux-container 13.2 readers]', async () => {
    await using box = await (await connect()).create();
    const job = await box.spawn(`echo 1; ${WAIT('go')}; echo 2; kill -9 $$`);
    const directory = await directoryOf(box, job.id);
    const readers = [1, 2, 3].map(() => new Agent(path.join(directory, 'stdout.sock')));
    const status = [1, 2, 3].map(() => new Agent(path.join(directory, 'status.sock')));
    await Promise.all([...readers, ...status].map(({ socket }) => once(socket, 'connect')));
    await release(box, 'go');
    for (const reader of readers) expect((await reader.end()).output).toBe('1\n2\n');
    for (const one of status) expect((await one.end()).bytes.toString('hex')).toBe('00000009');
  });

  it('a reader that does not read holds neither the job nor other readers up for ever [behaviour 20.18]', async () => {
    await using box = await (await connect()).create();
    const size = 8_000_000;
    const job = await box.spawn(`${WAIT('go')}; head -c ${size} /dev/zero; exit 3`, { discardOutput: true });
    const file = path.join(await directoryOf(box, job.id), 'stdout.sock');
    const asleep = net.connect(file);
    asleep.on('error', () => {});
    await once(asleep, 'connect');
    asleep.pause();
    const other = new Agent(file);
    await once(other.socket, 'connect');
    await release(box, 'go');
    expect((await job.result()).exitStatus).toBe(3);
    expect((await other.end()).bytes.length).toBe(4 + size);
    asleep.destroy();
    expect(suite.daemon.readLog()).toContain('job-reader-too-slow');
  }, 60_000);

  it('a reader that goes away in the middle changes nothing [linux-container 13.2 reader gone]', async () => {
    await using box = await (await connect()).create();
    const job = await box.spawn('for i in $(seq 1 2000); do echo $i; done; exit 2');
    const file = path.join(await directoryOf(box, job.id), 'stdout.sock');
    for (let at = 0; at < 20; at++)
      net
        .connect(file)
        .on('error', () => {})
        .destroy();
    const result = await job.result();
    expect([text(result.stdout).split('\n').length, result.exitStatus]).toEqual([2_001, 2]);
  });

  it("are root's alone: 0660, not the original's 0766 [behaviour 20.18 mode]", async () => {
    await using box = await (await connect()).create();
    const job = await box.spawn('sleep 60');
    const directory = await directoryOf(box, job.id);
    for (const name of ['stdout', 'stderr', 'status']) {
      const facts = fs.statSync(path.join(directory, `${name}.sock`));
      expect([facts.isSocket(), facts.mode & 0o777, facts.uid]).toEqual([true, 0o660, 0]);
    }
    await job.kill();
  });

  it('are not made for a job that is run [behaviour 5 Run]', async () => {
    await using box = await (await connect()).create();
    const running = box.run(`touch /tmp/began; ${WAIT('go')}`);
    await waitForFile(box, 'tmp/began');
    const { containerPath, jobIds } = await box.info();
    expect(jobIds).toHaveLength(1);
    expect(fs.readdirSync(path.join(containerPath!, 'jobs'))).toEqual([]);
    await release(box, 'go');
    await running;
    expect(fs.readdirSync(path.join(containerPath!, 'jobs'))).toEqual([]);
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'the sockets of a job over a restart', () => {
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGUSR2'] as const) {
    for (const discardOutput of [true, false]) {
      it(`are served again after ${signal}, ${discardOutput ? 'discarded' : 'kept'} output with its position [behaviour 10 discard_output]`, async () => {
        let daemon = await startDaemon();
        const { place } = daemon;
        try {
          const box = await (await daemon.connect()).create();
          const job = await box.spawn(
            `echo before; touch /tmp/began; ${WAIT('away')}; echo while away; touch /tmp/printed; ${WAIT('go')}; echo after; exit 5`,
            { discardOutput },
          );
          await waitForFile(box, 'tmp/began');
          const directory = await directoryOf(box, job.id);
          const rootfs = path.join(directory, '../../tmp/rootfs/tmp');
          const touch = (name: string): void => touchInside(path.join(directory, '../..'), `/tmp/${name}`);
          const agent = new Agent(path.join(directory, 'stdout.sock'));
          await expect.poll(() => agent.output, { timeout: 10_000 }).toBe('before\n');
          await daemon.kill(signal);
          await agent.end();
          if (signal !== 'SIGKILL')
            expect(fs.readFileSync(path.join(directory, 'cursors')).readUInt32BE(0)).toBe(7);
          touch('away');
          await expect
            .poll(() => fs.existsSync(path.join(rootfs, 'printed')), { timeout: 20_000 })
            .toBe(true);

          daemon = await startDaemon({ place });
          const again = (await daemon.connect()).container(box.handle);
          const [out, status] = ['stdout', 'status'].map(
            (name) => new Agent(path.join(directory, `${name}.sock`)),
          );
          await expect.poll(() => out!.output, { timeout: 10_000 }).toContain('while away\n');
          touch('go');
          await Promise.all([out!.end(), status!.end()]);
          expect([out!.position, out!.output]).toEqual(
            discardOutput ? [7, 'while away\nafter\n'] : [0, 'before\nwhile away\nafter\n'],
          );
          expect(status!.bytes.toString('hex')).toBe('00000500');
          const result = await again.job(job.id).link();
          expect([text(result.stdout), result.exitStatus]).toEqual([
            discardOutput ? '' : 'before\nwhile away\nafter\n',
            5,
          ]);
        } finally {
          await daemon.stop();
          await daemon.kill();
          await place.remove();
        }
      }, 60_000);
    }
  }
});

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'compat.job_sockets', () => {
  it('off: no sockets; a mode of the operator is taken as given [config compat]', async () => {
    for (const compat of [{ job_sockets: false }, { job_sockets_mode: 0o766 }]) {
      const daemon = await startDaemon({ config: { compat } });
      try {
        const box = await (await daemon.connect()).create();
        const job = await box.spawn('echo x; sleep 60');
        await delay(50);
        const directory = await directoryOf(box, job.id);
        if ('job_sockets' in compat) {
          const names = fs.existsSync(directory) ? fs.readdirSync(directory) : [];
          expect(names.filter((name) => name.endsWith('.sock'))).toEqual([]);
        } else {
          expect(fs.statSync(path.join(directory, 'stdout.sock')).mode & 0o777).toBe(0o766);
        }
      } finally {
        await daemon.stop();
        await daemon.place.remove();
      }
    }
  });

  it('others than root connect where the mode of the sockets and of the depot lets them [config compat]', async () => {
    const connects = (file: string): string => {
      const program =
        'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print("connected")';
      const words = [
        '--reuid=54321',
        '--regid=54321',
        '--clear-groups',
        '--',
        'python3',
        '-c',
        program,
        file,
      ];
      // a python3 in root's home is nobody else's
      const env = { ...process.env, PATH: `/usr/bin:/bin:${process.env.PATH}` };
      const { stdout, stderr } = spawnSync('setpriv', words, { encoding: 'utf8', timeout: 60_000, env });
      return /PermissionError/.exec(stderr)?.[0] ?? `${stdout}${stderr}`.trim();
    };
    const daemon = await startDaemon({ config: { compat: { job_sockets_mode: 0o766 } } });
    try {
      const { directory, depot } = daemon.place;
      fs.chmodSync(directory, 0o755); // the test's own, which is root's alone as well
      const box = await (await daemon.connect()).create();
      const job = await box.spawn('sleep 60');
      const socket = path.join(await directoryOf(box, job.id), 'stdout.sock');
      await expect.poll(() => fs.existsSync(socket), SOON).toBe(true);
      expect(connects(socket)).toBe('PermissionError');
      fs.chmodSync(depot, 0o711);
      expect(connects(socket)).toBe('connected');
      fs.chmodSync(socket, 0o660);
      expect(connects(socket)).toBe('PermissionError');
    } finally {
      await daemon.stop();
      await daemon.place.remove();
    }
  });
});
