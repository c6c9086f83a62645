import { execFile, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PACKAGE, PROGRAM } from './program.ts';
import { ScriptedDaemon } from './scripted-daemon.ts';

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await new ScriptedDaemon().start();
});
afterEach(() => daemon[Symbol.asyncDispose]());

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function warden(words: readonly string[], input?: string): Promise<Ended> {
  const env = { PATH: process.env.PATH, HOME: daemon.directory };
  const child = spawn(
    process.execPath,
    [path.join(PACKAGE, 'bin/warden.js'), '--socket', daemon.path, ...words],
    { env },
  );
  const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  child.stdout.on('data', (chunk: Buffer) => chunks.stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.stderr.push(chunk));
  child.stdin.end(input);
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  const text = (of: Buffer[]) => Buffer.concat(of).toString('latin1');
  return { status, stdout: text(chunks.stdout), stderr: text(chunks.stderr) };
}

describe('the program', () => {
  it('runs a single command and ends by itself [cli 1.1]', async () => {
    expect(await warden(['--', 'create', '--handle', 'h'])).toEqual({
      status: 0,
      stdout: 'handle : h\n',
      stderr: '',
    });
    expect(await warden(['--', 'run', '--handle', 'h', '--script', '42 out err'])).toEqual({
      status: 42,
      stdout: 'out',
      stderr: 'err',
    });
    expect((await warden(['--', 'nope'])).status).toBe(2);
  });

  it('runs a script from a pipe, without a prompt [cli 2 script]', async () => {
    const script = 'create --handle h\nrun --handle h --script "0 a b"\nlist\n';
    expect(await warden(['--trace', '--exit_on_error'], script)).toEqual({
      status: 0,
      stdout: '+ create --handle h\nhandle : h\n+ run --handle h --script 0 a b\na+ list\nhandles[0] : h\n',
      stderr: 'b',
    });
    expect((await warden(['--exit_on_error'], 'nope\nlist\n')).status).toBe(1);
  });

  it('ends the prompt on SIGINT with the text and 0 [cli 1.1 SIGINT]', async () => {
    const env = { PATH: process.env.PATH, HOME: daemon.directory };
    const child = spawn(process.execPath, [path.join(PACKAGE, 'bin/warden.js'), '--socket', daemon.path], {
      env,
    });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.stdout.once('data', () => child.kill('SIGINT'));
    child.stdin.write('echo --message ready\n');
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
    expect(stderr).toBe('\n\nExiting...\n');
  });

  it('passes bytes of its arguments and of jobs on unchanged [cli 3.1 string, 5]', () => {
    // A shell makes the bytes: Node itself hands only UTF-8 to a child.
    const line = `exec '${process.execPath}' '${PACKAGE}/bin/warden.js' --socket '${daemon.path}' -- echo --message "$(printf 'a\\377\\303\\251')"`;
    return new Promise<void>((resolve, reject) => {
      execFile('sh', ['-c', line], { encoding: 'latin1' }, (error, stdout) => {
        if (error) reject(error);
        else resolve(expect(stdout).toBe('message : a\xff\xc3\xa9\n'));
      });
    });
  });

  it('ends quietly when its output is closed early, also in the middle of a job [cli 5]', async () => {
    await warden(['--', 'create', '--handle', 'h']);
    const big = 'y'.repeat(3_000_000);
    const program = `'${process.execPath}' '${PACKAGE}/bin/warden.js' --socket '${daemon.path}'`;
    const script = path.join(daemon.directory, 'big');
    writeFileSync(script, `0 ${big}`);
    for (const line of [
      `${program} --help | true`,
      `${program} --extended -- run --handle h --script '@${script}' | head -c 3`,
      `yes ping | ${program} --trace | head -n 1`,
    ]) {
      const ended = await new Promise<string>((resolve, reject) => {
        const script = `${line}; echo " \${PIPESTATUS[-2]}"`;
        execFile('bash', ['-c', script], { timeout: 60_000 }, (error, stdout, stderr) =>
          error ? reject(error) : resolve(`${stdout.length} ${stdout.slice(-4, -1)} ${stderr}`),
        );
      });
      // with what was read, if anything, a blank, the status and a line end
      expect(ended).toMatch(/^(5|8|12) 141 $/);
    }
  }, 60_000);

  it('does not end before a slow reader has taken all output [cli 4.1 Output]', async () => {
    await warden(['--', 'create', '--handle', 'h']);
    const script = path.join(daemon.directory, 'big');
    writeFileSync(script, `4 ${'z'.repeat(2_000_000)}`);
    const { status, stdout } = await warden([
      '--extended',
      '--',
      'run',
      '--handle',
      'h',
      '--script',
      `@${script}`,
    ]);
    expect({ status, length: stdout.length }).toEqual({ status: 4, length: 2_000_000 });
  });

  it('exits with 1 and the text for wrong options, before anything is connected [cli 1, 1.1]', async () => {
    expect(await warden(['--nope', '--', 'list'])).toEqual({
      status: 1,
      stdout: '',
      stderr: 'invalid option: --nope\n',
    });
    expect(await warden(['--', 'echo', '--', 'x'])).toEqual({
      status: 1,
      stdout: '',
      stderr: "Delimiter: '--' specified multiple times.\n",
    });
  });
});

// wsh is replaced by a script that says how it was called; the real one is used by the integration suite.
describe.runIf(process.getuid?.() === 0)('shell [needs: root]', () => {
  const withInit = (script: string): void => {
    for (const name of ['bin', 'run']) mkdirSync(path.join(daemon.directory, 'c', name), { recursive: true });
    writeFileSync(path.join(daemon.directory, 'c/bin/wsh'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    writeFileSync(path.join(daemon.directory, 'c/run/wshd.sock'), '');
    daemon.containerPath = path.join(daemon.directory, 'c');
  };

  it('starts wsh of the container as vcap, as root when privileged, and exits with its status [cli 10 shell]', async () => {
    withInit('echo "$*"; cat; exit 9');
    const socket = path.join(daemon.directory, 'c/run/wshd.sock');
    expect(await warden(['--', 'shell', '--handle', 'h'], 'input')).toEqual({
      status: 9,
      stdout: `--socket ${socket} --user vcap\ninput`,
      stderr: '',
    });
    expect(await warden(['shell', '--handle', 'h', '--privileged'], '')).toMatchObject({
      status: 9,
      stdout: `--socket ${socket} --user root\n`,
    });
  });

  it('leaves SIGINT to the session, passes SIGTERM on, and says by its status what ended it [cli 10 shell]', async () => {
    withInit('trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done');
    const args = [
      path.join(PACKAGE, 'bin/warden.js'),
      '--socket',
      daemon.path,
      '--',
      'shell',
      '--handle',
      'h',
    ];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.once('data', () => {
      child.kill('SIGINT');
      child.kill('SIGTERM');
    });
    expect(await new Promise((resolve) => child.on('close', (...ended) => resolve(ended)))).toEqual([
      3,
      null,
    ]);
    withInit('kill -KILL $$');
    expect((await warden(['--', 'shell', '--handle', 'h'])).status).toBe(137);
  });

  it('is no command of a script, whose input it would take [cli 10 shell]', async () => {
    withInit('cat');
    expect(await warden([], 'shell --handle h\necho --message b\n')).toEqual({
      status: 1,
      stdout: 'message : b\n',
      stderr: expect.stringMatching(/^the input of a script cannot be lent to a shell/),
    });
  });
});

describe('while the daemon accepts and does not answer', () => {
  it.each([
    [['run', '--', 'true'], 2],
    [['exec', 'h', '--', 'true'], 2],
    [['attach', 'h', '1'], 3],
    [['top'], 1],
  ])(
    '%j ends by Ctrl-C',
    async (words, presses) => {
      daemon.silences = Number.POSITIVE_INFINITY;
      const env = { PATH: process.env.PATH, HOME: daemon.directory };
      const child = spawn(process.execPath, [PROGRAM, '--socket', daemon.path, ...words], {
        env,
        stdio: 'ignore',
        timeout: 20_000,
        killSignal: 'SIGKILL',
      });
      const ended = new Promise((resolve) => child.on('close', (...how) => resolve(how)));
      await expect.poll(() => daemon.requests.length, { timeout: 15_000 }).toBeGreaterThan(0);
      for (let press = 1; press < presses; press += 1) {
        child.kill('SIGINT');
        // the kernel would make one of two that are pending
        await expect.poll(() => isPending(child.pid!, os.constants.signals.SIGINT)).toBe(false);
      }
      child.kill('SIGINT');
      expect(await ended).toEqual([130, null]);
    },
    40_000,
  );
});

/** Whether a signal waits for its handler. */
function isPending(pid: number, signal: number): boolean {
  const mask = /^ShdPnd:\t(\w+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]!;
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}
