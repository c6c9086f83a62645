import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { detectHierarchies } from './detect.ts';

let directory: string;
let own: string[];
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-cgroup-'));
  own = ['4:memory:/user.slice', '1:cpu,cpuacct:/', '0::/'];
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const OTHERS = [
  '22 27 0:21 / /proc rw,relatime - proc proc rw',
  '31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - tmpfs tmpfs rw,mode=755',
];

function detect(...lines: string[]): ReturnType<typeof detectHierarchies> {
  const mountInfo = path.join(directory, 'mountinfo');
  fs.writeFileSync(mountInfo, `${[...OTHERS, ...lines].join('\n')}\n`);
  const ownGroups = path.join(directory, 'cgroup');
  fs.writeFileSync(ownGroups, `${own.join('\n')}\n`);
  return detectHierarchies({ mountInfo, ownGroups });
}

function unified(controllers: string): string {
  const mount = path.join(directory, 'unified');
  fs.mkdirSync(mount);
  fs.writeFileSync(path.join(mount, 'cgroup.controllers'), controllers);
  return `41 31 0:38 / ${mount} rw,relatime - cgroup2 cgroup2 rw,nsdelegate`;
}

describe('the hierarchies of a host', () => {
  it('are v1 where the unified hierarchy has no memory controller beside v1 mounts', () => {
    expect(
      detect(
        unified('hugetlb\n'),
        '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:3 master:1 - cgroup cgroup rw,memory',
        '40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd',
      ),
    ).toEqual({ version: 1, mounts: new Map([['memory', '/sys/fs/cgroup/memory']]) });
  });

  it('may have several controllers in one mount', () => {
    expect(detect('32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct')).toEqual({
      version: 1,
      mounts: new Map([
        ['cpu', '/sys/fs/cgroup/cpu,cpuacct'],
        ['cpuacct', '/sys/fs/cgroup/cpu,cpuacct'],
      ]),
    });
  });

  it('are v2 where the unified hierarchy has the memory controller', () => {
    const line = unified('cpuset cpu io memory pids\n');
    expect(detect(line, '33 31 0:30 / /other rw - cgroup cgroup rw,devices')).toEqual({
      version: 2,
      mount: path.join(directory, 'unified'),
      controllers: new Set(['cpuset', 'cpu', 'io', 'memory', 'pids']),
    });
  });

  it('are v2 without controllers where there is nothing else', () => {
    expect(detect(unified('\n'))).toMatchObject({ version: 2, controllers: new Set() });
  });

  it('may lie below odd names', () => {
    expect(detect('35 31 0:32 / /odd\\040and\\134name rw - cgroup cgroup rw,memory')).toMatchObject({
      mounts: new Map([['memory', '/odd and\\name']]),
    });
  });

  it("begin at the container's group for a warden inside another's container", () => {
    own = ['4:memory:/warden/instance-0123456789a/inner', '1:cpu,cpuacct:/warden/instance-0123456789a'];
    expect(
      detect(
        '35 31 0:32 / /c/memory rw - cgroup cgroup rw,memory',
        '36 31 0:29 /warden/instance-0123456789a /c/cpu rw - cgroup cgroup rw,cpu,cpuacct',
        '37 31 0:30 / /c/devices rw - cgroup cgroup rw,devices',
      ),
    ).toEqual({
      version: 1,
      mounts: new Map([
        ['memory', '/c/memory/warden/instance-0123456789a'],
        ['cpu', '/c/cpu'],
        ['cpuacct', '/c/cpu'],
        ['devices', '/c/devices'],
      ]),
    });
  });

  it('may be absent', () => {
    expect(detect()).toBeUndefined();
  });
});
