/** Disk limits by what the depot's file system keeps itself, with the real daemon (spec drivers.md 4). */
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, type Requirement, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

const KIB = 1024n;
const MIB = 1n << 20n;

function suites(requirement: Requirement, variable: string, driver: 'user' | 'project'): void {
  const places = (process.env[variable] ?? '').split(':');
  for (const parent of places)
    describeWith(
      ['root', 'isolated', 'overlayfs', requirement],
      `disk limits by ${driver} quota on ${path.basename(parent)}`,
      () => limits(driver, parent),
    );
}

function limits(driver: 'user' | 'project', parent: string): void {
  const suite = withDaemon({ parent, config: { server: { quota: { disk_quota_enabled: true } } } });
  const dd = (megabytes: number, file = '/tmp/file'): string =>
    `dd if=/dev/zero of=${file} bs=1000000 count=${megabytes} conv=fsync 2>&1`;

  it('are what auto chooses there', () => {
    expect(suite.daemon.readLog()).toMatch(
      new RegExp(`"driver":"${driver}"[^\n]*"role":"quota"|"role":"quota"[^\n]*"driver":"${driver}"`),
    );
  });

  it('let pass what fits, stop the rest, and answer what is used [behaviour 5 LimitDisk] [linux-container 25 limit_disk]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    expect(await box.limitDisk({})).toEqual({ blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n });
    const wanted = { blockSoft: KIB, blockHard: 2n * KIB, inodeSoft: 500n, inodeHard: 1000n };
    expect(await box.limitDisk(wanted)).toEqual(wanted);
    expect((await box.run(dd(1))).exitStatus).toBe(0);
    const { bytesUsed } = (await box.info()).diskStat!;
    expect(bytesUsed).toBeGreaterThanOrEqual(1_000_000n);
    const { exitStatus, stdout } = await box.run(dd(4, '/home/vcap/file'));
    expect(exitStatus).toBe(1);
    expect(Buffer.from(stdout).toString()).toMatch(/No space left on device|[Qq]uota exceeded/);
    expect((await box.info()).diskStat!.bytesUsed).toBeLessThanOrEqual(2n * MIB);
    const asRoot = (await box.run(dd(4, '/root/file'), { privileged: true })).exitStatus;
    expect(asRoot).toBe(driver === 'project' ? 1 : 0); // by user, root's files belong to another
  });

  it('limit the number of files', async () => {
    await using box = await (await suite.daemon.connect()).create();
    await box.run(': > /tmp/first'); // the first write there copies the directory into the layer, which counts too
    const { inodesUsed } = (await box.info()).diskStat!;
    await box.limitDisk({ inodeHard: inodesUsed + 5n });
    const { stdout } = await box.run('for i in 1 2 3 4 5 6 7 8 9; do : > /tmp/$i && echo; done 2>/dev/null');
    expect(stdout).toHaveLength(5);
  });

  it('of two containers are independent, and the next with the same uid begins with none [drivers 4.7]', async () => {
    const warden = await suite.daemon.connect();
    for (let round = 0; round < 2; round++) {
      await using first = await warden.create();
      await using second = await warden.create();
      expect(await first.limitDisk({})).toMatchObject({ blockHard: 0n });
      await first.limitDisk({ blockHard: 2n * KIB });
      expect((await first.run(dd(4))).exitStatus).toBe(1);
      expect((await second.run(dd(4))).exitStatus).toBe(0);
    }
  });
}

/** What the kernel itself refuses in a user namespace. */
const parent = (process.env.WARDEN_TEST_PROJECT_QUOTA ?? '').split(':')[0]!;
describeWith(
  ['root', 'isolated', 'overlayfs', 'project-quota'],
  `disk limits by project quota on ${path.basename(parent)} where users inside are those of the host`,
  () => {
    const suite = withDaemon({
      parent,
      config: { server: { quota: { disk_quota_enabled: true } }, security: { user_namespace: false } },
    });

    it.each([
      ['the number of its project', 'chattr -p 0 /tmp/out'],
      ['that it hands its project on', 'chattr -P /tmp/out'],
    ])('hold whoever would take from a directory %s', async (_, leave) => {
      const programs = ['/usr', '/lib', '/lib64'].filter((directory) => fs.existsSync(directory));
      await using box = await (await suite.daemon.connect()).create({
        bindMounts: programs.map((directory) => ({ source: directory, target: directory, mode: 'ro' })),
      });
      await box.limitDisk({ blockHard: 2n * KIB });
      const { stdout } = await box.run(
        `mkdir /tmp/out; ${leave} && echo left
         dd if=/dev/zero of=/tmp/out/file bs=1000000 count=4 conv=fsync && echo written; lsattr -dp /tmp/out`,
        { privileged: true },
      );
      expect(Buffer.from(stdout).toString()).toMatch(/^ *[1-9]\d* [^ ]*P[^ ]* \/tmp\/out\n$/);
    });
  },
);

suites('user-quota', 'WARDEN_TEST_USER_QUOTA', 'user');
suites('project-quota', 'WARDEN_TEST_PROJECT_QUOTA', 'project');
