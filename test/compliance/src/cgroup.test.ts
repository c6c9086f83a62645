import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { cgroups } from '@warden/cgroup';
import { type CgroupSubject, cgroupCompliance, type JoinedProcess } from '@warden/driver-compliance';
import { silentLogger } from '@warden/interface';
import { cgroupParents, describeWith } from '@warden/test-harness';
import { describe, it } from 'vitest';

/** Reads a number of bytes per line, touches that much memory and answers. */
const ALLOCATOR = `
import sys
kept = []
for line in sys.stdin:
    kept.append(bytearray(b"x") * int(line))
    print("done", flush=True)
`;

let serial = 0;

describeWith(['root', 'isolated', 'cgroup-memory', 'python3'], 'cgroups of this host', () => {
  cgroupCompliance({ describe, it }, 'auto', subject);
});

async function subject(): Promise<CgroupSubject> {
  const prefix = `warden-kit-${process.pid}-${serial++}`;
  const parents = (): string[] => cgroupParents(prefix);
  return {
    driver: cgroups({ prefix })({ logger: silentLogger }),
    join,
    inventory: async () =>
      parents().flatMap((parent) =>
        fs
          .readdirSync(parent, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map((entry) => path.join(parent, entry.name)),
      ),
    close: async () => {
      for (const parent of parents()) fs.rmdirSync(parent);
    },
  };
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
