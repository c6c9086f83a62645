import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inOwnNamespaces } from '../test/own-namespaces.ts';
import { closeDescriptor, makePipe, readDescriptor } from './descriptors.ts';
import { attachDeviceProgram } from './device-program.ts';
import { mountFilesystem, unmount } from './mounts.ts';
import { openPidfd, reapChild, waitForExit } from './process.ts';
import { spawnProcess } from './spawn.ts';

/** `mov r0, value; exit` */
function answer(value: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes[0] = 0xb7;
  bytes.writeInt32LE(value, 4);
  bytes[8] = 0x95;
  return bytes;
}

describe('arguments of attachDeviceProgram', () => {
  it('are checked', () => {
    expect(() => attachDeviceProgram('/x', Buffer.alloc(7))).toThrow(TypeError);
    expect(() => attachDeviceProgram('/x', Buffer.alloc(0))).toThrow(TypeError);
    expect(() => attachDeviceProgram('/x', 'code' as never)).toThrow(TypeError);
    expect(() => attachDeviceProgram('/no/such/cgroup', answer(1))).toThrow(
      expect.objectContaining({
        fields: { operation: 'attach-device-program', object: '/no/such/cgroup', errno: 'ENOENT' },
      }),
    );
  });
});

describe.runIf(inOwnNamespaces)('attachDeviceProgram [needs: own namespaces]', () => {
  let mountPoint: string;
  let cgroup: string;
  beforeAll(() => {
    mountPoint = mkdtempSync(join(tmpdir(), 'warden-native-'));
    mountFilesystem({ type: 'cgroup2', source: 'cgroup2', target: mountPoint, flags: 0, data: '' });
    cgroup = join(mountPoint, `warden-test-${process.pid}`);
    mkdirSync(cgroup);
  });
  afterAll(() => {
    rmdirSync(cgroup);
    unmount(mountPoint);
    rmdirSync(mountPoint);
  });

  /** Opens /dev/zero inside the cgroup; answers what the shell said. */
  async function open(): Promise<string> {
    const output = makePipe();
    const pid = spawnProcess({
      path: '/bin/sh',
      argv: [
        'sh',
        '-c',
        `echo 0 > ${cgroup}/cgroup.procs; if (: < /dev/zero) 2>/dev/null; then echo open; else echo denied; fi`,
      ],
      environment: {},
      cwd: '/',
      descriptors: [[output.write, 1]],
    });
    closeDescriptor(output.write);
    const pidfd = openPidfd(pid);
    expect(await waitForExit(pidfd, 5000)).toBe(true);
    reapChild(pid);
    const buffer = Buffer.alloc(64);
    const length = readDescriptor(output.read, buffer);
    for (const fd of [pidfd, output.read]) closeDescriptor(fd);
    return buffer.toString('latin1', 0, length).trim();
  }

  it('denies, and replaces its own program', async () => {
    expect(await open()).toBe('open');
    attachDeviceProgram(cgroup, answer(0));
    expect(await open()).toBe('denied');
    attachDeviceProgram(cgroup, answer(1)); // besides the first one it would still be denied
    expect(await open()).toBe('open');
  });

  it('says why the verifier refused', () => {
    const withoutExit = answer(1).subarray(0, 8);
    expect(() => attachDeviceProgram(cgroup, withoutExit)).toThrow(
      expect.objectContaining({
        fields: expect.objectContaining({ errno: 'EINVAL', detail: expect.stringContaining('insn') }),
      }),
    );
  });
});
