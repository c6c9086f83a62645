/** A quota driver on this host. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { Obstacle, QuotaSubject } from '@warden/driver-compliance';
import type { QuotaDriver } from '@warden/interface';

const UID = 54_321;

/** Writes as another user, because root is exempt from most limits, and names the errno of the failure. */
const WRITER = `
import errno, os, sys
uid = int(sys.argv[3])
os.chdir(os.path.dirname(sys.argv[1])) # others do not pass the layer
os.setgid(uid); os.setuid(uid)
try:
    with open(os.path.basename(sys.argv[1]), "wb") as f:
        left = int(sys.argv[2])
        while left > 0: left -= f.write(b"x" * min(left, 65536)); f.flush()
        os.fsync(f.fileno())
except OSError as e: print(errno.errorcode[e.errno])
`;

/** Two containers in a depot of their own. */
export async function quotaSubject(make: () => QuotaDriver, parent = '/tmp'): Promise<QuotaSubject> {
  const directory = fs.mkdtempSync(path.join(parent, 'warden-kit-'));
  fs.chmodSync(directory, 0o755);
  const depot = path.join(directory, 'depot');
  const spec = { id: '0123456789a', directory: path.join(depot, '0123456789a'), uid: UID };
  const other = { id: 'bbbbbbbbbbb', directory: path.join(depot, 'bbbbbbbbbbb'), uid: UID + 1 };
  for (const { directory: own } of [spec, other]) fs.mkdirSync(own, { recursive: true });
  const driver = make();
  const probed = await driver.probe(depot); // which learns the errno of this file system
  if (!probed.ok) throw new Error(probed.reason);
  let files = 0;
  return {
    driver,
    depot,
    spec,
    other,
    restart: make,
    obstacles: driver.supports.limits ? [file(path.join(spec.directory, 'tmp'))] : [],
    write: async (bytes, of = spec) => {
      const place = path.join(of.directory, 'tmp/written');
      fs.mkdirSync(place, { recursive: true });
      fs.chownSync(place, of.uid, of.uid);
      const { stdout, status, stderr } = spawnSync(
        'python3',
        ['-c', WRITER, path.join(place, String(files++)), String(bytes), String(of.uid)],
        { encoding: 'utf8' },
      );
      if (status !== 0) throw new Error(stderr);
      return stdout.trim() || undefined;
    },
    inventory: async () => [
      // tmp itself belongs to whoever made the container's directory
      ...fs
        .readdirSync(depot, { recursive: true, encoding: 'utf8' })
        .filter((name) => !name.endsWith('/tmp') && !name.includes('/tmp/written'))
        .sort(),
      ...fs
        .readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(directory)),
    ],
    close: async () => {
      for (const one of [spec, other]) await driver.release(one, driver.plan(one));
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}

function file(at: string): Obstacle {
  return {
    name: `a file ${path.basename(at)}`,
    place: async () => {
      fs.writeFileSync(at, '');
      return async () => fs.rmSync(at);
    },
  };
}
