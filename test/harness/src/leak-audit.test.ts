import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { remainingStrangers } from './leak-audit.ts';
import { makeNamespace } from './namespace.ts';
import { describeWith } from './requires.ts';

describeWith(['root', 'isolated'], 'the leak audit', () => {
  it("sees whatever is left in the host's namespace, wherever its program and its groups are", async () => {
    const host = await makeNamespace();
    try {
      expect(await remainingStrangers({ network: { host } }, 0)).toEqual([]);
      const [program, ...words] = host.enter(['sh', '-c', 'cd / && echo in && exec sleep 300']);
      const left = spawn(program!, words, { stdio: ['ignore', 'pipe', 'inherit'] });
      try {
        await once(left.stdout, 'data');
        await expect
          .poll(() => remainingStrangers({ network: { host } }, 0))
          .toEqual([`${left.pid} sleep 300`]);
      } finally {
        left.kill('SIGKILL');
        await once(left, 'exit');
      }
      expect(await remainingStrangers({ network: { host } })).toEqual([]);
    } finally {
      await host.close();
    }
  });
});
