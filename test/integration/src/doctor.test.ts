/** `wardend doctor` and `warden doctor`: without a daemon. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith } from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';

const REPOSITORY = path.resolve(import.meta.dirname, '../../..');
const WARDEND = path.join(REPOSITORY, 'packages/daemon/bin/wardend.js');
const WARDEN = path.join(REPOSITORY, 'packages/cli/bin/warden.js');

describeWith(['root', 'isolated', 'overlayfs'], 'the doctor', () => {
  let directory: string;
  beforeAll(() => {
    directory = fs.mkdtempSync('/tmp/warden-doctor-test-');
    fs.mkdirSync(path.join(directory, 'bin'));
    fs.symlinkSync(WARDEND, path.join(directory, 'bin/wardend'));
  });
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

  const config = (settings: object): string => {
    const file = path.join(directory, 'wardend.yml');
    const server = {
      container_depot_path: path.join(directory, 'depot'),
      unix_domain_path: path.join(directory, 'warden.sock'),
    };
    fs.writeFileSync(
      file,
      JSON.stringify({
        ...settings,
        server: { ...server, ...('server' in settings ? (settings.server as object) : {}) },
      }),
    );
    return file;
  };
  const run = (...words: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, words, {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${path.join(directory, 'bin')}:${process.env.PATH}` },
    });

  it('tells who is not root to look as root, and blames no kernel [operations health]', () => {
    fs.chmodSync(directory, 0o755);
    const file = config({});
    const { status, stdout } = spawnSync(
      'setpriv',
      [
        '--reuid=54321',
        '--regid=54321',
        '--clear-groups',
        process.execPath,
        WARDEND,
        'doctor',
        '--config',
        file,
      ],
      { encoding: 'utf8' },
    );
    expect(status).toBe(1);
    expect(stdout).toContain('run wardend doctor as root');
    expect(stdout).not.toMatch(/modprobe|use a kernel/);
  });

  it('tells of each role and candidate which works, which is chosen, and what to do', {
    timeout: 120_000,
  }, () => {
    const { status, stdout, stderr } = run(WARDEN, '--', 'doctor', '--json', '--config', config({}));
    expect(stderr).toBe('');
    const diagnosis = JSON.parse(stdout);
    expect(status).toBe(diagnosis.usable ? 0 : 1);
    const packets = diagnosis.host.find(
      ({ subject }: { subject: string }) => subject === 'packets that are refused',
    );
    expect(packets).toMatchObject(
      packets.ok
        ? { found: 'told one by one' }
        : {
            found: expect.stringMatching(/^(only counted|not told): ./),
            advice: expect.stringContaining('nfnetlink_log'),
          },
    );
    const tried = diagnosis.drivers.map(
      (one: { role: string; driver: string }) => `${one.role} ${one.driver}`,
    );
    expect(tried).toEqual(
      expect.arrayContaining([
        'init wshd',
        'filesystem overlayfs',
        'filesystem bind',
        'network nftables',
        'quota image',
      ]),
    );
    for (const { result, advice } of diagnosis.drivers)
      expect(result.ok || (result.reason !== '' && advice !== '')).toBe(true);
    for (const role of ['init', 'filesystem', 'network', 'cgroup', 'quota'])
      expect(
        diagnosis.drivers.filter((one: { role: string; chosen: boolean }) => one.role === role && one.chosen)
          .length,
      ).toBe(1);
    expect(diagnosis.host.map(({ subject }: { subject: string }) => subject)).toEqual(
      expect.arrayContaining([
        'kernel',
        'user namespaces',
        'cgroup version',
        'loop devices',
        'package e2fsprogs',
      ]),
    );
    expect(fs.readdirSync(directory).sort()).toEqual(['bin', 'wardend.yml']);
  });

  it('answers 1 with the reason when a daemon could not start', { timeout: 120_000 }, () => {
    const file = config({ server: { container_rootfs_path: '/nonexistent' } });
    const { status, stdout } = run(WARDEND, 'doctor', '--config', file);
    expect(status).toBe(1);
    expect(stdout).toContain('NO  root file system /nonexistent: no directory');
    expect(stdout).toMatch(/warden rootfs build[\s\S]*\nnot usable\n$/);
  });

  it('knows that the backend without isolation needs nothing, and answers 2 for wrong words', {
    timeout: 60_000,
  }, () => {
    const file = config({ server: { container_klass: 'Warden::Container::Insecure' } });
    const { status, stdout } = run(WARDEND, 'doctor', '--config', file);
    expect(stdout).toMatch(/init insecure \(chosen\)[\s\S]*\nusable\n$/);
    expect(status).toBe(0);
    expect(run(WARDEND, 'doctor', '--nonsense').status).toBe(2);
  });
});
