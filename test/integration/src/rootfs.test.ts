/**
 * A container in a root file system that `warden rootfs build` made. The build needs the package archive,
 * which no test can reach: `npm run rootfs` makes it beforehand.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, unmet, withDaemon } from '@warden/test-harness';
import { describe, expect, it } from 'vitest';

const ROOTFS = path.resolve(import.meta.dirname, '../../../node_modules/.cache/warden-debian-rootfs');
const isBuilt = fs.existsSync(path.join(ROOTFS, 'etc/debian_version'));
const NAME = 'a Debian root file system made by warden rootfs build';

const body = (): void => {
  const suite = withDaemon({ config: { server: { container_rootfs_path: ROOTFS } } });

  it('is what a container runs in: accounts, packages, and nothing of this host [linux-container 23]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const script = [
      'id -un; cat /etc/debian_version; dpkg --audit; dpkg-query -W bash apt | cut -f1',
      'touch ~/mine && stat -c %U ~/mine; hostname; cat /etc/hostname',
    ].join('\n');
    const { exitStatus, stdoutText, stderrText } = await box.run(script);
    expect({ exitStatus, stderrText }).toEqual({ exitStatus: 0, stderrText: '' });
    const lines = stdoutText.trim().split('\n');
    expect(lines.slice(0, 2)).toEqual(['vcap', expect.stringMatching(/^[0-9]+\.[0-9]+$|\/sid$/)]);
    expect(lines.slice(2, 5)).toEqual(['apt', 'bash', 'vcap']);
    expect(lines[5]).not.toBe(fs.readFileSync('/proc/sys/kernel/hostname', 'utf8').trim());
    expect(lines[6]).toBe(lines[5]);
    await expect(
      box.run('test "$(id -u)" = 0 && apt-get --version', { privileged: true }),
    ).resolves.toMatchObject({
      exitStatus: 0,
    });
  });

  it('holds no caches, no lists, no name servers [linux-container 23]', () => {
    const kept = ['var/cache/apt', 'var/lib/apt/lists', 'etc/resolv.conf', 'var/log/bootstrap.log']
      .map((name) => path.join(ROOTFS, name))
      .filter((file) => fs.existsSync(file));
    const sizes = execFileSync('find', [...kept, '-type', 'f', '-size', '+0'], { encoding: 'utf8' });
    expect(sizes).toBe('');
    expect(fs.readFileSync(path.join(ROOTFS, 'etc/hostname'), 'utf8')).toBe('localhost\n');
    expect(
      fs.readdirSync(path.dirname(ROOTFS)).filter((name) => name.startsWith('.warden-debian-rootfs')),
    ).toEqual([]);
  });
};

if (isBuilt || unmet(['root', 'isolated', 'overlayfs']) !== undefined)
  describeWith(['root', 'isolated', 'overlayfs'], NAME, body);
else describe.skip(`${NAME} [needs: a root file system made by npm run rootfs]`, body);
