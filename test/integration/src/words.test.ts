/** The words for people of `warden` against a real daemon. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import type { WardenClient } from '@warden/client';
import { archiveImage, DEFAULT_ROOTFS, describeWith, patience, withDaemon } from '@warden/test-harness';
import { beforeAll, expect, it, vi } from 'vitest';
import { Tmux } from '../../../packages/cli/test/tmux.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../../packages/cli/bin/warden.js');

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describeWith(['root', 'isolated', 'overlayfs', 'tmux'], 'words for people', () => {
  const suite = withDaemon();
  let client: WardenClient;
  beforeAll(async () => {
    client = await suite.daemon.connect();
  });

  const start = (...words: string[]): ChildProcess =>
    spawn(process.execPath, [PROGRAM, ...words], {
      env: { PATH: process.env.PATH, WARDEN_SOCKET: suite.daemon.place.socket },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  const end = async (child: ChildProcess, input = ''): Promise<Ended> => {
    const text = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name]!.on('data', (chunk: Buffer) => {
        text[name] += chunk.toString('latin1');
      });
    child.stdin!.end(input);
    const [status] = (await once(child, 'close')) as [number | null];
    return { status, ...text };
  };
  const warden = (...words: string[]): Promise<Ended> => end(start(...words));

  it('runs programs in containers of their own and passes everything on, several at once', async () => {
    const script = 'cat; echo "$A"; pwd; id -un; echo no >&2; exit 42';
    const words = [
      'run',
      '--rm',
      '-i',
      '-e',
      'A=b c',
      '-w',
      '/tmp',
      '--memory',
      '64m',
      '--',
      'bash',
      '-c',
      script,
    ];
    const [ran, missing, refused, killed, late, root] = await Promise.all([
      end(start(...words), 'input\n'),
      warden('run', '--rm', '--', 'no-such-program'),
      warden('run', '--rm', '--', '/etc/passwd'),
      warden('run', '--rm', '--', 'bash', '-c', 'kill -TERM $$'),
      warden('run', '--rm', '--timeout', '1s', '--', 'sleep', '1000'),
      warden('run', '--rm', '--privileged', '--', 'id', '-un'),
    ]);
    expect(ran).toEqual({ status: 42, stdout: 'input\nb c\n/tmp\nvcap\n', stderr: 'no\n' });
    expect(missing).toEqual({
      status: 127,
      stdout: '',
      stderr: 'execvpe: no-such-program: No such file or directory\n',
    });
    expect(refused).toMatchObject({ status: 126, stderr: 'execvpe: /etc/passwd: Permission denied\n' });
    expect(killed).toMatchObject({ status: 143, stderr: 'job ended: killed by signal 15 (SIGTERM)\n' });
    expect(late).toMatchObject({ status: 124, stderr: 'job ended: killed, its time limit was over\n' });
    expect(root).toMatchObject({ status: 0, stdout: 'root\n' });
    expect(await client.list()).toEqual([]);
  });

  it('passes a signal on, and with --rm nothing is left, whatever ends the program', async () => {
    for (const [signal, status] of [
      ['SIGINT', 7],
      ['SIGKILL', null],
    ] as const) {
      const child = start(
        'run',
        '--rm',
        '--',
        'bash',
        '-c',
        'trap "exit 7" INT; echo ready; while :; do sleep 0.05; done',
      );
      child.stdout!.once('data', () => child.kill(signal));
      expect((await end(child)).status).toBe(status);
      await vi.waitFor(async () => expect(await client.list()).toEqual([]), {
        timeout: patience(30_000),
        interval: 50,
      });
    }
  });

  it('breaks a copy of its input off at a signal, though nothing comes, and leaves the file as it was', async () => {
    await using box = await client.create({ handle: 'copied-into' });
    await box.files.write('/tmp/file', 'old');
    const child = start('cp', '-', 'copied-into:/tmp/file');
    const ended = once(child, 'close');
    const isWriting = (name: string): boolean => {
      try {
        return fs.readFileSync(`/proc/${name}/cmdline`, 'utf8').includes('\0write\0/tmp/file\0');
      } catch {
        return false; // it is no process, or has ended
      }
    };
    await vi.waitFor(() => expect(fs.readdirSync('/proc').some(isWriting)).toBe(true), {
      timeout: patience(30_000),
      interval: 20,
    });
    child.stdin!.write('new');
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    expect(await box.files.readText('/tmp/file')).toBe('old');
  });

  it('keeps a container without --rm, for exec, ps and inspect', async () => {
    const kept = await warden(
      'run',
      '--name',
      'kept',
      '--label',
      'app=web',
      '-p',
      '80',
      '--grace-time',
      '1h',
      '--',
      'true',
    );
    expect(kept).toMatchObject({ status: 0, stdout: '' });
    expect(kept.stderr).toMatch(/^port \d+ of the host leads to 80\ncontainer kept is kept: /);
    expect(await end(start('exec', '-i', 'kept', '--', 'cat'), 'in')).toMatchObject({
      status: 0,
      stdout: 'in',
    });
    const [table, report] = await Promise.all([
      warden('ps', '-l', 'app=web'),
      warden('inspect', 'kept', '--json'),
    ]);
    expect(table.stdout).toMatch(/\nkept +active +10\.\d+\.\d+\.\d+ .* app=web\n$/);
    expect(JSON.parse(report.stdout)).toMatchObject([
      { handle: 'kept', info: { properties: { app: 'web' } } },
    ]);
    expect((await warden('destroy', '--handle', 'kept')).status).toBe(0);
  });

  it('run --disk is refused, and no container is left, where disk limits are off; limit_disk answers nothing as ever, and warns [behaviour 5 LimitDisk]', async () => {
    const { status, stdout, stderr } = await warden('run', '--disk', '64m', '--', 'echo', 'unlimited');
    expect([status, stdout]).toEqual([125, '']);
    expect(stderr).toMatch(
      /^run: --disk: disk limits are off in this daemon\nUNSUPPORTED: run it without --disk, or set server\.quota\.disk_quota_enabled: true .* warden doctor /,
    );
    expect(await client.list()).toEqual([]);
    await using _box = await client.create({ handle: 'free' });
    expect(await warden('limit_disk', '--handle', 'free', '--byte', '1000000')).toEqual({
      status: 0,
      stdout: '',
      stderr: expect.stringMatching(/^warning: disk limits are off in this daemon, /),
    });
  });

  it('the output limit ends a job in the foreground too, as its help says', async () => {
    await using _box = await client.create({ handle: 'loud' });
    const { status, stdout, stderr } = await warden('exec', 'loud', '--', 'yes');
    expect([status, stderr]).toEqual([125, 'job ended: killed, it printed more than is kept for a job\n']);
    expect(stdout.length).toBeGreaterThanOrEqual(10 * 1024 * 1024);
  });

  it('cp says what to do about a permission inside', async () => {
    await using box = await client.create({ handle: 'closed' });
    await box.run('mkdir -m 700 /root/own', { check: true, privileged: true });
    const file = path.join(suite.daemon.place.directory, 'closed');
    fs.writeFileSync(file, 'x');
    for (const words of [
      [file, 'closed:/root/own/x'],
      ['closed:/root/own/x', file],
    ]) {
      const { status, stderr } = await warden('cp', ...words);
      expect([status, stderr]).toEqual([
        125,
        expect.stringMatching(
          /EACCES\nFORBIDDEN: vcap may not .*warden cp --privileged.* permissions of the path there\n$/,
        ),
      ]);
    }
    expect((await warden('cp', '--privileged', file, 'closed:/root/')).status).toBe(0);
    expect(
      (await warden('copy_in', '--handle', 'closed', '--src_path', file, '--dst_path', '/root/')).stderr,
    ).toMatch(/create file \/root\/\S+ in the container: EACCES\nFORBIDDEN: vcap may not do this inside/);
  });

  it('cp leaves set-user-id and set-group-id bits out, of files and directories, both ways; the sticky bit is kept [SECURITY F09]', async () => {
    await using box = await client.create({ handle: 'bits' });
    const place = path.join(suite.daemon.place.directory, 'bits');
    fs.mkdirSync(path.join(place, 'tree'), { recursive: true });
    for (const name of ['tool', 'shared']) fs.writeFileSync(path.join(place, 'tree', name), 'x');
    for (const [name, mode] of [
      ['.', 0o3777],
      ['tool', 0o4755],
      ['shared', 0o2755],
    ] as const)
      fs.chmodSync(path.join(place, 'tree', name), mode);
    for (const source of ['tree', 'tree/tool'])
      expect((await warden('cp', path.join(place, source), 'bits:/tmp')).status).toBe(0);
    const { stdoutText } = await box.run('cd /tmp && stat -c %a tree tree/tool tree/shared tool');
    expect(stdoutText).toBe('1777\n755\n755\n755\n');
    await box.run('cd /tmp && chmod 3777 tree && chmod 4755 tree/tool && chmod 2755 tree/shared', {
      check: true,
    });
    for (const [source, target] of [
      ['tree', 'back'],
      ['tree/tool', 'tool'],
    ] as const)
      expect((await warden('cp', `bits:/tmp/${source}`, path.join(place, target))).status).toBe(0);
    expect(
      ['back', 'back/tool', 'back/shared', 'tool'].map(
        (name) => fs.statSync(path.join(place, name)).mode & 0o7777,
      ),
    ).toEqual([0o1777, 0o755, 0o755, 0o755]);
  });

  it('copies trees and files, follows logs, tells events and ports, and looks at what is used', async () => {
    await using box = await client.create({ handle: 'b' });
    const place = path.join(suite.daemon.place.directory, 'copy');
    fs.mkdirSync(path.join(place, 'tree/sub'), { recursive: true });
    fs.chmodSync(place, 0o755);
    fs.writeFileSync(path.join(place, 'tree/sub/file'), Buffer.alloc(300_000, 7));
    fs.symlinkSync('../sub/file', path.join(place, 'tree/sub/link'));
    const events = warden('events', '--type', 'exit', '--jsonl', '-n', '1');
    await vi.waitFor(async () => expect((await client.metrics()).subscribers).toBe(1), {
      timeout: patience(30_000),
    });
    expect(await warden('cp', path.join(place, 'tree'), 'b:/tmp')).toMatchObject({
      status: 0,
      stderr: '/tmp/tree: 293 KiB\n',
    });
    const job = await box.spawn(
      'cd /tmp/tree/sub && stat -c "%n %F %s %U" *; until [ -e /tmp/go ]; do sleep 0.05; done; exit 3',
    );
    // it has printed before what it has printed is looked at
    const printed = job.stream();
    await printed.next();
    await printed.return(undefined as never);
    const [kept, back, listed] = await Promise.all([
      warden('logs', 'b', String(job.id)),
      warden('cp', 'b:/tmp/tree', path.join(place, 'back')),
      warden('port', 'b', '80'),
    ]);
    expect(kept).toEqual({
      status: 0,
      stdout: 'file regular file 300000 vcap\nlink symbolic link 11 vcap\n',
      stderr: '',
    });
    expect(back.status).toBe(0);
    expect(fs.readFileSync(path.join(place, 'back/sub/link')).equals(Buffer.alloc(300_000, 7))).toBe(true);
    expect((await warden('port', 'b')).stdout).toBe(listed.stdout);
    expect((await warden('info', '--handle', 'b')).stdout).toMatch(/\nports\[0\]\.container_port : 80\n/);
    const followed = warden('logs', '-f', 'b', String(job.id));
    expect((await end(start('cp', '-', 'b:/tmp/go'), 'x')).status).toBe(0);
    expect(await followed).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/job \d+ of b ended with 3\n$/),
    });
    expect(JSON.parse((await events).stdout)).toMatchObject({
      type: 'exit',
      handle: 'b',
      jobId: job.id,
      exitStatus: 3,
    });
    const { stdout } = await warden('top', '-n', '2', '--interval', '200ms', '--jsonl');
    const looks = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { rows: { handle: string; cpu?: number }[] });
    expect(looks[0]!.rows).toMatchObject([{ handle: 'b', memory: expect.any(String) }]);
    expect(looks[1]!.rows[0]!.cpu).toBeGreaterThanOrEqual(0);
    fs.rmSync(place, { recursive: true });
  });

  it('imports, lists, uses and removes images', async () => {
    const layer = fs.mkdtempSync(path.join(suite.daemon.place.directory, 'layer-'));
    fs.chmodSync(layer, 0o755);
    fs.writeFileSync(path.join(layer, 'mark'), 'of the image\n');
    const file = path.join(suite.daemon.place.directory, 'image.tar');
    archiveImage(file, 'words/app:1', DEFAULT_ROOTFS, layer);
    expect(await warden('image', 'import', file)).toEqual({ status: 0, stdout: 'words/app:1\n', stderr: '' });
    expect(await warden('run', '--rm', '--image', 'words/app:1', '--', 'cat', '/mark')).toMatchObject({
      status: 0,
      stdout: 'of the image\n',
    });
    // stands on it until it is destroyed
    expect((await warden('run', '--name', 'user', '--image', 'words/app:1', '--', 'true')).status).toBe(0);
    const [listed, busy, collected, pulled] = await Promise.all([
      warden('image', 'ls'),
      warden('image', 'rm', 'words/app:1'),
      warden('image', 'gc', '--json'),
      warden('image', 'pull', 'registry.invalid/app'),
    ]);
    expect(listed.stdout).toMatch(/^NAME +ID .*\nwords\/app:1 +[0-9a-f]{12} /);
    expect(busy).toMatchObject({ status: 125, stderr: expect.stringContaining('BAD_STATE') });
    expect(collected.stdout).toMatch(/^\{"images":\[\]/);
    expect(pulled.stderr).toContain('FORBIDDEN');
    await client.container('user').destroy();
    for (const name of ['one', 'two']) await warden('image', 'import', file, '--name', `words/${name}`);
    const several = await warden('image', 'rm', '--json', 'words/one', 'words/two', 'words/three');
    expect(several).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('words/three not found'),
    });
    // they were names alone
    expect(JSON.parse(several.stdout)).toEqual({ images: [], bytes: 0 });
    expect(await warden('image', 'rm', 'words/app:1')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^[0-9a-f]{12}\n$/),
      stderr: expect.stringContaining('given back'),
    });
  });

  const terminal = (line: string): Tmux =>
    new Tmux(suite.daemon.place.directory, line, { WARDEN_SOCKET: suite.daemon.place.socket });
  const word = `'${process.execPath}' '${PROGRAM}'`;

  it('gives a job the terminal: prompt, size, Ctrl-C, leaving and coming back', async () => {
    await using box = await client.create({ handle: 't' });
    const back = `${word} attach t; echo got=$?; stty -a | grep -o ' echo '`;
    using tmux = terminal(`${word} exec -it -e PS1='in> ' t -- bash --norc; ${back}`);
    await tmux.until(/^in>$/);
    tmux.type('stty size; id -un');
    tmux.press('Enter');
    await tmux.until(/\n30 100\nvcap\nin>$/);
    tmux.resize(90, 25);
    tmux.type('until [ "$(stty size)" = "25 90" ]; do sleep 0.1; done; echo resi""zed');
    tmux.press('Enter');
    await tmux.until(/\nresized\nin>$/);
    // the key reaches what runs in the foreground there, and nothing here
    tmux.type('sleep 1000 || echo inter""rupted $?');
    tmux.press('Enter');
    await tmux.until(/inter""rupted \$\?$/);
    tmux.press('C-c');
    await tmux.until(/\^C.*\nin>$/);
    tmux.type('kept=yes');
    tmux.press('Enter', 'C-p', 'C-q');
    await tmux.until(/\ndetached: warden attach t \d+ comes back to it\n/);
    expect((await box.info()).jobIds).toHaveLength(1);
    // everything it has shown so far comes again
    await tmux.until(/comes back[\s\S]*kept=yes\s+in>$/);
    tmux.type('echo is $kept; exit 7');
    tmux.press('Enter');
    await tmux.until(/\nis yes\nexit\ngot=7\n echo\s+status=0$/);
  });

  it('shows what is used on a screen of its own, also when its size changes, and leaves no trace of it', async () => {
    await using _one = await client.create({ handle: 'first-of-them' });
    await using _two = await client.create({ handle: 'second' });
    using tmux = terminal(`echo before; ${word} top --interval 500ms --sort handle`);
    await tmux.until(/^2 containers.*\n\nHANDLE +CPU .*\nfirst-of-them .*active\nsecond .*active$/);
    tmux.resize(20, 4);
    await tmux.until(/^2 containers.{1,8}\n\nHANDLE.*$/);
    tmux.resize(100, 30);
    await tmux.until(/\nsecond .*active$/);
    tmux.press('q');
    await tmux.until(/^before\nstatus=0$/);
  });

  it('ends a job at Ctrl-C with the status of that, and the container with it', async () => {
    using tmux = terminal(`${word} run --rm -- sh -c 'printf "\\033[2Jrea"; echo dy; exec sleep 1000'`);
    await tmux.until(/^\\x1b\[2Jready$/);
    tmux.press('C-c');
    await tmux.until(/\^Cjob ended: killed by signal 2 \(SIGINT\)\nstatus=130$/);
    expect(await client.list()).toEqual([]);
  });
});
