/** `log_tag`: lines of jobs in syslog. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, startDaemon, type TestDaemon, withDaemon } from '@warden/test-harness';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { text } from './text.ts';
import { touchInside } from './touch-inside.ts';

/** Something that listens like a syslog daemon; Node has no datagram sockets of this kind. */
class Receiver {
  readonly #child: ReturnType<typeof spawn>;
  #bytes = Buffer.alloc(0);

  constructor(file: string) {
    fs.rmSync(file, { force: true });
    const script = [
      'import socket, struct, sys',
      's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)',
      's.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)',
      's.bind(sys.argv[1])',
      'sys.stdout.buffer.write(struct.pack(">I", 0)); sys.stdout.flush()',
      'while True:',
      '    m = s.recv(1 << 20)',
      '    sys.stdout.buffer.write(struct.pack(">I", len(m)) + m); sys.stdout.flush()',
    ].join('\n');
    this.#child = spawn('python3', ['-c', script, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child.stdout!.on('data', (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
    });
  }

  async ready(): Promise<void> {
    await expect.poll(() => this.#bytes.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(4);
  }

  /** Whole datagrams. */
  get messages(): string[] {
    const found: string[] = [];
    for (let at = 4; at + 4 <= this.#bytes.length; ) {
      const length = this.#bytes.readUInt32BE(at);
      if (at + 4 + length > this.#bytes.length) break;
      found.push(this.#bytes.toString('latin1', at + 4, at + 4 + length));
      at += 4 + length;
    }
    return found;
  }

  /** Datagrams without their time. */
  get lines(): string[] {
    return this.messages.map((message) => message.replace(/^(<\d+>)\w{3} [ \d]\d \d\d:\d\d:\d\d /, '$1'));
  }

  async close(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

const SOCKET = `/tmp/warden-syslog-${process.pid}`;

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'a job with a log tag', () => {
  const suite = withDaemon({ config: { server: { syslog_socket: SOCKET } } });
  let receiver: Receiver;
  beforeEach(async () => {
    receiver = new Receiver(SOCKET);
    await receiver.ready();
  });
  afterEach(async () => {
    await receiver.close();
    fs.rmSync(SOCKET, { force: true });
  });

  it('has every line in syslog, stdout as <14>, stderr as <11>, and its output still collected [behaviour 6.4 log_tag]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const result = await box.run('echo one; echo; printf "last"; echo bad >&2', { logTag: 'app' });
    expect([text(result.stdout), text(result.stderr)]).toEqual(['one\n\nlast', 'bad\n']);
    await expect
      .poll(() => [...receiver.lines].sort(), { timeout: 10_000 })
      .toEqual(['<11>warden.app: bad', '<14>warden.app: ', '<14>warden.app: last', '<14>warden.app: one']);
    expect(receiver.messages[0]).toMatch(/^<1[14]>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d warden\.app: /);
  });

  it('is logged though its output is discarded [behaviour 6.4 log_tag]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const job = await box.spawn('echo seen nowhere else', { logTag: 'quiet', discardOutput: true });
    expect((await job.result()).stdout.length).toBe(0);
    await expect
      .poll(() => receiver.lines, { timeout: 10_000 })
      .toEqual(['<14>warden.quiet: seen nowhere else']);
  });

  it('can do no harm by its tag or its lines [behaviour 20.20]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const tag = '; touch /tmp/owned\n<0>root: `x` ü';
    await box.run('printf "a\\0b\\r\\n<0>kernel: no\\n"', { logTag: tag });
    const clean = 'warden.;_touch_/tmp/owned_<0>root:_`x`__';
    await expect
      .poll(() => receiver.lines, { timeout: 10_000 })
      .toEqual([`<14>${clean}: a#000b\r`, `<14>${clean}: <0>kernel: no`]);
    expect(fs.existsSync('/tmp/owned')).toBe(false);
    await box.run('echo x', { logTag: 'y'.repeat(100_000) });
    await expect
      .poll(() => receiver.lines.at(-1), { timeout: 10_000 })
      .toBe(`<14>warden.${'y'.repeat(256)}: x`);
  });

  it('has a line of 1 MiB in pieces of 8 KiB [behaviour 6.4 log_tag]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const result = await box.run('head -c 1048576 /dev/zero | tr "\\0" x; echo; echo next', {
      logTag: 'long',
    });
    expect(result.stdout.length).toBe(1_048_576 + 6);
    await expect.poll(() => receiver.lines.length, { timeout: 20_000 }).toBe(129);
    expect(new Set(receiver.lines.slice(0, 128))).toEqual(new Set([`<14>warden.long: ${'x'.repeat(8192)}`]));
    expect(receiver.lines[128]).toBe('<14>warden.long: next');
  });

  it('does not hold up anybody though it prints lines as fast as it can [behaviour 6.4 log_tag]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const job = await box.spawn('yes', { logTag: 'flood', discardOutput: true });
    await expect.poll(() => receiver.lines.length, { timeout: 20_000 }).toBeGreaterThan(1_000);
    let slowest = 0;
    for (let at = 0; at < 50; at++) {
      const began = performance.now();
      await warden.ping();
      slowest = Math.max(slowest, performance.now() - began);
    }
    expect(slowest).toBeLessThan(2_000);
    await job.kill();
    expect((await job.result()).exitStatus).toBe(255);
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'a syslog socket that does not work', () => {
  it.each(['missing', 'full'] as const)(
    'because it is %s neither fails nor blocks a job, and is told once [behaviour 6.4 log_tag]',
    async (what) => {
      const file = `/tmp/warden-syslog-${process.pid}-${what}`;
      const daemon = await startDaemon({ config: { server: { syslog_socket: file } } });
      // bound, and never read
      const script =
        'import socket, sys, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\ntime.sleep(600)';
      const idle = what === 'full' ? spawn('python3', ['-c', script, file], { stdio: 'inherit' }) : undefined;
      try {
        if (idle) await expect.poll(() => fs.existsSync(file), { timeout: 10_000 }).toBe(true);
        const box = await (await daemon.connect()).create();
        for (let at = 0; at < 3; at++) {
          const result = await box.run('seq 1 20000; exit 7', { logTag: 'x' });
          expect([text(result.stdout).split('\n').length, result.exitStatus]).toEqual([20_001, 7]);
        }
        const told = (): number => daemon.readLog().split('syslog-lines-dropped').length - 1;
        await expect.poll(told, { timeout: 10_000 }).toBe(1);
        await box.run('seq 1 20000', { logTag: 'x' });
        expect(told()).toBe(1);
      } finally {
        idle?.kill('SIGKILL');
        await daemon.stop();
        await daemon.place.remove();
        fs.rmSync(file, { force: true });
      }
    },
  );
});

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'a log tag over a restart', () => {
  it.each(['SIGKILL', 'SIGUSR2'] as const)(
    'is honoured after %s: nothing twice, nothing missing, a line that was cut is whole [behaviour 10 log_tag]',
    async (signal) => {
      const file = `/tmp/warden-syslog-${process.pid}-restart`;
      const receiver = new Receiver(file);
      const config = { server: { syslog_socket: file } };
      let daemon: TestDaemon = await startDaemon({ config });
      const { place } = daemon;
      try {
        await receiver.ready();
        const box = await (await daemon.connect()).create();
        const { containerPath = '' } = await box.info();
        const job = await box.spawn(
          'echo before; printf "half "; until [ -e /tmp/away ]; do sleep 0.02; done; echo whole; echo while away; touch /tmp/printed; until [ -e /tmp/go ]; do sleep 0.02; done; echo after',
          { logTag: 'kept' },
        );
        await expect.poll(() => receiver.lines, { timeout: 10_000 }).toEqual(['<14>warden.kept: before']);
        await daemon.kill(signal);
        touchInside(containerPath, '/tmp/away');
        await expect
          .poll(() => fs.existsSync(path.join(containerPath, 'tmp/rootfs/tmp/printed')), { timeout: 20_000 })
          .toBe(true);
        daemon = await startDaemon({ place, config });
        touchInside(containerPath, '/tmp/go');
        const again = (await daemon.connect()).container(box.handle);
        expect(text((await again.job(job.id).link()).stdout)).toBe('before\nhalf whole\nwhile away\nafter\n');
        await expect
          .poll(() => receiver.lines, { timeout: 10_000 })
          .toEqual(['before', 'half whole', 'while away', 'after'].map((line) => `<14>warden.kept: ${line}`));
      } finally {
        await daemon.stop();
        await daemon.kill();
        await place.remove();
        await receiver.close();
        fs.rmSync(file, { force: true });
      }
    },
    60_000,
  );
});
