import { writeFileSync } from 'node:fs';
import { MessageType } from '@warden/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { capture } from '../test/capture.ts';
import { ScriptedDaemon } from '../test/scripted-daemon.ts';

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await new ScriptedDaemon().start();
});
afterEach(() => daemon[Symbol.asyncDispose]());

const warden = (...words: string[]) => capture(['--socket', daemon.path, ...words]);

describe('a single command', () => {
  it('writes the answer of the examples', async () => {
    expect(await warden('--', 'list')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(await warden('--', 'create')).toEqual({ status: 0, stdout: 'handle : 17jqe2nv7dh\n', stderr: '' });
    expect(await warden('--', 'list')).toEqual({
      status: 0,
      stdout: 'handles[0] : 17jqe2nv7dh\n',
      stderr: '',
    });
    expect(await warden('--', 'LINK', '--handle', '17jqe2nv7dh', '--job_id', '1')).toEqual({
      status: 0,
      stdout: 'exit_status : 0\nstdout : hi\n\nstderr : \ninfo.state : active\ninfo.host_ip : 10.254.0.1\n',
      stderr: '',
    });
    expect((await warden('--', 'echo', '--message', 'a b')).stdout).toBe('message : a b\n');
    expect(await warden('--', 'stop', '--handle', '17jqe2nv7dh')).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });

  it('run exits with the status of the job and separates its streams', async () => {
    await warden('--', 'create', '--handle', 'h');
    const run = ['run', '--handle', 'h', '--privileged', '--script', '7 out error'];
    expect(await warden('--', ...run)).toEqual({ status: 7, stdout: 'out', stderr: 'error' });
    expect(daemon.requests.map((one) => one.type).slice(-2)).toEqual([MessageType.Spawn, MessageType.Stream]);
    expect(daemon.requests.at(-2)!.payload).toMatchObject({ handle: 'h', privileged: true });
    expect((await warden('--trace', '--', ...run)).stdout).toBe(
      '+ run --handle h --privileged --script 7 out error\nout',
    );
  });

  it('stream exits with the status of the job, with 0 when compatible', async () => {
    await warden('--', 'create', '--handle', 'h');
    await warden('--', 'spawn', '--handle', 'h', '--script', '7 \xff\x80');
    const stream = ['--', 'stream', '--handle', 'h', '--job_id', '1'];
    expect(await warden(...stream)).toMatchObject({ status: 7, stderr: '' });
    expect((await warden('--compat-exit', ...stream)).status).toBe(0);
  });

  it('says what the daemon says, with the code and what to do', async () => {
    expect(await warden('--', 'destroy', '--handle', 'x')).toEqual({
      status: 1,
      stdout: '',
      stderr:
        'unknown handle\nUNKNOWN_HANDLE: no container has this handle; list the containers or create it\n',
    });
    expect((await warden('--compat-exit', '--', 'destroy', '--handle', 'x')).stderr).toBe('unknown handle\n');
  });

  it('exits with 2 for wrong words and asks nobody', async () => {
    const wrong = await capture(['--socket', '/nonexistent', '--', 'foo']);
    expect(wrong).toEqual({ status: 2, stdout: '', stderr: "Command: 'foo' is non-existent.\n" });
    expect((await warden('--', '')).stderr).toBe("Command: '' is non-existent.\n");
    expect((await warden('--compat-exit', '--', 'foo')).status).toBe(0);
    expect((await warden('--', 'create', 'x')).status).toBe(2);
    expect(daemon.requests).toEqual([]);
  });

  it('names a required field that is missing', async () => {
    const missing = await warden('--', 'destroy');
    expect(missing).toMatchObject({ status: 1, stdout: '' });
    expect(missing.stderr).toMatch(/^Field handle is required but nil\n/);
  });

  it('uses the texts of connect(2)', async () => {
    const { status, stderr } = await capture(['--socket', `${daemon.path}.absent`, '--', 'ping']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^No such file or directory - connect\(2\) for .*\.absent\nUNAVAILABLE: /);
  });

  it('speaks JSON', async () => {
    expect((await warden('--json', '--', 'create', '--handle', 'h')).stdout).toBe('{"handle":"h"}\n');
    const run = await warden('--json', '--', 'run', '--handle', 'h', '--script', '7 out \xff');
    expect(
      run.stdout
        .split('\n')
        .slice(0, 2)
        .map((line) => JSON.parse(line)),
    ).toMatchObject([{ name: 'stdout', data: 'out' }, { name: 'stderr' }]);
    const refused = await warden('--json', '--', 'info', '--handle', 'x');
    expect(JSON.parse(refused.stderr)).toEqual({
      code: 'UNKNOWN_HANDLE',
      message: 'unknown handle',
      fields: {},
    });
  });

  it('takes the script from a file when extended', async () => {
    await warden('--', 'create', '--handle', 'h');
    const file = `${daemon.directory}/script`;
    writeFileSync(file, Buffer.from('3 \xff', 'latin1'));
    expect(await warden('--extended', '--', 'run', '--handle=h', `--script=@${file}`)).toEqual({
      status: 3,
      stdout: '\xff',
      stderr: '',
    });
  });
});

describe('help', () => {
  it('needs no daemon', async () => {
    for (const words of [['--help'], ['--', 'help'], ['--', 'create', '--HELP']]) {
      expect(await capture(['--socket', '/nonexistent', ...words])).toMatchObject({ status: 0, stderr: '' });
    }
  });

  it('of create has the repeated block first', async () => {
    expect((await warden('--trace', '--', 'create', '--help')).stdout).toBe(
      [
        'command: create',
        'description: Create a container, optionally with bind mounts, a grace time and a handle.',
        'usage: create [options]',
        '',
        '[options] can be one of the following:',
        '',
        '\t--bind_mounts[index]  # array',
        '\t\t.src_path <src_path> (string)  # required',
        '\t\t.dst_path <dst_path> (string)  # required',
        '\t\t.mode <mode> (RO, RW)  # required',
        '\t[--grace_time <grace_time> (uint32)]  # optional',
        '\t[--handle <handle> (string)]  # optional',
        '\t[--network <network> (string)]  # optional',
        '\t[--rootfs <rootfs> (string)]  # optional',
        '',
      ].join('\n'),
    );
  });

  it('of a command without fields ends before the usage', async () => {
    expect((await warden('--', 'ping', '--help')).stdout).toBe(
      'command: ping\ndescription: Ask the daemon for a sign of life.\n',
    );
  });

  it('shows constants in alphabetical order and byte strings as string', async () => {
    expect((await warden('--', 'net_out', '--help')).stdout).toContain(
      '\t[--protocol <protocol> (ALL, ICMP, TCP, UDP)]  # optional\n',
    );
    expect((await warden('--', 'run', '--help')).stdout).toContain(
      '\t--script <script> (string)  # required\n',
    );
  });

  it('lists every command once, help last', async () => {
    const lines = (await warden('--', 'help')).stdout.split('\n');
    const names = lines.filter((line) => line.startsWith('\t')).map((line) => line.trim().split(/\s+/)[0]);
    expect(lines[0]).toBe('');
    expect(lines.at(-2)).toBe('Use --help with each command for more information.');
    expect(names).toEqual([
      'copy_in',
      'copy_out',
      'create',
      'destroy',
      'echo',
      'info',
      'job_signal',
      'limit_bandwidth',
      'limit_cpu',
      'limit_disk',
      'limit_memory',
      'link',
      'list',
      'net_in',
      'net_out',
      'ping',
      'run',
      'spawn',
      'stop',
      'stream',
      'help',
    ]);
  });

  it('of the program has the fixed columns', async () => {
    const { stdout } = await warden('--help');
    expect(stdout).toMatch(/^Usage: warden \[options\] -- \[commands\]\n/);
    expect(stdout).toContain(`        ${'--socket PATH'.padEnd(28)} Control socket`);
    expect(stdout).toContain(`\t${'ping'.padEnd(29)}Ask the daemon`);
  });
});
