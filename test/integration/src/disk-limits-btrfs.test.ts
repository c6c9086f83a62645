/** Disk limits by quota groups of btrfs, with the real daemon (spec drivers.md 4.5). */
import fs from 'node:fs';
import path from 'node:path';
import { type BtrfsDisk, describeWith, makeBtrfs, withDaemon } from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';

const KIB = 1024n;

for (const filesystem of ['overlayfs', 'bind'] as const)
  describeWith(
    ['root', 'isolated', 'overlayfs', 'btrfs'],
    `disk limits by quota groups of btrfs, roots by ${filesystem}`,
    () => {
      let disk: BtrfsDisk;
      beforeAll(() => {
        disk = makeBtrfs('on');
      });
      afterAll(() => disk.close());
      const suite = withDaemon({
        get parent() {
          return disk.path;
        },
        config: { server: { quota: { disk_quota_enabled: true } }, drivers: { filesystem } },
      });
      const dd = (megabytes: number, file = '/tmp/file'): string =>
        `dd if=/dev/zero of=${file} bs=1000000 count=${megabytes} conv=fsync 2>&1`;

      it('are what auto chooses there', () => {
        expect(suite.daemon.readLog()).toMatch(
          /"driver":"btrfs"[^\n]*"role":"quota"|"role":"quota"[^\n]*"driver":"btrfs"/,
        );
      });

      it('let pass what fits, stop the rest, of root too, and answer what is used [drivers 4.5]', async () => {
        await using box = await (await suite.daemon.connect()).create();
        const none = { blockSoft: 0n, blockHard: 0n, inodeSoft: 0n, inodeHard: 0n };
        expect(await box.limitDisk({})).toEqual(none);
        expect((await box.run(': > /tmp/first')).exitStatus).toBe(0);
        const { bytesUsed: before } = (await box.info()).diskStat!;
        expect((await box.run(dd(1))).exitStatus).toBe(0);
        const grown = Number((await box.info()).diskStat!.bytesUsed - before);
        // the file system's own nodes, of 16 KiB, count as they are written
        expect(Math.abs(grown - 1_000_000)).toBeLessThanOrEqual(200_000);
        const limit = before / KIB + 4n * KIB;
        expect(await box.limitDisk({ blockHard: limit })).toEqual({ ...none, blockHard: limit });
        const { exitStatus, stdout } = await box.run(dd(8, '/home/vcap/file'));
        expect(exitStatus).toBe(1);
        expect(Buffer.from(stdout).toString()).toMatch(/[Qq]uota exceeded/);
        expect((await box.run(dd(8, '/var/file'), { privileged: true })).exitStatus).toBe(1);
      });

      it('begin with none for the next, and nothing of the last stays in the depot', async () => {
        const warden = await suite.daemon.connect();
        const depot = suite.daemon.place.depot;
        for (let round = 0; round < 2; round++) {
          await using box = await warden.create();
          expect(await box.limitDisk({})).toMatchObject({ blockHard: 0n });
          await box.limitDisk({ blockHard: 2n * KIB });
          expect((await box.run(dd(8))).exitStatus).toBe(1);
        }
        expect(fs.readdirSync(depot).filter((name) => fs.existsSync(path.join(depot, name, 'tmp')))).toEqual(
          [],
        );
      });
    },
  );
