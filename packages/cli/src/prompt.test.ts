import { readFileSync } from 'node:fs';
import { MessageType } from '@warden/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { capture } from '../test/capture.ts';
import { ScriptedDaemon } from '../test/scripted-daemon.ts';

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await new ScriptedDaemon().start();
});
afterEach(() => daemon[Symbol.asyncDispose]());

const script = (input: string, ...options: string[]) =>
  capture(['--socket', daemon.path, ...options], input, { HOME: daemon.directory });

describe('the prompt over a pipe', () => {
  it('executes line after line until the end', async () => {
    expect(await script('create --handle h\n\n  list  \nrun --handle h --script "0 x y"\nping')).toEqual({
      status: 0,
      stdout: 'handle : h\nhandles[0] : h\nx',
      stderr: 'y',
    });
    const lines = JSON.parse(readFileSync(`${daemon.directory}/.warden-history`, 'utf8')) as string[];
    expect(lines).toContain('run --handle h --script "0 x y"');
  });

  it('goes on after a failure', async () => {
    const { status, stdout, stderr } = await script('foo\ninfo --handle x\n"\necho --message "still here"\n');
    expect(status).toBe(0);
    expect(stdout).toBe('message : still here\n');
    expect(stderr).toBe(
      "Command: 'foo' is non-existent.\nunknown handle\n" +
        'UNKNOWN_HANDLE: no container has this handle; list the containers or create it\nUnmatched quote: "\\""\n',
    );
  });

  it('passes bytes that are not UTF-8 through', async () => {
    expect((await script('echo --message \xff\x80\n')).stdout).toBe('message : \xff\x80\n');
  });

  it('traces each command, but not help', async () => {
    const { stdout } = await script('ping\nping --help\necho --message "a b"\n', '--trace');
    expect(stdout).toBe(
      '+ ping\ncommand: ping\ndescription: Ask the daemon for a sign of life.\n+ echo --message a b\nmessage : a b\n',
    );
  });

  it.each([
    ['foo\nping\n', 1, []],
    ['destroy --handle x\nping\n', 1, []],
    ['foo\nping\n', 0, ['--compat-exit']],
    ['create --handle h\nrun --handle h --script 7\nping\n', 7, []],
    ['create --handle h\nrun --handle h --script 0\n', 0, []],
  ])('with --exit_on_error %j exits with %i', async (input, status, options) => {
    expect((await script(input, '--exit_on_error', ...options)).status).toBe(status);
    expect(daemon.requests.some((one) => one.type === MessageType.Ping)).toBe(false);
  });

  it('connects again and repeats what changes nothing', async () => {
    daemon.drops = 1;
    expect(await script('echo --message a\n')).toEqual({
      status: 0,
      stdout: 'Reconnecting...\nmessage : a\n',
      stderr: '',
    });
  });

  it('connects again but does not repeat a create', async () => {
    daemon.drops = 1;
    const { stdout, stderr } = await script('create --handle h\nlist\n');
    expect(stdout).toBe('Reconnecting...\n');
    expect(stderr).toMatch(/^the connection to the daemon was lost\nUNAVAILABLE: /);
    expect(daemon.requests.map((one) => one.type)).toEqual([MessageType.Create, MessageType.List]);
  });

  it('does not start without a daemon', async () => {
    const { status, stderr } = await capture(['--socket', '/nonexistent'], 'ping\n');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^No such file or directory - connect\(2\) for \/nonexistent\n/);
  });
});
