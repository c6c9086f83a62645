import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type QuotaSubject, quotaCompliance } from '@warden/driver-compliance';
import { type DriverFactory, type QuotaDriver, silentLogger } from '@warden/interface';
import { projectQuota, sizedImage, userQuota } from '@warden/quota';
import { describeWith } from '@warden/test-harness';
import { describe, it } from 'vitest';

describeWith(['root', 'isolated', 'python3'], 'disk quotas', () => {
  quotaCompliance({ describe, it }, 'image', () => subject(sizedImage(), '/tmp'));
});

describeWith(['root', 'isolated', 'python3', 'user-quota'], 'disk quotas of users', () => {
  for (const place of places('WARDEN_TEST_USER_QUOTA'))
    quotaCompliance({ describe, it }, `user on ${path.basename(place)}`, () => subject(userQuota(), place));
});

describeWith(['root', 'isolated', 'python3', 'project-quota'], 'disk quotas of projects', () => {
  for (const place of places('WARDEN_TEST_PROJECT_QUOTA'))
    quotaCompliance({ describe, it }, `project on ${path.basename(place)}`, () =>
      subject(projectQuota(), place),
    );
});

/** Directories by the environment: only a guest has such file systems (npm run vm). */
function places(variable: string): string[] {
  return (process.env[variable] ?? '').split(':').filter((place) => place !== '');
}

const UID = 54_321;

/** Writes as another user, because root is exempt from most limits, and names the errno of the failure. */
const WRITER = `
import errno, os, sys
os.setgid(${UID}); os.setuid(${UID})
try:
    with open(sys.argv[1], "wb") as f:
        left = int(sys.argv[2])
        while left > 0: left -= f.write(b"x" * min(left, 65536)); f.flush()
        os.fsync(f.fileno())
except OSError as e: print(errno.errorcode[e.errno])
`;

async function subject(factory: DriverFactory<QuotaDriver>, parent: string): Promise<QuotaSubject> {
  const directory = fs.mkdtempSync(path.join(parent, 'warden-kit-'));
  fs.chmodSync(directory, 0o755);
  const depot = path.join(directory, 'depot');
  const spec = { id: '0123456789a', directory: path.join(depot, '0123456789a'), uid: UID };
  fs.mkdirSync(spec.directory, { recursive: true });
  const driver = factory({ logger: silentLogger });
  const probed = await driver.probe(depot); // which learns the errno of this file system
  if (!probed.ok) throw new Error(probed.reason);
  let files = 0;
  return {
    driver,
    depot,
    spec,
    write: async (bytes) => {
      const place = path.join(spec.directory, 'tmp/written');
      fs.mkdirSync(place, { recursive: true });
      fs.chownSync(place, UID, UID);
      const { stdout, status, stderr } = spawnSync(
        'python3',
        ['-c', WRITER, path.join(place, String(files++)), String(bytes)],
        { encoding: 'utf8' },
      );
      if (status !== 0) throw new Error(stderr);
      return stdout.trim() || undefined;
    },
    inventory: async () => [
      // tmp itself belongs to whoever made the container's directory
      ...fs
        .readdirSync(depot, { recursive: true, encoding: 'utf8' })
        .filter((name) => name !== `${spec.id}/tmp`)
        .sort(),
      ...fs
        .readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(directory)),
    ],
    close: async () => {
      await driver.release(spec, driver.plan(spec));
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}
