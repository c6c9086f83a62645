/** The worked examples of docs/examples, as programs of their own beside a real daemon. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, HOST_ADDRESS, OUTSIDE_ADDRESS, startDaemon, withDaemon } from '@warden/test-harness';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from './until.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
/** What `npx tsx` does, without the time that npx takes. */
const TSX = path.join(ROOT, 'node_modules/tsx/dist/loader.mjs');
const EXAMPLES = ['ci-runner', 'code-tool', 'plugin-host', 'mini-paas'];

/** The blocks of an example's page: what is typed, and what is shown for it. */
function pageOf(name: string): { readonly typed: string; readonly shown: string } {
  const page = fs.readFileSync(path.join(ROOT, `docs/examples/${name}.md`), 'utf8');
  const [typed = '', shown = ''] = [...page.matchAll(/```(?:sh)?\n([\s\S]*?)```/g)].map(
    ([, block]) => block!,
  );
  return { typed, shown };
}

/** The lines of a here-document. */
const inputOf = (typed: string): string => /<<'END'\n([\s\S]*?)END\n/.exec(typed)![1]!;

/** An example that runs. */
interface Running {
  readonly child: ChildProcess;
  readonly output: () => string;
  /** With both outputs. */
  readonly ended: Promise<{ status: number | null; output: string }>;
}

function start(name: string, socket: string, words: readonly string[], wrapper: string[] = []): Running {
  const file = path.join(ROOT, `examples/${name}/${name}.ts`);
  const [program, ...args] = [...wrapper, process.execPath, '--import', TSX, file, ...words];
  const child = spawn(program!, args, {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: '', WARDEN_SOCKET: socket, PLUGIN_ANSWER_WITHIN_MS: '3000' },
  });
  let output = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (data: Buffer) => {
      output += data.toString();
    });
  const ended = once(child, 'close').then(([status]) => ({ status: status as number | null, output }));
  return { child, output: () => output, ended };
}

describe('docs/examples', () => {
  it.each(EXAMPLES)('has a page on %s that shows how it is run, and the program is short', (name) => {
    const program = fs.readFileSync(path.join(ROOT, `examples/${name}/${name}.ts`), 'utf8');
    expect(program.split('\n').length).toBeLessThanOrEqual(151);
    const imported = [...program.matchAll(/ from '([^']+)'/g)].map(([, from]) => from!);
    expect(new Set(imported.filter((from) => !from.startsWith('node:')))).toEqual(
      new Set(['@warden/client']),
    );
    expect(pageOf(name).typed).toContain(`npx tsx examples/${name}/${name}.ts`);
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory'], 'the examples', () => {
  const suite = withDaemon();
  let directory: string;
  beforeAll(() => {
    directory = fs.mkdtempSync('/tmp/warden-examples-');
  });
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));
  const nothingIsLeft = async (): Promise<void> =>
    expect(await (await suite.daemon.connect()).list()).toEqual([]);

  function project(name: string, job: object): readonly [string, string] {
    const place = path.join(directory, name);
    fs.mkdirSync(place, { recursive: true });
    fs.writeFileSync(path.join(place, 'ci.json'), JSON.stringify(job));
    return [place, path.join(directory, `${name}-artefacts`)];
  }

  it('run a CI job: output, artefacts, why a step ended, and an interruption', async () => {
    const { socket } = suite.daemon.place;
    const artefacts = path.join(directory, 'artefacts');
    const eating = [
      { name: 'note', run: 'echo kept > note; ln -s note link; pwd; id -un' },
      { name: 'eat', run: 'head -c 500m /dev/zero | tail > /dev/null; echo survived' },
      { name: 'never', run: 'echo never' },
    ];
    const long = project('long', { steps: [{ name: 'long', run: 'echo begun; sleep 100' }] });
    const interrupted = start('ci-runner', socket, long);
    const [passed, eaten, late, bad] = await Promise.all(
      [
        [path.join(ROOT, 'examples/ci-runner/project'), artefacts],
        project('eat', { memoryMiB: 32, steps: eating, artefacts: ['note', 'nothing'] }),
        project('late', { steps: [{ name: 'late', run: 'echo begun; sleep 100', timeoutSeconds: 0.7 }] }),
        project('bad', { steps: [], artefacts: ['../../etc/shadow'] }),
      ].map((words) => start('ci-runner', socket, words).ended),
    );
    expect(passed).toEqual({ status: 0, output: pageOf('ci-runner').shown });
    expect(fs.readFileSync(path.join(artefacts, 'greeting.txt'), 'utf8')).toBe('HELLO, WORLD\n');
    expect(eaten?.status).toBe(1);
    expect(eaten?.output).toMatch(
      /^--- note\n\/home\/vcap\/checkout\nvcap\n--- eat\n[\s\S]*--- eat failed: needed more memory than the job may have\nartefact note\nartefact nothing is missing: .+\nfailed\n$/,
    );
    expect(eaten?.output).not.toMatch(/survived|never/);
    expect(fs.readFileSync(path.join(directory, 'eat-artefacts/note'), 'utf8')).toBe('kept\n');
    expect(late?.output).toMatch(/^--- late\n(begun\n)?--- late failed: took longer than 0.7 s\nfailed\n$/);
    expect(bad).toEqual({ status: 2, output: expect.stringMatching(/^ci-runner: .* has no steps\n$/) });
    await until(() => interrupted.output().includes('begun'));
    interrupted.child.kill('SIGINT');
    expect(await interrupted.ended).toMatchObject({
      status: 2,
      output: expect.stringContaining('ABORTED'),
    });
    await nothingIsLeft();
  });

  it('say what is wrong, without a daemon and without words', async () => {
    const nowhere = path.join(directory, 'nowhere.sock');
    const ends = await Promise.all([
      start('code-tool', nowhere, []).ended,
      start('plugin-host', nowhere, [directory]).ended,
      start('plugin-host', nowhere, []).ended,
      start('mini-paas', nowhere, ['ps']).ended,
      start('ci-runner', nowhere, []).ended,
    ]);
    expect(ends).toEqual([
      { status: 1, output: `code-tool: cannot connect to ${nowhere}: ENOENT\n` },
      { status: 1, output: `plugin-host: cannot connect to ${nowhere}: ENOENT\n` },
      { status: 1, output: 'plugin-host: usage: plugin-host.ts DIRECTORY\n' },
      { status: 1, output: `mini-paas: UNAVAILABLE: cannot connect to ${nowhere}: ENOENT\n` },
      { status: 2, output: 'ci-runner: usage: ci-runner.ts DIRECTORY ARTEFACTS\n' },
    ]);
  });

  it('run code for an agent: verdicts, files, bounds, no network', async () => {
    const requests = {
      words: {
        code: 'wc -w < essay.txt | tee n; id -un',
        files: { 'essay.txt': 'a b c' },
        collect: ['n', 'm'],
      },
      status: { code: 'echo oh >&2; exit 7' },
      network: { code: `nc -w 2 ${OUTSIDE_ADDRESS} 7001 < /dev/null && echo out || echo closed` },
      slow: { code: 'echo begun; sleep 100', timeoutMs: 700 },
      memory: { code: 'echo begun; head -c 500m /dev/zero | tail > /dev/null' },
      flood: { code: 'yes' },
      argument: { language: 'cobol', code: '' },
      fresh: { code: 'ls -A essay.txt n' },
    };
    const tool = start('code-tool', suite.daemon.place.socket, []);
    const page = pageOf('code-tool');
    tool.child.stdin!.write(inputOf(page.typed));
    for (const [id, request] of Object.entries(requests))
      tool.child.stdin!.write(`${JSON.stringify({ id, ...request })}\n`);
    tool.child.stdin!.end('null\n{"id": "collect", "code": "true", "collect": 5}\nno JSON\n');
    const { status, output } = await tool.ended;
    const read = (lines: string): Map<unknown, { stdout?: string }> =>
      new Map(
        lines
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as { id: unknown; stdout?: string })
          .map(({ id, ...answer }) => [id, answer]),
      );
    const answers = read(output);
    expect({ status, size: answers.size }).toEqual({ status: 0, size: 12 });
    // on a busy machine a snippet may not come to its first line within its time
    for (const [id, answer] of read(page.shown))
      expect(answers.get(id)).toEqual(id === 2 ? { ...answer, stdout: expect.any(String) } : answer);
    expect(answers.get('words')).toEqual({
      verdict: 'exited',
      exitStatus: 0,
      stdout: '3\nvcap\n',
      stderr: '',
      files: { n: { content: '3\n' }, m: { error: 'read /home/vcap/m: ENOENT' } },
    });
    expect(answers.get('status')).toMatchObject({ verdict: 'exited', exitStatus: 7, stderr: 'oh\n' });
    expect(answers.get('network')).toMatchObject({ stdout: 'closed\n' });
    expect(answers.get('slow')).toMatchObject({ verdict: 'timeout' });
    expect(answers.get('memory')).toMatchObject({ verdict: 'out-of-memory', stdout: 'begun\n' });
    expect(answers.get('flood')).toMatchObject({ verdict: 'output-limit' });
    expect(answers.get('flood')!.stdout).toBe('y\n'.repeat(8192));
    expect(answers.get('collect')).toEqual({ error: expect.stringContaining('collect') });
    expect(output.match(/"id":null,"error"/g)).toHaveLength(2);
    expect(answers.get('argument')).toEqual({ error: 'language is one of bash, python' });
    expect(answers.get('fresh')).toMatchObject({ exitStatus: 1, stdout: '' });
    await nothingIsLeft();
  });

  it('host plugins: answers, and another life after each death', async () => {
    const host = start('plugin-host', suite.daemon.place.socket, [
      path.join(ROOT, 'examples/plugin-host/plugins'),
    ]);
    const page = pageOf('plugin-host');
    host.child.stdin!.write(inputOf(page.typed));
    host.child.stdin!.end('counter hang\ncounter\ncounter eat\ncounter\nnobody hi\nupper still here\n');
    const { status, output } = await host.ended;
    const isNews = (line: string): boolean => /^(event |counter: |counter ended)/.test(line);
    const lines = output.trim().split('\n');
    expect(status, output).toBe(0);
    expect(lines.filter((line) => !isNews(line))).toEqual([
      ...page.shown
        .trim()
        .split('\n')
        .filter((line) => !isNews(line)),
      'failed: counter ended: timeout',
      '1',
      'failed: counter ended: out-of-memory',
      '1',
      'failed: there is no plugin nobody',
      'STILL HERE',
    ]);
    const news = [
      ...page.shown.trim().split('\n').filter(isNews),
      'counter ended (timeout) and is started again',
    ];
    const withoutNumber = (line: string): string => line.replace(/job \d+/, 'job N');
    expect(lines.map(withoutNumber)).toEqual(
      expect.arrayContaining([...news.map(withoutNumber), 'event oom']),
    );
    await nothingIsLeft();
  });
});

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory'], 'the example of a platform', () => {
  it('deploys, publishes, limits, allows, repairs, and outlives the daemon', async () => {
    let daemon = await startDaemon();
    const { place } = daemon;
    const { host, outside } = place.network;
    const app = path.join(place.directory, 'app');
    fs.cpSync(path.join(ROOT, 'examples/mini-paas/app'), app, { recursive: true });
    const paas = (...words: string[]): Running => start('mini-paas', place.socket, words, host.enter([]));
    const must = async (...words: string[]): Promise<string> => {
      const { status, output } = await paas(...words).ended;
      expect(status, output).toBe(0);
      return output;
    };
    try {
      const port = /^web at port (\d+)\n$/.exec(await must('deploy', 'web', app))![1]!;
      const page = (): string =>
        outside.try(['busybox', 'wget', '-qO-', `http://${HOST_ADDRESS}:${port}/`]).stdout;
      await expect.poll(page, { timeout: 30_000 }).toContain('it works');
      const box = (await daemon.connect()).container('app-web');
      const [list] = await Promise.all([
        must('ps'),
        must('limit', 'web', '48'),
        must('allow', 'web', OUTSIDE_ADDRESS, '7001'),
      ]);
      expect(list).toMatch(new RegExp(`^web active port ${port} \\d+ MiB healthy\n$`));
      expect(await box.limitMemory()).toBe(48n << 20n);

      const watch = paas('watch');
      const logs = paas('logs', 'web');
      try {
        await until(() => watch.output().includes('web: healthy') && logs.output().includes('url:/'));
        const { properties } = await box.info();
        await daemon.kill('SIGKILL');
        await until(() => watch.output().includes('daemon: away'));
        expect(page()).toContain('it works');
        daemon = await startDaemon({ place });
        await until(() => /away[\s\S]*daemon: present/.test(watch.output()));
        const again = (await daemon.connect()).container('app-web');
        expect((await again.info()).properties).toEqual(properties);
        expect(watch.output()).toBe('daemon: present\nweb: healthy\ndaemon: away\ndaemon: present\n');

        await again.run('kill -9 $(pidof busybox)');
        await until(() => /web: started again\n[\s\S]*web: healthy/.test(watch.output()));
        fs.renameSync(app, `${app}-away`); // so that it cannot be deployed again at first
        await again.run('head -c 500m /dev/zero | tail > /dev/null').catch(() => undefined);
        await until(() => watch.output().includes('repair: command exited with failure: open source '));
        fs.renameSync(`${app}-away`, app);
        await until(() => /deployed again \(out of memory\)\n[\s\S]*web: healthy/.test(watch.output()));
        expect(page()).toContain('it works');
      } finally {
        for (const { child } of [watch, logs]) child.kill('SIGKILL');
        await Promise.all([watch.ended, logs.ended]);
      }
      await must('delete', 'web');
      expect(page()).toBe('');
      expect((await paas('delete', 'web').ended).output).toBe('mini-paas: UNKNOWN_HANDLE: unknown handle\n');
    } finally {
      await daemon.stop();
      await daemon.kill();
      await place.remove();
    }
  });
});
