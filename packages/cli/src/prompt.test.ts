import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { MessageType } from '@warden/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { capture } from '../test/capture.ts';
import { ScriptedDaemon } from '../test/scripted-daemon.ts';
import { writtenTo } from '../test/written-to.ts';
import { runProgram } from './main.ts';

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await new ScriptedDaemon().start();
});
afterEach(() => daemon[Symbol.asyncDispose]());

const script = (input: string, ...options: string[]) =>
  capture(['--socket', daemon.path, ...options], input, { HOME: daemon.directory });

describe('the prompt over a pipe', () => {
  it('executes line after line until the end of input, 0 then [cli 1.1, 2 script]', async () => {
    expect(await script('create --handle h\n\n  list  \nrun --handle h --script "0 x y"\nping')).toEqual({
      status: 0,
      stdout: 'handle : h\nhandles[0] : h\nx',
      stderr: 'y',
    });
  });

  it('writes the text of a failure to stderr and goes on [cli 6 Interactive]', async () => {
    const { status, stdout, stderr } = await script('foo\ninfo --handle x\n"\necho --message "still here"\n');
    expect(status).toBe(1);
    expect(stdout).toBe('message : still here\n');
    expect(stderr).toBe(
      "Command: 'foo' is non-existent.\nunknown handle\n" +
        'UNKNOWN_HANDLE: no container has this handle; list the containers or create it\nUnmatched quote: "\\""\n',
    );
  });

  it.each([
    ['foo\nping\n', 1, []],
    ['info --handle x\nping\n', 1, []],
    ['"\nping\n', 1, []],
    ['create --handle h\nrun --handle h --script 7\nping\n', 0, []],
    ['foo\nping\n', 0, ['--compat-exit']],
    ['info --handle x\nping\n', 0, ['--compat-exit']],
  ])(
    'to its end %j exits with %i: one that failed is not forgotten [cli 1.1]',
    async (input, status, options) => {
      expect((await script(input, ...options)).status).toBe(status);
      expect(daemon.requests.some((one) => one.type === MessageType.Ping)).toBe(true);
    },
  );

  it('passes bytes that are not UTF-8 through [cli 5 Text values]', async () => {
    expect((await script('echo --message \xff\x80\n')).stdout).toBe('message : \xff\x80\n');
  });

  it('traces each command before it runs, but not help [cli 8]', async () => {
    const { stdout } = await script('ping\nping --help\necho --message "a b"\n', '--trace');
    expect(stdout).toBe(
      '+ ping\ncommand: ping\ndescription: Ask the daemon for a sign of life.\n+ echo --message a b\nmessage : a b\n',
    );
  });

  it.each([
    ['foo\nping\n', 1, []],
    ['exit\nping\n', 1, []],
    ['destroy --handle x\nping\n', 1, []],
    ['foo\nping\n', 0, ['--compat-exit']],
    ['create --handle h\nrun --handle h --script 7\nping\n', 7, []],
    ['destroy --handle x\nping\n', 0, ['--compat-exit']],
    ['create --handle h\nrun --handle h --script 7\nping\n', 7, ['--compat-exit']],
    ['create --handle h\nspawn --handle h --script 7\nstream --handle h --job_id 1\nping\n', 7, []],
    ['create --handle h\nrun --handle h --script 0\n', 0, []],
  ])('with --exit_on_error %j exits with %i [cli 1.1]', async (input, status, options) => {
    expect((await script(input, '--exit_on_error', ...options)).status).toBe(status);
    expect(daemon.requests.some((one) => one.type === MessageType.Ping)).toBe(false);
  });

  it('connects again once after an end of file, and repeats not even what changes nothing [cli 6]', async () => {
    daemon.drops = 1;
    const { status, stdout, stderr } = await script('echo --message a\necho --message b\n');
    expect({ status, stdout }).toEqual({ status: 1, stdout: 'Reconnecting...\nmessage : b\n' });
    expect(stderr).toMatch(/^the connection to the daemon was lost\nUNAVAILABLE: /);
    expect(daemon.requests).toHaveLength(2);
  });

  it.each([
    ['list', 'handles[0] : h\n', ''],
    ['stop --handle h', '', 'the connection to the daemon was lost\n'],
  ])(
    'whose write of %j finds a closed connection connects again and repeats only what changes nothing [cli 6 EPIPE]',
    async (line, output, error) => {
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
      let written = '';
      stdout.on('data', (chunk) => {
        written += chunk;
      });
      const status = runProgram(['--socket', daemon.path], { stdin, stdout, stderr, env: {} });
      stdin.write('create --handle h\n');
      await vi.waitFor(() => expect(written).toBe('handle : h\n'), 30_000);
      // In one turn: the peer is gone, and the request is written before this side can learn of it.
      daemon.disconnect();
      stdin.end(`${line}\n`);
      expect(await status).toBe(error === '' ? 0 : 1);
      expect(written).toBe(`handle : h\nReconnecting...\n${output}`);
      expect(writtenTo(stderr)).toMatch(new RegExp(`^${error}`));
      expect(daemon.requests.map((one) => one.type)).toEqual(
        line === 'list' ? [MessageType.Create, MessageType.List] : [MessageType.Create],
      );
    },
  );

  it('says which command of the prompt is none [cli 7.2]', async () => {
    expect((await script('rootfs build /d\n')).stderr).toBe(
      "'rootfs' is no command of the prompt: run warden rootfs build --help\n",
    );
  });

  it('takes a line of 20 MB in good time [cli 2 script]', async () => {
    const long = 'x'.repeat(20_000_000);
    const { stdout } = await script(`echo --message ${long}\necho --message end`);
    expect(stdout.length).toBe('message : \nmessage : end\n'.length + long.length);
  }, 60_000);

  it('gives a command up whose answer takes longer than --timeout, and goes on [cli 10 --timeout]', async () => {
    daemon.silences = 1;
    const { status, stdout, stderr } = await script('ping\necho --message b\n', '--timeout', '0.2');
    expect({ status, stdout }).toEqual({ status: 1, stdout: 'Reconnecting...\nmessage : b\n' });
    expect(stderr).toMatch(/^the daemon did not finish its answer within 0.2 s\nTIMEOUT: /);
  });

  it('keeps no history of a script [cli 9 Save]', async () => {
    const file = `${daemon.directory}/.warden-history`;
    await script('ping\n');
    expect(existsSync(file)).toBe(false);
    writeFileSync(file, '["typed"]');
    await script('nope\nping\n');
    expect(readFileSync(file, 'utf8')).toBe('["typed"]');
  });

  it('works without HOME [cli 1 HOME]', async () => {
    expect(await capture(['--socket', daemon.path], 'ping\n', {})).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });

  it('connects again but does not repeat a create [cli 6]', async () => {
    daemon.drops = 1;
    const { stdout, stderr } = await script('create --handle h\nlist\n');
    expect(stdout).toBe('Reconnecting...\n');
    expect(stderr).toMatch(/^the connection to the daemon was lost\nUNAVAILABLE: /);
    expect(daemon.requests.map((one) => one.type)).toEqual([MessageType.Create, MessageType.List]);
  });

  it('does not start without a daemon [cli 2 Connect, 6]', async () => {
    const { status, stderr } = await capture(['--socket', '/nonexistent'], 'ping\n');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^No such file or directory - connect\(2\) for \/nonexistent\n/);
  });
});
