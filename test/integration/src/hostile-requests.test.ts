/** Requests that are well formed and mean harm: strings, numbers, states, crowds. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '@warden/client';
import { isWardenError } from '@warden/interface';
import {
  type DecodedMessage,
  decodeMessage,
  encodeFrame,
  encodeMessage,
  FrameDecoder,
  MessageType,
} from '@warden/protocol';
import { describeWith, patience, startDaemon, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';
import { until } from './until.ts';

describeWith(['root', 'isolated', 'overlayfs'], 'strings of a client', () => {
  const suite = withDaemon();

  it('with zeros, escapes and bytes that are no text are kept or refused, and name nothing else [SECURITY P15, P17]', async () => {
    const warden = await suite.daemon.connect();
    const { place } = suite.daemon;
    const outside = path.join(place.directory, 'outside');
    fs.mkdirSync(outside, { recursive: true });
    fs.writeFileSync(path.join(outside, 'file'), 'untouched');
    const odd = [
      '',
      '..',
      '../..',
      '/',
      '/etc',
      'a/b',
      '-rf',
      'a\nb',
      '\u001b[2J',
      '😀',
      '\udcff\udcfe',
      'x'.repeat(4_096),
      '$(id)',
      'a\0b',
    ];
    for (const handle of odd) {
      await using box = await warden.create({ handle });
      const { containerPath } = await box.info();
      // The depot knows ids alone.
      expect(path.dirname(containerPath!)).toBe(place.depot);
      expect(path.basename(containerPath!)).toMatch(/^[0-9a-z]{11}$/);
      expect(text((await box.run('echo alive')).stdout)).toBe('alive\n');
      expect(await warden.list()).toEqual([handle]);
    }
    await using box = await warden.create({ handle: 'strings' });
    const failures: string[] = [];
    const refused = async (what: string, action: () => Promise<unknown>): Promise<void> => {
      try {
        await action();
        failures.push(`${what}: accepted`);
      } catch (error) {
        if (!isWardenError(error) || error.code === 'INTERNAL') failures.push(`${what}: ${String(error)}`);
      }
    };
    for (const bad of [
      `${outside}/file\0`,
      '\0',
      'a\0/etc',
      '/'.repeat(5_000),
      `/${'n'.repeat(5_000)}`,
      '/proc/self/fd/99/x',
    ]) {
      await refused('rootfs', () => warden.create({ rootfs: bad }));
      await refused('source', () =>
        warden.create({ bindMounts: [{ source: bad, target: '/x', mode: 'ro' }] }),
      );
      await refused('target', () =>
        warden.create({ bindMounts: [{ source: outside, target: `/${bad}`, mode: 'ro' }] }),
      );
      await refused('network', () => warden.create({ network: bad }));
      await refused('copyIn source', () => box.copyIn(bad, '/tmp/'));
      await refused('copyIn target', () => box.copyIn(`${outside}/file`, bad));
      await refused('copyOut source', () => box.copyOut(bad, outside));
      await refused('copyOut target', () => box.copyOut('/etc/passwd', bad));
      await refused('owner', () => box.copyOut('/etc/passwd', outside, bad));
    }
    expect(failures).toEqual([]);
    expect(fs.readdirSync(outside)).toEqual(['file']);
    expect(fs.readFileSync(path.join(outside, 'file'), 'utf8')).toBe('untouched');
    expect(await warden.list()).toEqual(['strings']);
  }, 240_000);

  it('in a script are given to the shell byte by byte', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const bytes = Buffer.concat([
      Buffer.from('printf %s "'),
      Buffer.from([0xff, 0xc3, 0x28, 0x01, 0x1b]),
      Buffer.from('" | od -An -tx1'),
    ]);
    expect(text((await box.run(bytes)).stdout).trim()).toBe('ff c3 28 01 1b');
  });

  it('and numbers at their ends are taken exactly or refused [SECURITY P18, P22]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const most = (1n << 64n) - 1n;
    for (const value of [0n, 1n, most, 1n << 63n, (1n << 53n) + 1n, -1n]) {
      for (const [name, action] of [
        ['memory', () => box.limitMemory(value)],
        ['cpu', () => box.limitCpu(value)],
        ['bandwidth', () => box.limitBandwidth({ rate: value, burst: value })],
      ] as const) {
        const outcome = await action().then(
          (answer) => answer,
          (error: unknown) => error,
        );
        if (isWardenError(outcome))
          expect(outcome.code, `${name} ${value}: ${outcome.message}`).not.toBe('INTERNAL');
        else
          expect(
            outcome === undefined || typeof outcome === 'bigint',
            `${name} ${value}: ${String(outcome)}`,
          ).toBe(true);
      }
    }
    expect(text((await box.run('echo alive')).stdout)).toBe('alive\n');
    for (const id of [0, 4_294_967_295, 2_147_483_648])
      await expect(box.job(id).link()).rejects.toMatchObject({ code: 'UNKNOWN_JOB', message: 'no such job' });
  }, 120_000);
});

describeWith(['root', 'isolated', 'overlayfs'], 'a crowd of clients', () => {
  const suite = withDaemon();
  const waits = (): number => suite.daemon.readLog().match(/"request":"(?:Link|Stream)"/g)?.length ?? 0;

  it('of 300 links and streams of one job all get its end and its output [SECURITY P20]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create({ handle: 'crowd' });
    const job = await box.spawn('read -t 600 < <(sleep 600); echo never');
    const slow = await box.spawn('while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done; exit 7');
    const clients = await Promise.all(
      Array.from({ length: 300 }, () => connect({ path: suite.daemon.place.socket })),
    );
    try {
      const waiting = clients.map(async (client, n) => {
        const same = client.container('crowd').job(slow.id);
        if (n % 3 > 0) {
          const result = await same.link();
          return `${result.exitStatus} ${text(result.stdout)}`;
        }
        let output = '';
        const stream = same.stream();
        for (;;) {
          const next = await stream.next();
          if (next.done) return `${next.value.exitStatus} ${output}`;
          output += text(next.value.data);
        }
      });
      const all = Promise.allSettled(waiting);
      await until(() => waits() === clients.length); // whoever asks behind the end finds no job
      await box.run('touch /tmp/go', { privileged: true });
      const outcomes = (await all).map((one) =>
        one.status === 'fulfilled' ? one.value : String(one.reason),
      );
      const kinds = new Map<string, number>();
      for (const one of outcomes) kinds.set(one, (kinds.get(one) ?? 0) + 1);
      expect([...kinds]).toEqual([['7 done\n', 300]]);
      await job.kill({ signal: 9, tree: true });
    } finally {
      await Promise.all(clients.map((client) => client.close()));
    }
    await expect(box.job(4_000_000).link()).rejects.toMatchObject({ message: 'no such job' });
  }, 240_000);
});

/** One connection and no more: a client object opens others when it needs them. */
async function oneConnection(
  socketPath: string,
): Promise<(type: number, payload: object) => Promise<DecodedMessage>> {
  const socket = net.connect(socketPath);
  const decoder = new FrameDecoder();
  const answers: DecodedMessage[] = [];
  socket.on('data', (chunk) => {
    for (const frame of decoder.push(chunk)) answers.push(decodeMessage(frame, 'response'));
  });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return async (type, payload) => {
    socket.write(encodeFrame(encodeMessage(type, payload)));
    while (answers.length === 0 && !socket.destroyed) await delay(5);
    const answer = answers.shift();
    if (answer === undefined) throw new Error('the connection ended without an answer');
    return answer;
  };
}

describeWith(['root', 'isolated', 'overlayfs'], 'more connections than descriptors', () => {
  it('leave room for the work of those that were there, and go when they close [SECURITY P07]', async () => {
    const daemon = await startDaemon({
      wrapper: ['prlimit', '--nofile=256:256'],
      // jobs cannot have more open files than the daemon
      config: { logging: { level: 'info' }, server: { container_rlimits: { nofile: 128 } } },
    });
    try {
      const ask = await oneConnection(daemon.place.socket);
      await ask(MessageType.Create, { handle: 'old' });
      const program = `
        const net = require('node:net');
        for (let n = 0; n < 2000; n++) net.connect(process.argv[1]).on('error', () => {});
        setTimeout(() => console.log('ready'), 1500);`;
      const words = ['--nofile=4096:4096', process.execPath, '-e', program, daemon.place.socket];
      const flood = spawn('prlimit', words, { stdio: ['ignore', 'pipe', 'inherit'] });
      const types: number[] = [];
      try {
        await once(flood.stdout, 'data');
        const script = new Uint8Array(Buffer.from('echo works'));
        types.push((await ask(MessageType.Ping, {})).type);
        for (let n = 0; n < 5; n++) {
          const { type, payload } = await ask(MessageType.Run, { handle: 'old', script });
          types.push(type);
          expect(text((payload as { stdout: Uint8Array }).stdout)).toBe('works\n');
        }
        types.push((await ask(MessageType.Create, { handle: 'fresh' })).type);
        types.push((await ask(MessageType.Destroy, { handle: 'fresh' })).type);
      } finally {
        flood.kill('SIGKILL');
        await once(flood, 'exit');
      }
      const { Ping, Run, Create, Destroy } = MessageType;
      expect(types).toEqual([Ping, Run, Run, Run, Run, Run, Create, Destroy]);
      const served = async (): Promise<number> =>
        (await (await oneConnection(daemon.place.socket))(Ping, {})).type;
      await expect.poll(served, { timeout: patience(20_000) }).toBe(Ping);
      // Once a second at most, however many there were.
      const lines = daemon.readLog().match(/connection-refused/g) ?? [];
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.length).toBeLessThan(60);
    } finally {
      await daemon.stop();
      await daemon.kill();
      await daemon.place.remove();
    }
  }, 240_000);
});

describeWith(['root', 'isolated', 'overlayfs'], 'a container in each state', () => {
  const suite = withDaemon();

  it('answers every request by what the state admits, and the daemon goes on [SECURITY P19]', async () => {
    const warden = await suite.daemon.connect();
    await using stopped = await warden.create({ handle: 'stopped' });
    const { id } = await stopped.spawn('echo out');
    await stopped.stop();
    const requests = (handle: string): Readonly<Record<string, () => Promise<unknown>>> => {
      const box = warden.container(handle);
      return {
        info: () => box.info(),
        stop: () => box.stop(),
        spawn: () => box.spawn('true'),
        run: () => box.run('true'),
        link: () => box.job(id).link(),
        netIn: () => box.netIn(),
        netOut: () => box.netOut({ port: 1 }),
        copyIn: () => box.copyIn('/etc/hostname', '/tmp/'),
        copyOut: () => box.copyOut('/etc/passwd', `${suite.daemon.place.directory}/copied/`),
        limitMemory: () => box.limitMemory(),
        limitCpu: () => box.limitCpu(),
        limitBandwidth: () => box.limitBandwidth({ rate: 1_000_000n, burst: 100_000n }),
      };
    };
    const outcome = async (action: () => Promise<unknown>): Promise<string> =>
      action().then(
        () => 'ok',
        (error: unknown) => (isWardenError(error) ? `${error.code}: ${error.message}` : String(error)),
      );
    const found: Record<string, string> = {};
    for (const [name, action] of Object.entries(requests('stopped'))) found[name] = await outcome(action);
    const wrong = "BAD_STATE: Container state must be one of 'active', current state is 'stopped'";
    for (const name of ['spawn', 'run', 'netIn', 'netOut', 'copyIn'])
      expect([name, found[name]]).toEqual([name, wrong]);
    for (const [name, said] of Object.entries(found)) expect(said, name).not.toMatch(/INTERNAL/);
    for (const [name, action] of Object.entries(requests('never')))
      expect([name, await outcome(action)]).toEqual([name, 'UNKNOWN_HANDLE: unknown handle']);
    // Being made and being unmade at the same time, over and over.
    const errors: string[] = [];
    for (let round = 0; round < 5; round++) {
      const making = warden.create({ handle: 'busy' });
      const during = await Promise.all(Object.values(requests('busy')).map(outcome));
      await making;
      const destroying = warden.container('busy').destroy();
      const after = await Promise.all(Object.values(requests('busy')).map(outcome));
      await destroying;
      errors.push(...[...during, ...after].filter((said) => /INTERNAL/.test(said)));
    }
    expect(errors).toEqual([]);
    expect(await warden.list()).toEqual(['stopped']);
  }, 240_000);
});
