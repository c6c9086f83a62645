/**
 * What opens the confinement is asked for by name, and told by everybody who can tell: log, info, command
 * line, doctor.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, startDaemon, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

const REPOSITORY = path.resolve(import.meta.dirname, '../../..');
const OPEN = {
  unsafe_fuse: true,
  seccomp: false,
  user_namespace: false,
  no_new_privileges: false,
  capabilities: ['chown', 'setuid', 'setgid', 'kill', 'CAP_NET_RAW', 'sys_nice'],
};
const NAMES = [
  'no-user-namespace',
  'no-seccomp',
  'new-privileges',
  'fuse',
  'capability-net_raw',
  'capability-sys_nice',
];

describeWith(['root', 'isolated', 'overlayfs'], 'unsafe settings', () => {
  const safe = withDaemon();

  it('are none by default: no info, no log line, and /dev/fuse is not there [SECURITY E19]', async () => {
    await using box = await (await safe.daemon.connect()).create();
    expect(await box.info()).not.toHaveProperty('unsafe');
    expect(safe.daemon.readLog()).not.toContain('unsafe-');
    const { stdout } = await box.run(
      'ls /dev/fuse 2>&1 | grep -c "No such file"; mknod /tmp/fuse c 10 229 2>/dev/null || echo refused',
      { privileged: true },
    );
    expect(text(stdout)).toBe('1\nrefused\n');
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'unsafe settings that are asked for', () => {
  const open = withDaemon({ config: { security: OPEN } });

  it('are told at the start, in the info of each container and by the command line', async () => {
    const warden = await open.daemon.connect();
    await using box = await warden.create();
    expect((await box.info()).unsafe).toEqual(NAMES);
    expect((await box.run('true')).info.unsafe).toEqual(NAMES);
    for (const name of NAMES)
      expect(open.daemon.readLog()).toMatch(
        new RegExp(`"message":"unsafe-${name}","log_level":"warn".*"advice":"`),
      );
    const { stdout } = spawnSync(
      process.execPath,
      [
        path.join(REPOSITORY, 'packages/cli/bin/warden.js'),
        '--socket',
        open.daemon.place.socket,
        '--',
        'info',
        '--handle',
        box.handle,
      ],
      { encoding: 'utf8' },
    );
    for (const [index, name] of NAMES.entries()) expect(stdout).toContain(`unsafe[${index}] : ${name}\n`);
  });

  it('do what they say: /dev/fuse is there and its policy lets it be opened, where the kernel has it', async () => {
    await using box = await (await open.daemon.connect()).create();
    const { stdout } = await box.run('stat -c "%F %a %t:%T" /dev/fuse; { : <> /dev/fuse; } 2>&1 || true', {
      privileged: true,
    });
    expect(text(stdout)).toMatch(/^character special file 666 a:e5\n(.*No such (device|file).*\n)?$/);
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'unsafe containers', () => {
  it('stay what they were made as, whatever the daemon after it is told', async () => {
    const first = await startDaemon({ config: { security: { seccomp: false } } });
    const { place } = first;
    let last = first;
    try {
      const old = await (await first.connect()).create();
      await first.kill('SIGKILL');
      last = await startDaemon({ place });
      const warden = await last.connect();
      await using fresh = await warden.create();
      expect((await warden.container(old.handle).info()).unsafe).toEqual(['no-seccomp']);
      expect(await fresh.info()).not.toHaveProperty('unsafe');
    } finally {
      await last.stop();
      await last.kill();
      await place.remove();
    }
  });

  it('are announced by the doctor', () => {
    const directory = fs.mkdtempSync('/tmp/warden-unsafe-test-');
    try {
      const file = path.join(directory, 'wardend.yml');
      const diagnose = (
        settings: object,
      ): { subject: string; ok: boolean; found: string; advice?: string }[] => {
        fs.writeFileSync(file, JSON.stringify(settings));
        const { stdout } = spawnSync(
          process.execPath,
          [path.join(REPOSITORY, 'packages/daemon/bin/wardend.js'), 'doctor', '--json', '--config', file],
          { encoding: 'utf8' },
        );
        return JSON.parse(stdout).configuration;
      };
      const server = {
        container_depot_path: path.join(directory, 'depot'),
        unix_domain_path: path.join(directory, 'warden.sock'),
      };
      expect(diagnose({ server })).toContainEqual({ subject: 'confinement', ok: true, found: 'complete' });
      const findings = diagnose({ server: { ...server, allow_nested_warden: true }, security: OPEN });
      for (const name of ['nested-warden', ...NAMES]) {
        expect(findings.filter(({ subject }) => subject === `unsafe: ${name}`)).toEqual([
          expect.objectContaining({
            ok: false,
            found: expect.stringMatching(/./),
            advice: expect.stringMatching(/./),
          }),
        ]);
      }
      const insecure = diagnose({ server: { ...server, container_klass: 'Warden::Container::Insecure' } });
      expect(insecure.map(({ subject }) => subject)).toContain('unsafe: no-isolation');
    } finally {
      fs.rmSync(directory, { recursive: true, force: true });
    }
  }, 120_000);
});
