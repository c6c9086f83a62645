// Runs the compliance kit with Node's own test runner; needs root, for mounts in a namespace of their own.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { makeDefaultRootfs } from '@warden/daemon';
import { filesystemCompliance } from '@warden/driver-compliance';
import { silentLogger } from '@warden/interface';
import copyDriver from './driver.js';

const make = () => copyDriver()({ logger: silentLogger });

filesystemCompliance({ describe, it }, 'copy', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'driver-copy-'));
  const [depot, base, root] = ['depot', 'base', 'root'].map((name) => path.join(directory, name));
  for (const one of [depot, root]) fs.mkdirSync(one);
  makeDefaultRootfs(base);
  fs.writeFileSync(path.join(base, 'etc/greeting'), 'hello\n');
  fs.chmodSync(path.join(base, 'etc/greeting'), 0o640);
  return {
    driver: make(),
    restart: make,
    depot,
    base,
    // every run mounts anew, in a namespace that ends with it
    mount: async (mounts) => ({
      run: async (script) => {
        const steps = mounts.map(
          ({ source, target, options }) => `mount -o ${options} '${source}' '${path.join(root, target)}'`,
        );
        const inside = [...steps, `exec chroot '${root}' /bin/sh -c "$1"`].join(' && ');
        return spawnSync('unshare', ['--mount', 'sh', '-c', inside, 'sh', script], { encoding: 'utf8' });
      },
      close: async () => {},
    }),
    close: async () => fs.rmSync(directory, { recursive: true, force: true }),
  };
});
