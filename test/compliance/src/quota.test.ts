import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type QuotaSubject, quotaCompliance } from '@warden/driver-compliance';
import { silentLogger } from '@warden/interface';
import { sizedImage } from '@warden/quota';
import { describeWith } from '@warden/test-harness';
import { describe, it } from 'vitest';

// project and user quota need a file system that is mounted with them, which this host has only in a guest
describeWith(['root', 'isolated'], 'disk quotas', () => {
  quotaCompliance({ describe, it }, 'image', subject);
});

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

async function subject(): Promise<QuotaSubject> {
  const directory = fs.mkdtempSync('/tmp/warden-kit-');
  fs.chmodSync(directory, 0o755);
  const depot = path.join(directory, 'depot');
  const spec = { id: '0123456789a', directory: path.join(depot, '0123456789a'), uid: UID };
  fs.mkdirSync(spec.directory, { recursive: true });
  const driver = sizedImage()({ logger: silentLogger });
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
