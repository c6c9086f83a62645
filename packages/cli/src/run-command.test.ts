import { writeFileSync } from 'node:fs';
import { MessageType } from '@warden/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { capture } from '../test/capture.ts';
import { ScriptedDaemon } from '../test/scripted-daemon.ts';
import { promptHelp } from './help.ts';

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await new ScriptedDaemon().start();
});
afterEach(() => daemon[Symbol.asyncDispose]());

const warden = (...words: string[]) => capture(['--socket', daemon.path, ...words]);

describe('a single command', () => {
  it('warns where a disk limit is none [cli 5 Empty response]', async () => {
    await warden('--', 'create', '--handle', 'h');
    const words = ['limit_disk', '--handle', 'h', '--byte', '1000000'];
    expect(await warden('--', ...words)).toEqual({
      status: 0,
      stdout: '',
      stderr: expect.stringMatching(/^warning: disk limits are off in this daemon, .*\n$/),
    });
    const { stdout, stderr } = await warden('--json', ...words);
    expect([JSON.parse(stdout), JSON.parse(stderr)]).toEqual([
      {},
      { level: 'warning', text: expect.stringMatching(/^disk limits are off /) },
    ]);
    expect((await warden('--compat-exit', '--', ...words)).stderr).toBe('');
  });

  it('writes the answer of the examples; the command in any case [cli 3 command word, 5]', async () => {
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

  it('run is a spawn and a stream: live output, the status of the job [cli 1.1, 4.1]', async () => {
    await warden('--', 'create', '--handle', 'h');
    const run = ['run', '--handle', 'h', '--privileged', '--script', '7 out error'];
    expect(await warden('--', ...run)).toEqual({ status: 7, stdout: 'out', stderr: 'error' });
    expect(daemon.requests.map((one) => one.type).slice(-2)).toEqual([MessageType.Spawn, MessageType.Stream]);
    expect(daemon.requests.at(-2)!.payload).toMatchObject({ handle: 'h', privileged: true });
    expect((await warden('--trace', '--', ...run)).stdout).toBe(
      '+ run --handle h --privileged --script 7 out error\nout',
    );
  });

  it('stream exits with the status of the job, link with 0; stream with 0 when compatible [cli 1.1]', async () => {
    await warden('--', 'create', '--handle', 'h');
    await warden('--', 'spawn', '--handle', 'h', '--script', '7 \xff\x80');
    const stream = ['--', 'stream', '--handle', 'h', '--job_id', '1'];
    expect(await warden(...stream)).toMatchObject({ status: 7, stderr: '' });
    expect((await warden('--compat-exit', ...stream)).status).toBe(0);
    expect((await warden('--', 'link', '--handle', 'h', '--job_id', '1')).status).toBe(0);
  });

  it('gives a terminal no orders of a container, and other readers every byte', async () => {
    await warden('--', 'create', '--handle', 'h\x1b');
    const run = ['--socket', daemon.path, '--', 'run', '--handle', 'h\x1b', '--script', '7 \x1b[2Jout e\x07'];
    expect(await capture(run, '', {}, ['stdout'])).toEqual({
      status: 7,
      stdout: '\\x1b[2Jout',
      stderr: 'e\x07',
    });
    expect(await capture(run)).toEqual({ status: 7, stdout: '\x1b[2Jout', stderr: 'e\x07' });
    const list = ['--socket', daemon.path, '--', 'list'];
    expect((await capture(list, '', {}, ['stdout'])).stdout).toBe('handles[0] : h\\x1b\n');
    expect((await capture(list)).stdout).toBe('handles[0] : h\x1b\n');
  });

  it('exits with 1 and says what the daemon says, with the code and what to do [cli 1.1, 6 server error]', async () => {
    expect(await warden('--', 'destroy', '--handle', 'x')).toEqual({
      status: 1,
      stdout: '',
      stderr:
        'unknown handle\nUNKNOWN_HANDLE: no container has this handle; list the containers or create it\n',
    });
    expect((await warden('--compat-exit', '--', 'destroy', '--handle', 'x')).stderr).toBe('unknown handle\n');
  });

  it('exits with 2 for wrong words and asks nobody; with 0 when compatible [cli 1.1, 2 Connect]', async () => {
    const wrong = await capture(['--socket', '/nonexistent', '--', 'foo']);
    expect(wrong).toEqual({ status: 2, stdout: '', stderr: "Command: 'foo' is non-existent.\n" });
    expect((await warden('--', '')).stderr).toBe("Command: '' is non-existent.\n");
    expect((await warden('--compat-exit', '--', 'foo')).status).toBe(0);
    expect((await warden('--', 'create', 'x')).status).toBe(2);
    expect(daemon.requests).toEqual([]);
  });

  it('names a required field that is missing, also of a message in a list [cli 3 required, 6]', async () => {
    const missing = await warden('--', 'destroy');
    expect(missing).toMatchObject({ status: 1, stdout: '' });
    expect(missing.stderr).toMatch(/^Field handle is required but nil\n/);
    const nested = await warden(
      '--',
      'create',
      '--bind_mounts[0].src_path',
      '/a',
      '--bind_mounts[0].mode',
      'RO',
    );
    expect(nested.stderr).toMatch(/^Field dst_path is required but nil\n/);
    expect(daemon.requests).toEqual([]);
  });

  it('names it as it is typed, with the use of the command, where no -- asks for the text of the original', async () => {
    expect(await warden('destroy')).toEqual({
      status: 2,
      stdout: '',
      stderr:
        'destroy: --handle is missing\nUsage: warden destroy --handle <handle>\nSee: warden destroy --help\n',
    });
    expect((await warden('link', '--handle', 'h')).stderr).toBe(
      'link: --job_id is missing\nUsage: warden link --handle <handle> --job_id <job_id>\nSee: warden link --help\n',
    );
    expect((await warden('create', '--bind_mounts[0].src_path', '/a')).stderr).toBe(
      'create: --bind_mounts[0].dst_path is missing\nUsage: warden create [options]\nSee: warden create --help\n',
    );
    expect((await warden('limit_memory')).stderr).toContain(
      'Usage: warden limit_memory --handle <handle> [options]\n',
    );
    expect((await warden('--json', 'destroy')).stderr).toContain('"code":"INVALID_SPEC"');
    expect((await warden('--compat-exit', 'destroy')).status).toBe(1);
    expect(daemon.requests).toEqual([]);
  });

  it.each([
    [
      ['limit_memory', '--limit_in_bytes', 'abc'],
      'invalid value for Integer(): "abc"',
      '0 to 18446744073709551615',
    ],
    [['create', '--grace_time', 'x'], 'invalid value for Integer(): "x"', '0 to 4294967295'],
    [['create', '--grace_time', '-5'], 'Value of of range: -5', '0 to 4294967295'],
    [['net_out', '--icmp_type', '2147483648'], 'Value of of range: 2147483648', '-2147483648 to 2147483647'],
    [['spawn', '--rlimits.nofile', '-1'], 'Value of of range: -1', '0 to 18446744073709551615'],
  ])(
    'names the flag and the range of %j where no -- asks for the text of the original',
    async (words, text, range) => {
      const advice = `${words[1]} takes a whole number from ${range}`;
      expect(await warden(...words)).toEqual({ status: 2, stdout: '', stderr: `${text}\n${advice}\n` });
      for (const line of [
        ['--json', ...words],
        ['--json', '--', ...words],
      ]) {
        const { stderr } = await warden(...line);
        expect(JSON.parse(stderr)).toMatchObject({ message: text, fields: { flag: words[1], advice } });
      }
    },
  );

  it('keeps the text and the status of the original behind -- for numbers [cli 3.1, 1.1]', async () => {
    expect(await warden('--', 'create', '--grace_time', 'x')).toEqual({
      status: 2,
      stdout: '',
      stderr: 'invalid value for Integer(): "x"\n',
    });
    expect(await warden('--', 'create', '--grace_time', '-5')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'Value of of range: -5\nINVALID_SPEC: --grace_time takes a whole number from 0 to 4294967295\n',
    });
  });

  it.each([
    ['net_out', '--protocol', 'FOO', 'NetOutRequest.Protocol', 'ALL, ICMP, TCP, UDP'],
    ['create', '--bind_mounts[0].mode', 'XX', 'CreateRequest.BindMount.Mode', 'RO, RW'],
  ])('names what %s %s takes instead of %s', async (command, flag, text, type, names) => {
    expect(await warden(command, flag, text)).toEqual({
      status: 2,
      stdout: '',
      stderr: `The constant: '${text}' is not defined in the module: '${type}'.\n${flag} takes one of ${names}\n`,
    });
  });

  it('leads whoever types no command to the help', async () => {
    expect(await warden('bogusword')).toEqual({
      status: 2,
      stdout: '',
      stderr: "Command: 'bogusword' is non-existent.\nSee: warden --help\n",
    });
    expect(await capture(['--bogus', 'ping'])).toEqual({
      status: 1,
      stdout: '',
      stderr: 'invalid option: --bogus\nSee: warden --help\n',
    });
    expect((await capture(['--bogus', '--', 'ping'])).stderr).toBe('invalid option: --bogus\n');
  });

  it('uses the texts of connect(2) [cli 6 connect refused]', async () => {
    const { status, stderr } = await capture(['--socket', `${daemon.path}.absent`, '--', 'ping']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^No such file or directory - connect\(2\) for .*\.absent\nUNAVAILABLE: /);
    const file = `${daemon.directory}/plain`;
    writeFileSync(file, '');
    const refused = await capture(['--compat-exit', '--socket', file, '--', 'ping']);
    expect(refused).toMatchObject({ status: 1, stderr: `Connection refused - connect(2) for ${file}\n` });
  });

  it('speaks JSON, the trace and errors included [cli 10 --json]', async () => {
    expect((await warden('--json', '--', 'create', '--handle', 'h')).stdout).toBe('{"handle":"h"}\n');
    const run = await warden('--json', '--', 'run', '--handle', 'h', '--script', '7 out \xff');
    expect(
      run.stdout
        .split('\n')
        .slice(0, 2)
        .map((line) => JSON.parse(line)),
    ).toMatchObject([{ name: 'stdout', data: 'out' }, { name: 'stderr' }]);
    expect((await warden('--json', '--trace', '--', 'ping')).stdout).toBe('{"trace":["ping"]}\n{}\n');
    const refused = await warden('--json', '--', 'info', '--handle', 'x');
    expect(JSON.parse(refused.stderr)).toEqual({
      code: 'UNKNOWN_HANDLE',
      message: 'unknown handle',
      fields: {},
    });
  });

  it('takes the script from a file when extended [cli 10 @file]', async () => {
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

describe('a single command whose daemon misbehaves', () => {
  it('exits with 1 when the connection ends before the answer, and repeats nothing [cli 6]', async () => {
    daemon.drops = 1;
    const { status, stdout, stderr } = await warden('--', 'list');
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^the connection to the daemon was lost\nUNAVAILABLE: /);
    expect(daemon.requests).toHaveLength(1);
  });

  it('exits with 1 when the answer is none of the protocol [cli 1.1]', async () => {
    daemon.garbles = 1;
    const { status, stderr } = await warden('--', 'list');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^the server does not speak warden's protocol: /);
  });

  it('exits with 1 when the answer takes longer than --timeout [cli 10 --timeout]', async () => {
    daemon.silences = 1;
    const { status, stderr } = await warden('--timeout', '0.2', '--', 'list');
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^the daemon did not finish its answer within 0.2 s\nTIMEOUT: what had been started goes on/,
    );
    await warden('--', 'create', '--handle', 'h');
    expect((await warden('--timeout', '30', '--', 'run', '--handle', 'h', '--script', '5')).status).toBe(5);
  });

  it('names the directory when a shell is asked for elsewhere than on its host [cli 10 shell]', async () => {
    daemon.containerPath = '/nonexistent/depot/c';
    const { status, stderr } = await warden('--', 'shell', '--handle', 'h');
    expect(status).toBe(1);
    expect(stderr).toContain(
      process.getuid?.() === 0 ? '/nonexistent/depot/c/bin/wsh does not exist' : 'shell needs root',
    );
    expect((await warden('--', 'shell')).stderr).toMatch(/^Field handle is required but nil\n/);
  });
});

describe('help', () => {
  it('needs no daemon [cli 1 --help, 2 Connect]', async () => {
    for (const words of [['--help'], ['--', 'help'], ['--', 'create', '--HELP']]) {
      expect(await capture(['--socket', '/nonexistent', ...words])).toMatchObject({ status: 0, stderr: '' });
    }
  });

  it('of create has the repeated block first [cli 7.3]', async () => {
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

  it('of a command without fields ends before the usage [cli 7.3]', async () => {
    expect((await warden('--', 'ping', '--help')).stdout).toBe(
      'command: ping\ndescription: Ask the daemon for a sign of life.\n',
    );
  });

  it('shows required before optional, bools without value, nested fields one tab deeper [cli 7.3]', async () => {
    expect((await warden('--', 'spawn', '--help')).stdout.split('\n').slice(6, 14)).toEqual([
      '\t--handle <handle> (string)  # required',
      '\t--script <script> (string)  # required',
      '\t[--privileged]  # optional',
      '\t[--rlimits]  # optional',
      '\t\t[.as <as> (uint64)]  # optional',
      '\t\t[.core <core> (uint64)]  # optional',
      '\t\t[.cpu <cpu> (uint64)]  # optional',
      '\t\t[.data <data> (uint64)]  # optional',
    ]);
    expect((await warden('--', 'net_in', '--help')).stdout.split('\n').slice(6, 9)).toEqual([
      '\t--handle <handle> (string)  # required',
      '\t[--host_port <host_port> (uint32)]  # optional',
      '\t[--container_port <container_port> (uint32)]  # optional',
    ]);
  });

  it('shows constants in alphabetical order and byte strings as string [cli 7.3 type]', async () => {
    expect((await warden('--', 'net_out', '--help')).stdout).toContain(
      '\t[--protocol <protocol> (ALL, ICMP, TCP, UDP)]  # optional\n',
    );
    expect((await warden('--', 'net_out', '--help')).stdout).toMatch(/^description: .*network.*domain/m);
    expect((await warden('--', 'run', '--help')).stdout).toContain(
      '\t--script <script> (string)  # required\n',
    );
  });

  it('lists every command once with a description, limit_bandwidth too, help last [cli 4, 7.2]', async () => {
    const lines = (await warden('--', 'help')).stdout.split('\n');
    const names = lines.filter((line) => line.startsWith('\t')).map((line) => line.trim().split(/\s+/)[0]);
    expect(lines[0]).toBe('');
    expect(lines.at(-2)).toBe('Use --help with each command for more information.');
    expect(names).toEqual([
      'copy_in',
      'copy_out',
      'create',
      'destroy',
      'doctor',
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
      'rootfs',
      'run',
      'shell',
      'spawn',
      'stop',
      'stream',
      'help',
    ]);
    const width = 'limit_bandwidth'.length + 2;
    const table = lines.filter((line) => line.startsWith('\t'));
    expect(table.at(-1)).toBe(`\t${'help'.padEnd(width)}Show help.`);
    for (const line of table) expect(line.slice(1 + width)).toMatch(/^[A-Z][^.]*.*\.$/);
    expect((await warden('--', '--help')).stdout).toBe(lines.join('\n'));
  });

  it('takes any non-negative integer as the width of names [cli 7.2]', () => {
    expect(promptHelp(0)).toContain('\tpingAsk the daemon');
    expect(promptHelp(40)).toContain(`\t${'ping'.padEnd(40)}Ask the daemon`);
    for (const width of [-1, 1.5, Number.NaN])
      expect(() => promptHelp(width)).toThrow('command_list_width should be a non-negative Integer.');
  });

  it('of the program has the fixed columns and order [cli 7.1]', async () => {
    const { stdout } = await warden('--help');
    expect(stdout).toMatch(/^Usage: warden \[options\] -- \[commands\]\n/);
    expect(stdout).toContain(`        ${'--socket PATH'.padEnd(28)} Control socket`);
    expect(stdout).toContain(`\t${'ping'.padEnd(29)}Ask the daemon`);
    const lines = stdout.split('\n');
    expect(lines.slice(2, 5)).toEqual(['', '[options] can be one of the following:', '']);
    const options = lines
      .filter((line) => line.startsWith('        --'))
      .map((line) => line.trim().split(/\s/)[0]);
    expect(options.slice(0, 4)).toEqual(['--socket', '--trace', '--exit_on_error', '--help']);
    expect(lines[5 + options.length]).toBe('');
    expect(lines[6 + options.length]).toMatch(/^\[commands\]/);
    expect(lines[7 + options.length]).toMatch(/^\tcopy_in/);
    expect(lines.slice(-3)).toEqual([`\t${'help'.padEnd(29)}Show help.`, '', '']);
  });
});
