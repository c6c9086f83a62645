/** A cgroup driver on this host. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { cgroups } from '@warden/cgroup';
import type { CgroupSubject, JoinedProcess, Obstacle } from '@warden/driver-compliance';
import { type CgroupDriver, type DriverFactory, silentLogger } from '@warden/interface';
import { cgroupParents } from '@warden/test-harness';

/** Reads a number of bytes per line, touches that much memory and answers. */
const ALLOCATOR = `
import sys
kept = []
for line in sys.stdin:
    kept.append(bytearray(b"x") * int(line))
    print("done", flush=True)
`;

let serial = 0;

/** Groups of a prefix of their own, of this host or by another driver. */
export async function cgroupSubject(other?: DriverFactory<CgroupDriver>): Promise<CgroupSubject> {
  const prefix = `warden-kit-${process.pid}-${serial++}`;
  const parents = (): string[] => cgroupParents(prefix);
  const make = other ?? cgroups({ prefix });
  return {
    driver: make({ logger: silentLogger }),
    restart: async () => make({ logger: silentLogger }),
    obstacles: () => parents().map(readOnly),
    join,
    inventory: async () =>
      parents().flatMap((parent) =>
        fs
          .readdirSync(parent, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map((entry) => path.join(parent, entry.name)),
      ),
    close: async () => {
      // a test that failed may have left groups
      for (const parent of parents()) {
        for (const { name } of fs
          .readdirSync(parent, { withFileTypes: true })
          .filter((one) => one.isDirectory()))
          await removeWhenEmpty(path.join(parent, name));
        fs.rmdirSync(parent);
      }
    },
  };
}

/** Who was killed a moment ago keeps its group busy until it has gone. */
async function removeWhenEmpty(group: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return fs.rmdirSync(group);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function join(files: readonly string[]): Promise<JoinedProcess> {
  const script = 'for file; do echo 0 > "$file" || exit 9; done; exec python3 -c "$ALLOCATOR"';
  const child = spawn('sh', ['-c', script, 'sh', ...files], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ALLOCATOR },
  });
  const ended = once(child, 'exit').then(() => {});
  const answers = createInterface({ input: child.stdout });
  const ask = async (bytes: number): Promise<void> => {
    const answered = once(answers, 'line');
    child.stdin.write(`${bytes}\n`);
    await Promise.race([answered, ended]);
  };
  child.stdin.on('error', () => {}); // it may be dead, which is what some tests are about
  await ask(1);
  return { pid: child.pid!, allocate: ask, ended, kill: () => void child.kill('SIGKILL') };
}

/** The hierarchy takes no further group: as root's rights cannot be taken away, the whole mount is read-only. */
function readOnly(parent: string): Obstacle {
  const run = (...words: string[]): void => {
    const { status, stderr } = spawnSync(words[0]!, words.slice(1), { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${words.join(' ')}: ${stderr}`);
  };
  return {
    name: `a read-only ${parent}`,
    place: async () => {
      // the suite has a mount namespace of its own
      run('mount', '--bind', parent, parent);
      run('mount', '-o', 'remount,bind,ro', parent);
      return async () => run('umount', parent);
    },
  };
}
