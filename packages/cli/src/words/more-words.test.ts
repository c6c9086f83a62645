/** Words that show or move something, against a warden in memory. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { WardenClient } from '@warden/client';
import { type FakeWarden, fakeWarden } from '@warden/client/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { warden } from '../../test/word-run.ts';
import { parsePlace } from './cp.ts';
import { type Look, rowsOf } from './top-sample.ts';

let fake: FakeWarden;
let place: string;
beforeEach(async () => {
  fake = fakeWarden({
    programs: {
      talk: async ({ write, killed }) => {
        write('stdout', 'out\x1b[2J\n');
        write('stderr', 'err\n');
        await new Promise((resolve) => killed.addEventListener('abort', resolve));
        return 0;
      },
      chatter: async ({ write, killed }) => {
        const talking = setInterval(() => write('stdout', 'tick\n'), 10);
        await new Promise((resolve) => killed.addEventListener('abort', resolve));
        clearInterval(talking);
        return 0;
      },
      late: async ({ write, killed }) => {
        const talking = setTimeout(() => write('stdout', 'late\n'), 600);
        await new Promise((resolve) => killed.addEventListener('abort', resolve));
        clearTimeout(talking);
        return 0;
      },
    },
  });
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-words-'));
  await using client = await fake.connect();
  await client.create({ handle: 'box', graceTime: 1000 });
});
afterEach(async () => {
  await fake[Symbol.asyncDispose]();
  fs.rmSync(place, { recursive: true });
});

describe('cp', () => {
  it.each([
    ['box:/tmp', { handle: 'box', path: '/tmp' }],
    ['a:b:/c', { handle: 'a:b', path: '/c' }],
    ['./a:/b', { path: './a:/b' }],
    ['/a:/b', { path: '/a:/b' }],
    ['-', { path: '-' }],
    ['box:tmp', undefined],
    [':/x', { path: ':/x' }],
  ])('knows whose path %s is', (text, expected) => {
    if (expected === undefined) expect(() => parsePlace(text)).toThrow('a path in a container is absolute');
    else expect(parsePlace(text)).toEqual(expected);
  });

  it('copies files in and out, with names of directories completed', async () => {
    fs.writeFileSync(path.join(place, 'file'), 'content', { mode: 0o750 });
    expect(await warden(fake, ['cp', path.join(place, 'file'), 'box:/tmp/'])).toEqual({
      status: 0,
      stdout: '',
      stderr: '/tmp/file: 7 B\n',
    });
    expect((await warden(fake, ['cp', 'box:/tmp/file', '-'])).stdout).toBe('content');
    fs.mkdirSync(path.join(place, 'there'));
    expect((await warden(fake, ['cp', '-q', 'box:/tmp/file', path.join(place, 'there')])).stderr).toBe('');
    expect(fs.readFileSync(path.join(place, 'there/file'), 'utf8')).toBe('content');
    expect((await warden(fake, ['cp', '-', 'box:/tmp/typed'], { input: 'x\x1b[2J' })).status).toBe(0);
    const { stdout } = await warden(fake, ['cp', 'box:/tmp/typed', '-'], { terminals: ['stdout'] });
    expect(stdout).toBe('x\\x1b[2J');
  });

  it('copies directories in and out, and shows how far it is on a terminal', async () => {
    fs.mkdirSync(path.join(place, 'tree/sub'), { recursive: true });
    fs.writeFileSync(path.join(place, 'tree/sub/file'), 'x'.repeat(3000));
    const into = await warden(fake, ['cp', path.join(place, 'tree'), 'box:/tmp'], { terminals: ['stderr'] });
    expect(into).toMatchObject({ status: 0, stdout: '' });
    expect(into.stderr).toContain('\r\x1b[Ktree [========================] 100%  2.9 KiB of 2.9 KiB');
    expect(into.stderr).toMatch(/\/tmp\/tree: 2\.9 KiB\n$/);
    expect((await warden(fake, ['cp', 'box:/tmp/tree', path.join(place, 'back')])).status).toBe(0);
    expect(fs.readFileSync(path.join(place, 'back/sub/file'), 'utf8')).toBe('x'.repeat(3000));
    expect(await warden(fake, ['cp', 'box:/tmp/tree', path.join(place, 'back/sub/..')])).toMatchObject({
      status: 0,
    });
    expect(fs.readdirSync(path.join(place, 'back')).sort()).toEqual(['sub', 'tree']);
  });

  it.each([
    [['cp', 'a', 'b'], 'one of both has to be HANDLE:PATH'],
    [['cp', 'box:/a', 'box:/b'], 'one of both has to be HANDLE:PATH'],
    [['cp', 'box:/nowhere', '.'], "cp: '/nowhere': there is no such file in the container"],
    [['cp', '/dev/null', 'box:/tmp/x'], '/dev/null cannot be copied'],
    [['cp', 'box:/tmp', '/nowhere/x'], "cp: '/nowhere/x': there is no directory /nowhere on this host"],
    [['cp', 'box:/tmp', '/etc/passwd/x'], 'there is no directory /etc/passwd on this host'],
    [['cp', '/etc/passwd/x', 'box:/tmp'], "cp: '/etc/passwd/x': there is no such file on this host"],
    [['cp', 'box:/tmp'], 'TARGET is missing'],
  ])('%#: says what it cannot copy', async (words, text) => {
    const { status, stderr } = await warden(fake, [...words, '--jsonl']);
    expect(status).toBe(125);
    expect(stderr).toContain(text);
  });
});

it('cp says that a file of this host is not there, and nothing of containers', async () => {
  const { status, stderr } = await warden(fake, ['cp', '/nowhere', 'box:/tmp/x']);
  expect({ status, stderr }).toEqual({
    status: 125,
    stderr:
      "cp: '/nowhere': there is no such file on this host\nINVALID_SPEC: name a file or directory that is there, or - for standard input\n",
  });
});

it('cp puts a directory in the place of no file or link of the container, and leaves both as they were', async () => {
  const tree = path.join(place, 'tree');
  fs.mkdirSync(tree);
  fs.writeFileSync(path.join(tree, 'one'), '1');
  const put = (target: string) => warden(fake, ['cp', tree, `box:${target}`]);
  const write = (target: string, input: string) => warden(fake, ['cp', '-', `box:${target}`], { input });
  const read = async (file: string) => (await warden(fake, ['cp', `box:${file}`, '-'])).stdout;
  await put('/tmp/there');
  await write('/tmp/file', 'kept');
  await write('/tmp/there/tree', 'kept too');
  for (const [target, taken, content] of [
    ['/tmp/file', '/tmp/file', 'kept'],
    ['/tmp/there', '/tmp/there/tree', 'kept too'],
  ] as const) {
    expect(await put(target)).toEqual({
      status: 125,
      stdout: '',
      stderr: `cp: '${taken}' is a file in the container\nALREADY_EXISTS: a directory does not replace it: remove it first, or name another place\n`,
    });
    expect(await read(taken)).toBe(content);
  }
  // a directory that is there already keeps what it has
  await put('/tmp');
  await write('/tmp/tree/two', '2');
  expect((await put('/tmp')).status).toBe(0);
  expect([await read('/tmp/tree/one'), await read('/tmp/tree/two')]).toEqual(['1', '2']);
});

it('cp says which directory of the container is missing, for files and directories alike', async () => {
  fs.mkdirSync(path.join(place, 'tree'));
  fs.writeFileSync(path.join(place, 'file'), '');
  for (const name of ['tree', 'file']) {
    const { status, stderr } = await warden(fake, ['cp', path.join(place, name), 'box:/no/where']);
    expect({ status, stderr }).toEqual({
      status: 125,
      stderr:
        "cp: '/no/where': there is no directory /no in the container\n" +
        'INVALID_SPEC: make it first, by warden exec or warden run, or name another place\n',
    });
  }
});

it('cp says how files of a stopped container come out', async () => {
  await using client = await fake.connect();
  await client.container('box').stop();
  const { status, stderr } = await warden(fake, ['cp', 'box:/tmp/file', place]);
  expect({ status, stderr }).toEqual({
    status: 125,
    stderr:
      "Container state must be one of 'active', current state is 'stopped'\n" +
      'BAD_STATE: files of a stopped container come out by copy_out (warden copy_out --help)\n',
  });
});

describe('logs', () => {
  it('shows what there is and leaves the job, and with -f goes on to its end', async () => {
    const { stdout: id } = await warden(fake, ['exec', '-d', 'box', '--', 'talk']);
    expect(await warden(fake, ['logs', 'box'])).toEqual({
      status: 0,
      stdout: 'out\x1b[2J\n',
      stderr: 'err\n',
    });
    const onTerminal = await warden(fake, ['logs', 'box', id.trim()], { terminals: ['stdout'] });
    expect(onTerminal.stdout).toBe('out\\x1b[2J\n');
    const lines = (await warden(fake, ['logs', 'box', '--jsonl'])).stdout.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { stream: 'stdout', data: 'out\x1b[2J\n' },
      { stream: 'stderr', data: 'err\n' },
    ]);
    const followed = warden(fake, ['logs', '-f', 'box']);
    await using client = await fake.connect();
    await client.container('box').job(Number(id)).kill();
    expect((await followed).stderr).toBe('err\njob ended: killed by signal 9 (SIGKILL)\n');
    expect((await warden(fake, ['logs', 'box', id.trim()])).stderr).toContain('UNKNOWN_JOB');
  });

  it('says without -f too that the result of a job that has ended is taken', async () => {
    await using client = await fake.connect();
    const job = await client.container('box').spawn('exit 3');
    expect(await warden(fake, ['logs', 'box', String(job.id)])).toEqual({
      status: 0,
      stdout: '',
      stderr: `job ${job.id} of box ended with 3\nits result is taken by that, and its output is not kept any more\n`,
    });
    expect((await warden(fake, ['logs', 'box', String(job.id)])).stderr).toContain('UNKNOWN_JOB');
  });
});

describe('logs without -f', () => {
  it('ends although the job prints all the time', async () => {
    const { stdout: id } = await warden(fake, ['exec', '-d', 'box', '--', 'chatter']);
    const now = performance.now.bind(performance);
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => 20 * now());
    try {
      const { status, stdout } = await warden(fake, ['logs', 'box', id.trim()]);
      expect(status).toBe(0);
      expect(stdout).toMatch(/^(tick\n){2,}$/);
    } finally {
      clock.mockRestore();
    }
    await using client = await fake.connect();
    await client.container('box').job(Number(id)).kill();
  });

  it('waits for a daemon that stands still, which is no silence of the job', async () => {
    const { stdout: id } = await warden(fake, ['exec', '-d', 'box', '--', 'late']);
    const ping = vi
      .spyOn(WardenClient.prototype, 'ping')
      .mockImplementation(() => new Promise((resolve) => setTimeout(resolve, 200)));
    try {
      expect((await warden(fake, ['logs', 'box', id.trim()])).stdout).toBe('late\n');
    } finally {
      ping.mockRestore();
    }
    await using client = await fake.connect();
    await client.container('box').job(Number(id)).kill();
  });
});

describe('port', () => {
  it('publishes and lists', async () => {
    expect((await warden(fake, ['port', 'box'])).stdout).toBe('');
    expect((await warden(fake, ['port', 'box', '8080:80'])).stdout).toBe('8080 -> 80\n');
    expect((await warden(fake, ['port', 'box', '81', '--jsonl'])).stdout).toMatch(
      /^\{"hostPort":\d+,"containerPort":81\}\n$/,
    );
    expect((await warden(fake, ['port', 'box'])).stdout).toMatch(/^8080 -> 80\n\d+ -> 81\n$/);
    expect((await warden(fake, ['port', 'box', '8080:81'])).stderr).toContain('ALREADY_EXISTS');
    for (const wrong of ['80:', '0', '65536', '80:0', '8000-8010', 'http', '-1', '\x1b1'])
      expect(await warden(fake, ['port', 'box', '--', wrong])).toMatchObject({
        status: 125,
        stderr: `port: '${wrong.replace('\x1b', '\\x1b')}' is no port: ports are whole numbers from 1 to 65535; write PORT or HOST:PORT, one pair for each\n`,
      });
    expect((await warden(fake, ['inspect', 'box'])).stdout).toMatch(/ {2}port +8080 -> 80\n/);
  });

  it('takes one back, and what is not there as well', async () => {
    await warden(fake, ['port', 'box', '8080:80']);
    await warden(fake, ['port', 'box', '8081:80']);
    for (const _ of ['there', 'gone'])
      expect(await warden(fake, ['port', 'box', '--remove', '8080'])).toEqual({
        status: 0,
        stdout: '8081 -> 80\n',
        stderr: '',
      });
    for (const words of [[], ['8081:80']])
      expect(await warden(fake, ['port', '--remove', 'box', ...words])).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('with --remove one port of the host is needed'),
      });
    expect((await warden(fake, ['port', 'box', '8080:81'])).stdout).toBe('8080 -> 81\n');
  });
});

describe('egress', () => {
  it('lists, allows and takes back, in the form in which it lists', async () => {
    expect(await warden(fake, ['egress', 'box'])).toEqual({ status: 0, stdout: '', stderr: '' });
    const rules = ['192.0.2.7/24:443', 'udp:*.example.org:53-60'];
    expect((await warden(fake, ['egress', 'box', ...rules])).stdout).toBe(
      'tcp:192.0.2.0/24:443\nudp:*.example.org:53-60\n',
    );
    const logged = await warden(fake, ['egress', '--log', 'box', 'icmp:192.0.2.1:8/0']);
    const [first, second, third] = logged.stdout.trim().split('\n');
    expect(third).toBe('icmp:192.0.2.1:8/0  (logged)');
    expect((await warden(fake, ['egress', 'box', '--jsonl'])).stdout.split('\n')[2]).toBe(
      '{"protocol":"icmp","network":"192.0.2.1","icmpType":8,"icmpCode":0,"log":true}',
    );
    const removal = ['egress', 'box', '--remove', first!, third!.split(' ')[0]!, 'any:1'];
    for (const _ of ['there', 'gone'])
      expect(await warden(fake, removal)).toEqual({ status: 0, stdout: `${second}\n`, stderr: '' });
  });

  it.each([
    [['box', '--remove'], 'RULE is missing'],
    [['box', '--remove', '--log', 'any:1'], 'exclude each other'],
    [['box', 'sctp:192.0.2.1'], "'sctp:192.0.2.1' is no egress rule"],
    [['box', 'any:1', '192.0.2.300:1'], 'INVALID_SPEC'],
    [['nobody'], 'UNKNOWN_HANDLE'],
  ])('%j is refused with what is wrong', async (words, message) => {
    expect(await warden(fake, ['egress', ...words])).toMatchObject({
      status: 125,
      stdout: '',
      stderr: expect.stringContaining(message),
    });
  });

  it('of a new container is given with it', async () => {
    const kept = ['run', '--name', 'new', '--grace-time', '1h', '--allow', 'any:80', '--allow', 'a.example'];
    expect((await warden(fake, [...kept, '--', 'true'])).status).toBe(0);
    expect((await warden(fake, ['egress', 'new'])).stdout).toBe('tcp:any:80\ntcp:a.example\n');
    expect((await warden(fake, ['run', '--rm', '--allow', 'no rule:', '--', 'true'])).stderr).toContain(
      'is no egress rule',
    );
  });
});

describe('events', () => {
  it('shows what happens, filtered, and ends after as many as were asked for', async () => {
    const all = warden(fake, ['events', '-n', '2']);
    const exits = warden(fake, ['events', 'box', '--type', 'exit,oom', '--jsonl', '-n', '1']);
    // both subscriptions stand once the daemon counts them
    await using client = await fake.connect();
    while ((await client.metrics()).subscribers < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await client.create({ handle: 'n\x1bew' });
    expect((await warden(fake, ['exec', 'box', '--', 'false'])).status).toBe(1);
    expect((await all).stdout).toMatch(
      /^\S+Z {2}created +n\\x1bew\n\S+Z {2}exit +box {2}job \d+: status 1\n$/,
    );
    expect(JSON.parse((await exits).stdout)).toMatchObject({ type: 'exit', handle: 'box', exitStatus: 1 });
  });

  it('refuses a type that is none', async () => {
    expect(await warden(fake, ['events', '--type', 'oomm'])).toMatchObject({
      status: 125,
      stderr: expect.stringContaining("not 'oomm'; did you mean 'oom'?"),
    });
  });
});

describe('top', () => {
  const look = (at: number, usages: Readonly<Record<string, bigint>>): Look => ({
    at,
    reports: Object.entries(usages).map(([handle, usage]) => ({
      handle,
      info: { state: 'active', events: [], jobIds: [], cpuStat: { usage, user: 0n, system: 0n } },
    })),
    metrics: {
      containers: 1,
      jobs: 0,
      pools: [],
      totals: { created: 0, destroyed: 0, exits: 0, outOfMemory: 0 },
      uptimeMs: 0,
      subscribers: 0,
    },
  });

  it('reckons percent of a processor between two looks, and nothing from one', () => {
    const before = look(1000, { a: 0n, b: 1_000_000_000n, gone: 0n });
    const now = look(2000, { a: 250_000_000n, b: 500_000_000n, c: 5n });
    expect(rowsOf(now, before, 'cpu').map(({ handle, cpu }) => [handle, cpu])).toEqual([
      ['a', 25],
      ['b', undefined],
      ['c', undefined],
    ]);
    expect(rowsOf(now, undefined, 'handle').map(({ cpu }) => cpu)).toEqual([undefined, undefined, undefined]);
  });

  it('writes a table for each look', async () => {
    const { status, stdout } = await warden(fake, [
      'top',
      '-n',
      '2',
      '--interval',
      '10ms',
      '--sort',
      'memory',
    ]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^(1 containers {3}.*\n\nHANDLE .*STATE\nbox .*active\n\n){2}$/);
    const { rows } = JSON.parse((await warden(fake, ['top', '-n', '1', '--jsonl'])).stdout) as {
      rows: unknown[];
    };
    expect(rows).toMatchObject([{ handle: 'box', state: 'active', jobs: 0 }]);
  });
});
