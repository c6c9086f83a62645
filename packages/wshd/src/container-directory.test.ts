import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type InitSpec, UNCONFINED } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { prepareDirectory, reusableSkeleton } from './container-directory.ts';
import { HOOKS, stageSkeleton } from './skeleton.ts';

let depot: string;
let binaries: string;
beforeEach(() => {
  depot = mkdtempSync(join(tmpdir(), 'wshd-test-'));
  binaries = join(depot, 'binaries');
  mkdirSync(binaries);
  for (const name of ['wshd', 'wsh', 'warden-copy'])
    writeFileSync(join(binaries, name), name, { mode: 0o755 });
});
afterEach(() => rmSync(depot, { recursive: true }));

function spec(directory: string): InitSpec {
  return {
    id: '17jqe2nv7dh',
    directory,
    hostname: '17jqe2nv7dh',
    config: [
      ['id', '17jqe2nv7dh'],
      ['rootfs_path', '/a b'],
    ],
    hookEnvironment: {},
    mounts: [{ type: 'tmpfs', source: 'none', target: '/', options: [] }],
    bindMounts: [],
    network: {
      interface: 'w-17jqe2nv7dh-1',
      address: '10.254.0.6',
      prefixLength: 30,
      gateway: '10.254.0.5',
      mtu: 1500,
      gatewayMac: '',
    },
    cgroupJoinFiles: ['/sys/fs/cgroup/warden/x/cgroup.procs'],
    user: { name: 'vcap', uid: 10001, gid: 10001, home: '/home/vcap', shell: '/bin/bash' },
    hosts: '127.0.0.1 localhost\n',
    resolvConf: 'nameserver 10.254.0.5\n',
    nice: 10,
    confinement: {
      idMap: [{ inside: 0, outside: 600_000, count: 65_536 }],
      capabilities: 0x3n,
      noNewPrivileges: true,
      seccomp: true,
      coreDumps: false,
      noDevices: true,
      fuse: false,
      ceilings: { terminals: 256, sharedMemory: 67_108_864, devices: 65_537 },
      maskedPaths: ['/proc/kcore'],
      readonlyPaths: ['/proc/sys'],
    },
  };
}

describe('prepareDirectory', () => {
  test('makes the original layout and init’s configuration, repeatedly', () => {
    const directory = join(depot, 'container');
    const skeleton = stageSkeleton(depot, binaries, undefined);
    prepareDirectory(spec(directory), skeleton);
    prepareDirectory(spec(directory), skeleton);
    expect(readdirSync(directory).sort()).toEqual(['bin', 'etc', 'jobs', 'lib', 'mnt', 'run', 'tmp']);
    expect(statSync(join(directory, 'run')).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(directory, 'lib')).sort()).toEqual([...HOOKS].sort());
    expect(readdirSync(join(directory, 'etc')).sort()).toEqual([
      'config',
      'fstab',
      'hosts',
      'resolv.conf',
      'wshd.conf',
    ]);
    expect(readFileSync(join(directory, 'etc/config'), 'utf8')).toBe("id=17jqe2nv7dh\nrootfs_path='/a b'\n");
    expect(readFileSync(join(directory, 'etc/wshd.conf'), 'utf8').trimEnd().split('\n')).toEqual([
      'hostname 17jqe2nv7dh',
      'nice 10',
      'cgroup /sys/fs/cgroup/warden/x/cgroup.procs',
      'interface w-17jqe2nv7dh-1',
      'address 10.254.0.6/30',
      'gateway 10.254.0.5',
      'mtu 1500',
      'user vcap 10001 10001 /home/vcap /bin/bash',
      'file /etc/hosts 0644 etc/hosts',
      'file /etc/resolv.conf 0644 etc/resolv.conf',
      'idmap 0 600000 65536',
      'capabilities 3',
      'no_new_privs 1',
      'seccomp 1',
      'core_dumps 0',
      'terminals 256',
      'shm_kib 65536',
      'dev_kib 65',
      'mask /proc/kcore',
      'readonly /proc/sys',
      'hook_timeout 30',
    ]);
  });

  test('what another container has left is written over, to the last byte', () => {
    const directory = join(depot, 'container');
    const skeleton = stageSkeleton(depot, binaries, undefined);
    const first = { ...spec(directory), hosts: `127.0.0.1 localhost\n${'10.0.0.1 secret\n'.repeat(900)}` };
    prepareDirectory(first, skeleton);
    const kept = reusableSkeleton(skeleton).filter((entry) => 'kind' in entry);
    expect(kept.map(({ path }) => path)).toEqual([
      'etc/fstab',
      'etc/wshd.conf',
      'etc/hosts',
      'etc/resolv.conf',
    ]);
    const inodes = kept.map(({ path }) => statSync(join(directory, path)).ino);
    rmSync(join(directory, 'etc/config'));
    prepareDirectory(spec(directory), skeleton);
    const fresh = join(depot, 'fresh');
    prepareDirectory(spec(fresh), skeleton);
    for (const { path } of [...kept, { path: 'etc/config' }])
      expect(readFileSync(join(directory, path), 'utf8')).toBe(readFileSync(join(fresh, path), 'utf8'));
    expect(kept.map(({ path }) => statSync(join(directory, path)).ino)).toEqual(inodes);
    for (const entry of kept)
      expect(statSync(join(directory, entry.path)).mode & 0o7777).toBe('mode' in entry && entry.mode);
  });

  test('/dev/fuse is there by opt-in alone, and so are the kernel’s own ceilings', () => {
    const directory = join(depot, 'container');
    prepareDirectory({ ...spec(directory), confinement: UNCONFINED }, []);
    const lines = readFileSync(join(directory, 'etc/wshd.conf'), 'utf8').split('\n');
    expect(lines.filter((line) => /^(device|core_dumps|terminals|shm_kib|dev_kib)/.test(line))).toEqual([
      'core_dumps 1',
      'device fuse c 10 229 0666',
    ]);
  });

  test('a missing bind source leaves no directory', () => {
    const directory = join(depot, 'container');
    const bad = {
      ...spec(directory),
      bindMounts: [{ source: '/does/not/exist', target: '/x', mode: 'ro' as const }],
    };
    expect(() => prepareDirectory(bad, [])).toThrow('Source path for bind mount does not exist');
    expect(readdirSync(depot)).toEqual(['binaries']);
  });

  test('a parent that is missing is reported with its errno', () => {
    expect(() => prepareDirectory(spec(join(depot, 'no/where')), [])).toThrow(
      expect.objectContaining({
        code: 'NATIVE_FAILED',
        fields: expect.objectContaining({ errno: 'ENOENT' }),
      }),
    );
  });
});

describe('stageSkeleton', () => {
  test('links binaries, and a new binary does not change a container that exists', () => {
    prepareDirectory(spec(join(depot, 'a')), stageSkeleton(depot, binaries, undefined));
    expect(statSync(join(depot, 'a/bin/wshd')).nlink).toBe(2);
    writeFileSync(join(binaries, 'wshd'), 'newer');
    prepareDirectory(spec(join(depot, 'b')), stageSkeleton(depot, binaries, undefined));
    expect(readFileSync(join(depot, 'a/bin/wshd'), 'utf8')).toBe('wshd');
    expect(readFileSync(join(depot, 'b/bin/wshd'), 'utf8')).toBe('newer');
    expect(statSync(join(depot, 'a/bin/wsh')).ino).toBe(statSync(join(depot, 'b/bin/wsh')).ino);
  });

  test('the operator’s hooks replace the shipped ones and may be removed again', () => {
    const hooks = join(depot, 'hooks');
    mkdirSync(hooks);
    writeFileSync(join(hooks, HOOKS[0]), '#!/bin/sh\n');
    writeFileSync(join(hooks, 'common.sh'), 'x');
    chmodSync(join(hooks, HOOKS[0]), 0o777);
    prepareDirectory(spec(join(depot, 'a')), stageSkeleton(depot, binaries, hooks));
    expect(readFileSync(join(depot, 'a/lib', HOOKS[0]), 'utf8')).toBe('#!/bin/sh\n');
    expect(statSync(join(depot, 'a/lib', HOOKS[0])).mode & 0o777).toBe(0o755);
    expect(statSync(join(depot, 'a/lib', HOOKS[1])).mode & 0o111).toBe(0);
    prepareDirectory(spec(join(depot, 'b')), stageSkeleton(depot, binaries, undefined));
    expect(readdirSync(join(depot, 'b/lib')).sort()).toEqual([...HOOKS].sort());
    expect(statSync(join(depot, 'b/lib', HOOKS[0])).mode & 0o111).toBe(0);
  });

  test('names what is missing', () => {
    rmSync(join(binaries, 'wsh'));
    expect(() => stageSkeleton(depot, binaries, undefined)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED' }),
    );
    writeFileSync(join(binaries, 'wsh'), '', { mode: 0o755 });
    expect(() => stageSkeleton(depot, binaries, join(depot, 'none'))).toThrow(
      expect.objectContaining({ code: 'INVALID_SPEC' }),
    );
  });
});

test('what hooks source as etc/config is text to a shell, whatever is in it', () => {
  const directory = join(depot, 'container');
  const read = (value: string): string => {
    prepareDirectory({ ...spec(directory), config: [['value', value]] }, []);
    return execFileSync('sh', ['-c', '. "$0" && printf %s "$value"', join(directory, 'etc/config')], {
      encoding: 'utf8',
      env: {},
    });
  };
  for (const value of [
    '/plain-1.2_3:4@5%6+7=8,9',
    '',
    "it's",
    "'; echo x; '",
    '$HOME',
    '$(echo x)',
    '`echo x`',
    'a;b&c|d<e>f(g)h*i?j[k]l{m}n~o!p#q"r\\s',
    '~root',
    '# no comment',
  ])
    expect(read(value)).toBe(value);
});

test.each(['etc/fstab', 'etc/wshd.conf', 'etc/hosts', 'etc/resolv.conf', 'etc/config'])(
  'a disk that takes no more of %s is told with its name',
  (name) => {
    const directory = join(depot, 'container');
    mkdirSync(join(directory, 'etc'), { recursive: true });
    symlinkSync('/dev/full', join(directory, name === 'etc/config' ? 'etc/config.new' : name));
    expect(() => prepareDirectory(spec(directory), [])).toThrow(
      expect.objectContaining({
        code: 'NATIVE_FAILED',
        message: `write ${join(directory, name)}: ENOSPC`,
        fields: { operation: 'write', object: join(directory, name), errno: 'ENOSPC' },
      }),
    );
  },
);
