import path from 'node:path';
import { quotaCompliance } from '@warden/driver-compliance';
import { silentLogger } from '@warden/interface';
import { btrfsSubvolume, noQuota, projectQuota, quotaByRecord, sizedImage, userQuota } from '@warden/quota';
import { type BtrfsDisk, describeWith, makeBtrfs } from '@warden/test-harness';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { quotaSubject } from './subjects/quota.ts';

const components = { logger: silentLogger };
const test = { describe, it };

describeWith(['root', 'isolated', 'python3'], 'disk quotas', () => {
  const image = (size?: number) => sizedImage(size === undefined ? {} : { size })(components);
  quotaCompliance(test, 'image', () => quotaSubject(() => image()));
  quotaCompliance(test, 'image of 128 MiB', () => quotaSubject(() => image(128 << 20)));
  quotaCompliance(test, 'image by record', () =>
    quotaSubject(() => quotaByRecord(image(), [noQuota()(components)])),
  );
  quotaCompliance(test, 'none', () => quotaSubject(() => noQuota()(components)));
  quotaCompliance(test, 'none without a layer', () =>
    quotaSubject(() => noQuota({ layer: false })(components)),
  );
});

describeWith(['root', 'isolated', 'python3', 'user-quota'], 'disk quotas of users', () => {
  for (const place of places('WARDEN_TEST_USER_QUOTA'))
    quotaCompliance(test, `user on ${path.basename(place)}`, () =>
      quotaSubject(() => userQuota()(components), place),
    );
});

describeWith(['root', 'isolated', 'python3', 'project-quota'], 'disk quotas of projects', () => {
  for (const place of places('WARDEN_TEST_PROJECT_QUOTA'))
    quotaCompliance(test, `project on ${path.basename(place)}`, () =>
      quotaSubject(() => projectQuota()(components), place),
    );
});

describeWith(['root', 'isolated', 'python3', 'btrfs'], 'disk quotas of subvolumes', () => {
  const kinds = [
    ['full', 'on', btrfsSubvolume()],
    ['switched on, simple', 'off', btrfsSubvolume({ switchOn: 'simple' })],
    ['switched on, full', 'off', btrfsSubvolume({ switchOn: 'full' })],
  ] as const;
  for (const [name, quota, make] of kinds)
    describe(name, () => {
      let disk: BtrfsDisk;
      beforeAll(() => {
        disk = makeBtrfs(quota);
      });
      afterAll(() => disk.close());
      quotaCompliance(test, `btrfs, ${name}`, () => quotaSubject(() => make(components), disk.path));
    });
});

/** Directories by the environment: only a guest has such file systems (npm run vm). */
function places(variable: string): string[] {
  const given = (process.env[variable] ?? '').split(':').filter((place) => place !== '');
  return given.length > 0 ? given : ['/ext4 and xfs']; // a name for what is skipped
}
