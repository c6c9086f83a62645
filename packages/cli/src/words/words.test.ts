/** Words against a warden in memory; those against the real one are in the integration suite. */
import type { PassThrough } from 'node:stream';
import { type FakeWarden, fakeWarden } from '@warden/client/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { capture } from '../../test/capture.ts';
import { warden } from '../../test/word-run.ts';
import { OUTPUT_GONE } from '../terminal.ts';
import { isWord } from './find-word.ts';
import { WORDS } from './table.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

let fake: FakeWarden;
beforeEach(() => {
  fake = fakeWarden({
    programs: {
      colours: ({ write }) => {
        write('stdout', '\x1b[31mred\x1b[0m\n');
        write('stderr', 'e\x07\n');
        return 3;
      },
      chatter: async ({ write, killed }) => {
        const talking = setInterval(() => write('stdout', 'tick\n'), 10);
        await new Promise((resolve) => killed.addEventListener('abort', resolve));
        clearInterval(talking);
        return 0;
      },
    },
  });
});
afterEach(() => fake[Symbol.asyncDispose]());

async function make(handle: string, properties?: Record<string, string>): Promise<void> {
  await using client = await fake.connect();
  await client.create({ handle, graceTime: 1000, ...(properties && { properties }) });
}
const handles = async (): Promise<readonly string[]> => {
  await using client = await fake.connect();
  return client.list();
};

describe('which words are for people', () => {
  it.each([
    ['run --rm -- id', true],
    ['run --handle h --script s', false],
    ['run --handle=h --script=s', false],
    ['run --rm -- id --handle h', true],
    ['run id', true],
    ['run', true],
    ['create --handle h', false],
    ['list', false],
    ['help', false],
    ['help run', true],
    ['image ls', true],
    ['image', true],
    ['images', false],
  ])('%s: %s', (line, expected) => {
    expect(isWord(line.split(' '))).toBe(expected);
  });

  it("are none of the original's, but run", async () => {
    const { stdout } = await capture(['--', 'help']);
    const originals = stdout.split('\n').map((line) => line.trim().split(/\s/)[0]);
    expect(WORDS.map(({ name }) => name).filter((name) => originals.includes(name))).toEqual([
      'doctor',
      'rootfs',
      'run',
    ]);
  });
});

describe('a job that this program has started, and waits for', () => {
  it.each([
    ['exec', 'box'],
    ['run', '--rm'],
  ])('%s passes signals on to it', async (...words) => {
    await make('box');
    const onOutput = vi.fn(() => process.emit('SIGTERM', 'SIGTERM'));
    expect(await warden(fake, [...words, '--', 'chatter'], { onOutput })).toMatchObject({
      status: 143,
      stderr: 'job ended: killed by signal 15 (SIGTERM)\n',
    });
  });

  it.each([
    ['exec', 'box'],
    ['run', '--rm'],
  ])('%s ends it when nobody takes its output any more', async (...words) => {
    await make('box');
    const onOutput = vi.fn((stdout: PassThrough) => {
      if (onOutput.mock.calls.length === 1) stdout.emit(OUTPUT_GONE, 141);
    });
    expect(await warden(fake, [...words, '--', 'chatter'], { onOutput })).toMatchObject({
      status: 141,
      stderr: '',
    });
    await using client = await fake.connect();
    expect(await client.list()).toEqual(['box']);
    expect((await client.container('box').info()).jobIds).toEqual([]);
  });

  it('attach only passes signals on, the job was there before', async () => {
    await make('box');
    await using client = await fake.connect();
    const box = client.container('box');
    await box.spawn('', { argv: ['chatter'] });
    const onOutput = vi.fn((stdout: PassThrough) => {
      if (stdout.listenerCount(OUTPUT_GONE) === 0) process.emit('SIGHUP', 'SIGHUP');
    });
    expect((await warden(fake, ['attach', 'box'], { onOutput })).status).toBe(129);
    expect((await box.info()).jobIds).toEqual([]);
  });
});

describe('run', () => {
  it('runs a program in a container that is gone afterwards, and exits with its status', async () => {
    expect(await warden(fake, ['run', '--rm', '--', 'echo', 'a  b', '--rm'])).toEqual({
      status: 0,
      stdout: 'a  b --rm\n',
      stderr: '',
    });
    expect((await warden(fake, ['run', '--rm', '--', 'false'])).status).toBe(1);
    expect(await handles()).toEqual([]);
  });

  it('keeps the container without --rm, and says how to remove it', async () => {
    const { status, stdout, stderr } = await warden(fake, [
      'run',
      '--name',
      'kept',
      '--grace-time',
      '1h',
      '--',
      'true',
    ]);
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: '',
      stderr: 'container kept is kept: warden destroy --handle kept\n',
    });
    expect(await handles()).toEqual(['kept']);
  });

  it.each([
    [['run', '--name', '', '--rm', '--', 'true'], 'run: --name is empty; '],
    [['exec', '', '--', 'true'], 'exec: HANDLE is empty; '],
    [['egress', ''], 'egress: HANDLE is empty; '],
  ])('%j: takes no handle without a character', async (words, text) => {
    const { status, stderr } = await warden(fake, words);
    expect({ status, stderr }).toEqual({ status: 125, stderr: expect.stringContaining(text) });
    expect(await handles()).toEqual([]);
  });

  it.each([
    [
      'arguments',
      ['run', '--', 'echo', ...Array<string>(20_000).fill('1')],
      'at most 1023 arguments, not 20000',
    ],
    ['bytes of arguments', ['run', '--', 'echo', 'é'.repeat(33_000)], 'at most 65536 bytes, not '],
    [
      'bytes of variables',
      ['run', '-e', `A=${'x'.repeat(66_000)}`, '--', 'true'],
      'at most 65536 bytes, not ',
    ],
  ])('refuses too many %s before anything is made, and says what to do', async (_what, words, text) => {
    const { status, stderr } = await warden(fake, words);
    expect({ status, stderr }).toEqual({ status: 125, stderr: expect.stringContaining(text) });
    expect(stderr).toContain('\nINVALID_SPEC: give it by standard input (-i), or by a file (warden cp)\n');
    expect(await handles()).toEqual([]);
  });

  it('leaves no container behind when its program cannot be started', async () => {
    const { status, stderr } = await warden(fake, [
      'run',
      '--workdir',
      'relative',
      '--grace-time',
      '1h',
      '--',
      'true',
    ]);
    expect(status).toBe(125);
    expect(stderr).toContain('INVALID_SPEC');
    expect(await handles()).toEqual([]);
  });

  it('passes input on with -i, variables and the directory', async () => {
    expect((await warden(fake, ['run', '--rm', '-i', '--', 'cat'], { input: 'typed' })).stdout).toBe('typed');
    const { stdout } = await warden(fake, ['run', '--rm', '-e', 'A=1', '-e', 'B=x=y', '--', 'env']);
    expect(stdout).toMatch(/A=1\nB=x=y\n$/);
    expect((await warden(fake, ['run', '--rm', '-w', '/tmp', '--', 'pwd'])).stdout).toBe('/tmp\n');
  });

  it('shows a terminal no orders of the job, and files every byte', async () => {
    const words = ['run', '--rm', '--', 'colours'];
    expect(await warden(fake, words)).toEqual({
      status: 3,
      stdout: '\x1b[31mred\x1b[0m\n',
      stderr: 'e\x07\n',
    });
    expect(await warden(fake, words, { terminals: ['stdout', 'stderr'] })).toEqual({
      status: 3,
      stdout: '\\x1b[31mred\\x1b[0m\n',
      stderr: 'e\\x07\n',
    });
    const raw = await warden(fake, ['run', '--rm', '--raw', '--', 'colours'], { terminals: ['stdout'] });
    expect(raw.stdout).toBe('\x1b[31mred\x1b[0m\n');
  });

  it('kills a job whose time is over, and exits with 124', async () => {
    const { status, stderr } = await warden(fake, [
      'run',
      '--rm',
      '--timeout',
      '50ms',
      '--',
      'sleep',
      '1000',
    ]);
    expect({ status, stderr }).toEqual({
      status: 124,
      stderr: 'job ended: killed, its time limit was over\n',
    });
    expect(await handles()).toEqual([]);
  });

  it.each([
    [['run', '--rm'], 'a command is missing'],
    [['run', '--rm', '-d', '--', 'x'], '--rm and --detach exclude each other'],
    [['run', '-d', '--grace-time', '0', '--', 'x'], '--detach and --grace-time 0 exclude each other'],
    [['run', '--image', 'a', '--rootfs', 'b', '--', 'x'], '--image and --rootfs exclude each other'],
    [['run', '-d', '--timeout', '5', '--', 'x'], '--detach and --timeout exclude each other'],
    [['exec', '-d', '--timeout', '5', 'box', '--', 'x'], '--detach and --timeout exclude each other'],
    [['run', '--disk', '0', '--', 'x'], "--disk: '0' is no limit"],
    [['run', '--memory', '0m', '--', 'x'], "--memory: '0m' is no limit"],
    [['run', '-v', '/a', '--', 'x'], "--bind: '/a' is not of the form SOURCE:TARGET"],
    [['run', '-p', '0', '--', 'x'], "--publish: '0' is no port"],
    [['run', '-t', '--', 'x'], 'the input of this program is no terminal'],
    [['run', '--rmm', '--', 'x'], "unknown flag --rmm; did you mean '--rm'?"],
  ])('%#: makes nothing of what it does not understand, 125', async (words, text) => {
    const { status, stdout, stderr } = await warden(fake, words);
    expect({ status, stdout }).toEqual({ status: 125, stdout: '' });
    expect(stderr).toContain(text);
    expect(await handles()).toEqual([]);
  });
});

describe('exec and attach', () => {
  it('runs in a container that is there, leaves it, and comes back', async () => {
    await make('box');
    expect(await warden(fake, ['exec', 'box', 'echo', 'here'])).toEqual({
      status: 0,
      stdout: 'here\n',
      stderr: '',
    });
    const { stdout } = await warden(fake, ['exec', '-d', '--json', 'box', '--', 'echo', 'later']);
    const { handle, jobId } = JSON.parse(stdout) as { handle: string; jobId: number };
    expect(handle).toBe('box');
    expect(await warden(fake, ['attach', 'box', String(jobId)])).toMatchObject({
      status: 0,
      stdout: 'later\n',
    });
  });

  it.each([
    [[], ''],
    [['--timeout', '1h'], '; its --timeout no longer holds'],
  ])(
    '%j: says at the keys that leave a job how to come back, and what ends with this program',
    async (flags, text) => {
      await make('box');
      const ended = await warden(fake, ['exec', '-t', ...flags, 'box', '--', 'sleep', '1000'], {
        input: '\x10\x11',
        terminals: ['stdin', 'stdout'],
      });
      expect(ended).toMatchObject({
        status: 0,
        stderr: expect.stringMatching(
          new RegExp(`^\\ndetached: warden attach box \\d+ comes back to it${text}\\n$`),
        ),
      });
    },
  );

  it('says what is wrong with the container or the job', async () => {
    expect(await warden(fake, ['exec', 'none', '--', 'x'])).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('UNKNOWN_HANDLE'),
    });
    await make('box');
    expect(await warden(fake, ['attach', 'box'])).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('there is no job in box'),
    });
    expect((await warden(fake, ['exec', '--json', 'none', '--', 'x'])).stderr).toMatch(
      /^\{"code":"UNKNOWN_HANDLE"/,
    );
    // what stands in a command is the command's
    expect((await warden(fake, ['exec', 'none', 'ls', '--json'])).stderr).toMatch(/^unknown handle\n/);
  });
});

describe('ps and inspect', () => {
  it('list containers as a table, as handles, and for programs', async () => {
    expect((await warden(fake, ['ps'])).stdout).toBe('HANDLE  STATE  ADDRESS  MEMORY  JOBS  LABELS\n');
    await make('one', { app: 'web' });
    await make('t\x1b[2Jo');
    const { stdout } = await warden(fake, ['ps']);
    expect(stdout).toMatch(/\none +active .* app=web\nt\\x1b\[2Jo +active /);
    expect((await warden(fake, ['ps', '-q', '-l', 'app=web'])).stdout).toBe('one\n');
    const reports = JSON.parse((await warden(fake, ['ps', '--json'])).stdout) as { handle: string }[];
    expect(reports.map(({ handle }) => handle)).toEqual(['one', 't\x1b[2Jo']);
    expect((await warden(fake, ['ps', '--jsonl'])).stdout.trim().split('\n')).toHaveLength(2);
  });

  it('are one handle a line, on a terminal or not, and as they are with -0', async () => {
    for (const handle of ['two words', 'a\nb', 't\x1b[2Jo', '\udcff', 'nul\0']) await make(handle);
    const lines = 'two words\na\\x0ab\nt\\x1b[2Jo\n\\xff\nnul\\x00\n';
    const told = 'handles with control characters, written with escapes: 4; -0 writes them as they are\n';
    for (const terminals of [[], ['stdout']] as const)
      expect(await warden(fake, ['ps', '-q'], { terminals })).toEqual({
        status: 0,
        stdout: lines,
        stderr: told,
      });
    for (const flag of ['-0', '-q0', '--null'])
      expect(await warden(fake, ['ps', flag])).toEqual({
        status: 0,
        stdout: 'two words\0a\nb\0t\x1b[2Jo\0\xff\0',
        stderr: 'handles with a zero byte, left out: 1; --json has them\n',
      });
    expect(await warden(fake, ['ps', '-0'], { terminals: ['stdout'] })).toMatchObject({
      status: 125,
      stdout: '',
      stderr: expect.stringContaining('ps: -0 is for another program'),
    });
  });

  it('tell which jobs have ended, and how, until their results are taken', async () => {
    await make('box');
    await using client = await fake.connect();
    const box = client.container('box');
    const [running, killed] = [
      await box.spawn('', { argv: ['sleep', '1000'] }),
      await box.spawn('', { argv: ['sleep', '1000'] }),
    ];
    expect((await warden(fake, ['inspect', 'box'])).stdout).not.toContain('ended');
    await killed.kill({ signal: 9 });
    const failed = await box.spawn('', { argv: ['false'] });
    await expect.poll(async () => (await warden(fake, ['ps'])).stdout, SOON).toMatch(/ 1, 2 ended/);
    const { stdout } = await warden(fake, ['inspect', 'box']);
    expect(stdout).toMatch(new RegExp(`  running jobs +no. ${running.id}\n`));
    expect(stdout).toMatch(
      new RegExp(
        `  ended job +no. ${killed.id}, killed by signal 9 \\(SIGKILL\\)\n  ended job +no. ${failed.id}, exit status 1\n`,
      ),
    );
    expect(JSON.parse((await warden(fake, ['inspect', 'box', '--json'])).stdout)).toMatchObject([
      {
        info: {
          jobIds: [running.id],
          endedJobs: [
            { id: killed.id, exitStatus: 255, verdict: { reason: 'signal', signal: 9 } },
            { id: failed.id, exitStatus: 1, verdict: { reason: 'exited' } },
          ],
        },
      },
    ]);
    await Promise.all([killed.link(), failed.link()]);
    expect((await warden(fake, ['ps'])).stdout).not.toContain('ended');
    await running.kill();
    await expect
      .poll(async () => (await warden(fake, ['logs', 'box'])).stderr, SOON)
      .toMatch(new RegExp(`^no job runs in box \\(ended: no\\. ${running.id}\\): name one\n`));
    await running.link();
    expect((await warden(fake, ['logs', 'box'])).stderr).toBe(
      'there is no job in box\nINVALID_SPEC: start one, by warden exec -d HANDLE -- PROGRAM; a job is gone when its result was taken\n',
    );
  });

  it('tell everything of some, and which are not there', async () => {
    await make('one', { app: 'web' });
    await using client = await fake.connect();
    await client.container('one').limitCpu(200n);
    const { status, stdout, stderr } = await warden(fake, ['inspect', 'one', 'none']);
    expect(stdout).toMatch(/\n {2}processor shares +200\n/);
    expect(status).toBe(125);
    expect(stdout).toMatch(/^one\n {2}state +active\n/);
    expect(stdout).toMatch(/ {2}label +app=web\n/);
    expect(stderr).toMatch(/^none: .*\nUNKNOWN_HANDLE: /);
    expect(JSON.parse((await warden(fake, ['inspect', 'one', '--json'])).stdout)).toMatchObject([
      { handle: 'one', info: { state: 'active', properties: { app: 'web' } } },
    ]);
  });
});

describe('options before the word', () => {
  it('--trace writes the words, --timeout bounds them', async () => {
    expect((await warden(fake, ['--trace', 'ps', '-q'])).stdout).toBe('+ ps -q\n');
    await make('box');
    const late = await warden(fake, ['--timeout', '0.05', 'exec', 'box', '--', 'sleep', '1000']);
    expect(late.status).toBe(125);
    expect(late.stderr).toMatch(/^the daemon did not finish its answer within 0.05 s\nTIMEOUT: /);
  });
});

describe('help', () => {
  it('of each word has its use, flags and examples, and needs no daemon', async () => {
    for (const { name, isForeign } of WORDS) {
      const words = ['help', ...name.split(' ')];
      const { status, stdout, stderr } = await capture(words);
      expect({ status, stderr }, name).toEqual({ status: 0, stderr: '' });
      expect(stdout).toMatch(new RegExp(`^Usage: warden ${name} \\[FLAGS\\]`));
      expect(stdout).toMatch(/\nFlags:\n {2}[\s\S]+\nExamples:\n {2}warden |\nExamples:\n {2}\S/);
      if (!isForeign) expect((await capture([...name.split(' '), '--help'])).stdout).toBe(stdout);
    }
    for (const name of ['run', 'exec'])
      expect((await capture(['help', name])).stdout).toMatch(
        /10 MiB[\s\S]* is killed[\s\S]*job_output_limit: 0/,
      );
    expect((await capture(['image', '--help'])).stdout).toMatch(/^Usage: warden image ACTION/);
  });

  it('shows the version', async () => {
    expect(await capture(['--version'])).toEqual({
      status: 0,
      stdout: expect.stringMatching(/^warden \d+\.\d+\.\d+\S*\n$/),
      stderr: '',
    });
  });

  it('of the program lists the words behind the commands of the original', async () => {
    const lines = (await capture(['--help'])).stdout.split('\n');
    for (const { name, summary } of WORDS) expect(lines).toContain(`\t${name.padEnd(29)}${summary}`);
  });

  it.each([
    [['pss'], 2, "Command: 'pss' is non-existent.; did you mean 'ps'?\n"],
    [['--', 'pss'], 2, "Command: 'pss' is non-existent.\n"],
    [['imgae', 'ls'], 2, "Command: 'imgae' is non-existent.; did you mean 'image'?\n"],
    [
      ['image', 'lss'],
      125,
      "image: unknown action 'lss'; did you mean 'ls'?\nActions: gc, import, ls, pull, rm, snapshot\n",
    ],
    [['image'], 125, 'image: an action is missing: gc, import, ls, pull, rm, snapshot\n'],
    [['help', 'exce'], 125, "help: there is no word 'exce'; did you mean 'exec'?\n"],
    [
      ['info', '--hanlde', 'h'],
      2,
      "In flag: '--hanlde', the field: 'hanlde' is invalid.; did you mean '--handle'?\n",
    ],
    [['--', 'info', '--hanlde', 'h'], 2, "In flag: '--hanlde', the field: 'hanlde' is invalid.\n"],
    [['--sokcet', '/x', 'ps'], 1, "invalid option: --sokcet; did you mean '--socket'?\n"],
    [['--sokcet', '--', 'list'], 1, 'invalid option: --sokcet\n'],
  ])("%#: %j is told what was meant, behind -- the original's text alone", async (words, status, stderr) => {
    expect(await capture(words)).toEqual({ status, stdout: '', stderr });
  });
});
