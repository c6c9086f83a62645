import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lchownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Depot, expectNoMoreDescriptors, openDescriptors, output, shell, start } from './container.ts';
import { obstacle } from './own-namespaces.ts';

const needs = obstacle();
describe.skipIf(needs !== undefined)(`launch${needs === undefined ? '' : ` [needs: ${needs}]`}`, () => {
  let depot: Depot;
  beforeAll(() => {
    depot = new Depot();
  });
  afterAll(() => depot.remove());

  test('probe tries the real thing and leaves nothing', async () => {
    const driver = await depot.driver();
    expect(await driver.probe()).toMatchObject({ ok: true });
    // the first one has opened what the process keeps
    const before = openDescriptors();
    expect(await driver.probe()).toMatchObject({ ok: true });
    await expectNoMoreDescriptors(before);
    // other daemons of the machine may be at theirs, which have the same name; what is left stays
    await expect.poll(() => depot.processes('00000000000'), { timeout: 20_000 }).toEqual([]);
  });

  test('a container has its host name, files, user and niceness', async () => {
    const driver = await depot.driver();
    const init = await start(driver, depot.spec('0000000000a', { nice: 5 }));
    try {
      const script =
        'hostname; id -u; set -- $(cat /proc/self/stat); shift 18; echo $1; cat /etc/hosts /etc/resolv.conf; cd ~; pwd; echo problem >&2; exit 7';
      const job = await init.spawn(shell(1, script));
      expect(await output(job)).toEqual({
        stdout: '0000000000a\n10007\n5\n127.0.0.1 localhost\nnameserver 10.0.0.1\n/home/vcap\n',
        stderr: 'problem\n',
      });
      expect(await job.exited).toEqual({ exitCode: 7 });
    } finally {
      await init.kill();
    }
  });

  test('proceed leaves only init, kill leaves nothing, and both may be repeated', async () => {
    const driver = await depot.driver();
    const spec = depot.spec('0000000000b');
    await driver.prepare(spec);
    const before = openDescriptors();
    const launched = await driver.launch(spec);
    const init = await launched.proceed();
    expect(await launched.proceed()).toBe(init);
    expect(init.pid).toBe(launched.pid);
    expect(depot.processes('0000000000b')).toHaveLength(1);
    await init.kill();
    await init.kill();
    await launched.abort();
    await init.closed;
    expect(depot.processes('0000000000b')).toEqual([]);
    await expectNoMoreDescriptors(before);
    expect(await driver.connect(spec.directory)).toBeUndefined();
  });

  test('abort before proceed leaves nothing', async () => {
    const driver = await depot.driver();
    const spec = depot.spec('0000000000c');
    await driver.prepare(spec);
    const before = openDescriptors();
    const launched = await driver.launch(spec);
    await launched.abort();
    await launched.abort();
    expect(existsSync(`/proc/${launched.pid}`)).toBe(false);
    expect(depot.processes('0000000000c')).toEqual([]);
    await expectNoMoreDescriptors(before);
    await expect(launched.proceed()).rejects.toMatchObject({ code: expect.any(String) });
  });

  test('a mount that fails names its stage, object and errno, and leaves nothing', async () => {
    const driver = await depot.driver();
    const gone = join(depot.directory, 'gone');
    mkdirSync(gone);
    const spec = depot.spec('0000000000d', { bindMounts: [{ source: gone, target: '/gone', mode: 'ro' }] });
    await driver.prepare(spec);
    const plan = readFileSync(join(spec.directory, 'etc/fstab'), 'utf8');
    writeFileSync(join(spec.directory, 'etc/fstab'), plan.replace(gone, `${gone}-away`));
    const before = openDescriptors();
    const launched = await driver.launch(spec);
    await expect(launched.proceed()).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: expect.stringContaining(`${gone}-away`),
      fields: { errno: 'ENOENT', object: expect.stringContaining('gone'), stage: expect.any(String) },
    });
    expect(depot.processes('0000000000d')).toEqual([]);
    await expectNoMoreDescriptors(before);
  });

  test('a missing bind source is refused before anything is made', async () => {
    const driver = await depot.driver();
    const bindMounts = [{ source: '/does/not/exist', target: '/x', mode: 'ro' as const }];
    await expect(driver.prepare(depot.spec('0000000000e', { bindMounts }))).rejects.toThrow(
      'Source path for bind mount does not exist: /does/not/exist',
    );
  });

  test('bind mounts: read-only refuses writes, read-write reaches the host, names may have blanks', async () => {
    const driver = await depot.driver();
    const source = join(depot.directory, 'a b');
    mkdirSync(source);
    chmodSync(source, 0o777);
    writeFileSync(join(source, 'file'), 'content\n');
    const init = await start(
      driver,
      depot.spec('0000000000f', {
        bindMounts: [
          { source, target: '/new/ro dir', mode: 'ro' },
          { source, target: '/rw', mode: 'rw' },
          { source: join(source, 'file'), target: '/one-file', mode: 'ro' },
        ],
      }),
    );
    try {
      const job = await init.spawn(shell(1, 'cat /one-file; touch /rw/made; touch "/new/ro dir/x"'));
      const { stdout, stderr } = await output(job);
      expect(stdout).toBe('content\n');
      expect(stderr).toContain('Read-only file system');
      expect(readdirSync(source).sort()).toEqual(['file', 'made']);
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain('/new/ro');
    } finally {
      await init.kill();
    }
  });

  test('files of the image’s user change hands where the base cannot be mapped, and only those [linux-container 5.5]', async () => {
    // an overlay as base: the kernel maps none
    const [lower, base] = ['lower', 'overlaid'].map((name) => join(depot.directory, name)) as [
      string,
      string,
    ];
    cpSync(depot.root, lower, { recursive: true, verbatimSymlinks: true });
    writeFileSync(
      join(lower, 'etc/passwd'),
      'root:x:0:0:root:/root:/bin/sh\nvcap:x:77:78::/home/vcap:/bin/sh\n',
    );
    writeFileSync(join(lower, 'etc/group'), 'root:x:0:\nvcap:x:78:\n');
    const deep = join(lower, 'srv', ...Array.from({ length: 300 }, () => 'd'));
    mkdirSync(deep, { recursive: true });
    for (const name of ['file', 'group', 'other']) writeFileSync(join(deep, name), 'content\n');
    chownSync(join(deep, 'file'), 77, 78);
    chownSync(join(deep, 'group'), 5, 78);
    chownSync(join(deep, 'other'), 10_007, 10_007);
    linkSync(join(deep, 'file'), join(deep, 'hard'));
    symlinkSync('/etc/passwd', join(lower, 'srv/link'));
    lchownSync(join(lower, 'srv/link'), 77, 78);
    mkdirSync(base);
    execFileSync('mount', ['-t', 'overlay', '-o', `lowerdir=${lower}:${depot.path}`, 'overlay', base]);
    try {
      const driver = await depot.driver();
      const id = '0000000000j';
      for (const name of ['', 'upper', 'work']) mkdirSync(join(depot.path, id, name), { recursive: true });
      const layers = [
        `lowerdir=${base}`,
        `upperdir=${depot.path}/${id}/upper`,
        `workdir=${depot.path}/${id}/work`,
      ];
      const init = await start(
        driver,
        depot.spec(id, { mounts: [{ type: 'overlay', source: 'overlay', target: '/', options: layers }] }),
      );
      try {
        const script =
          'cd /srv; stat -c "%n %u:%g" link; while cd d 2>/dev/null; do :; done; stat -c "%n %u:%g" file hard group other; cat file';
        const job = await init.spawn(shell(1, script));
        expect((await output(job)).stdout).toBe(
          'link 10007:10007\nfile 10007:10007\nhard 10007:10007\ngroup 5:10007\nother 77:78\ncontent\n',
        );
        expect(statSync(join(deep, 'file')).uid).toBe(77);
      } finally {
        await init.kill();
      }
    } finally {
      execFileSync('umount', [base]);
    }
  });

  test('a hook that fails fails the launch with its status', async () => {
    const driver = await depot.driverWithHook('parent-before-clone', 'exit 3');
    const spec = depot.spec('0000000000g');
    await driver.prepare(spec);
    await expect(driver.launch(spec)).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      fields: { exitStatus: 3, object: expect.stringContaining('hook-parent-before-clone.sh') },
    });
    expect(depot.processes('0000000000g')).toEqual([]);
  });

  test('a hook of the operator gets its environment and PID', async () => {
    const driver = await depot.driverWithHook('parent-after-clone', 'echo "$id $PID" > tmp/hook-was-here');
    const spec = depot.spec('0000000000h');
    const init = await start(driver, spec);
    try {
      expect(readFileSync(join(spec.directory, 'tmp/hook-was-here'), 'utf8')).toBe(
        `0000000000h ${init.pid}\n`,
      );
    } finally {
      await init.kill();
    }
  });

  test('files get exactly their modes, over what stands in the way, and hooks and jobs the usual umask', async () => {
    const inTheWay = join(depot.root, 'etc/.hosts.wshd');
    writeFileSync(inTheWay, 'of an image', { mode: 0o600 });
    const driver = await depot.driverWithHook('child-before-pivot', 'umask > tmp/umask');
    const spec = depot.spec('0000000000k');
    const init = await start(driver, spec);
    try {
      const script =
        'umask; stat -c %a /etc/hosts /etc/passwd /home/vcap /dev /dev/null /dev/tty; cat /etc/hosts';
      const job = await init.spawn(shell(1, script));
      expect(await output(job)).toEqual({
        stdout: '0022\n644\n644\n755\n755\n666\n666\n127.0.0.1 localhost\n',
        stderr: '',
      });
      expect(readFileSync(join(spec.directory, 'tmp/umask'), 'utf8')).toBe('0022\n');
      expect(existsSync(inTheWay)).toBe(false);
    } finally {
      await init.kill();
    }
  });

  test('jobs ignore no signal that whoever has started it by hand ignores', async () => {
    const IGNORED = 0x1201; // the bits of the three signals below
    const driver = await depot.driver();
    const spec = depot.spec('0000000000l');
    await driver.prepare(spec);
    execFileSync('sh', [
      '-c',
      'cd "$1" && trap "" HUP PIPE USR1 && exec bin/wshd --run run --lib lib --root mnt',
      'sh',
      spec.directory,
    ]);
    const init = await driver.connect(spec.directory);
    if (init === undefined) throw new Error('nobody answers');
    try {
      const job = await init.spawn(shell(1, 'grep SigIgn /proc/self/status'));
      const ignored = Number.parseInt((await output(job)).stdout.replace('SigIgn:', ''), 16);
      expect(ignored & IGNORED, 'SIGQUIT is for busybox to ignore').toBe(0);
    } finally {
      await init.kill();
    }
  });

  test('a binary that cannot be started is an error with errno', async () => {
    const driver = await depot.driver();
    const spec = depot.spec('0000000000i');
    await driver.prepare(spec);
    chmodSync(spec.directory, 0o755);
    writeFileSync(`${spec.directory}/bin/other`, '');
    const { launchInit } = await import('../src/launch.ts');
    const { NAMESPACE_END } = await import('../src/init-process.ts');
    const before = openDescriptors();
    await expect(
      launchInit(
        {
          directory: spec.directory,
          program: `${spec.directory}/bin/other`,
          options: [],
          title: 'x',
          environment: {},
          hookTimeout: 1,
          kind: {
            end: NAMESPACE_END,
            adapt: (job) => job,
            startCopy: () => Promise.reject(new Error('unused')),
            openFiles: () => Promise.reject(new Error('unused')),
          },
        },
        depot.logger,
      ),
    ).rejects.toMatchObject({ code: 'NATIVE_FAILED', fields: { errno: 'EACCES' } });
    await expectNoMoreDescriptors(before);
  });
});
