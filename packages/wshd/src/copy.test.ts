import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startPlainCopy } from './copy.ts';
import type { CopyProgram } from './copy-program.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-copy-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

/**
 * In the place of a program that hangs in a file system of the host, and that no signal ends: it leaves a child
 * behind that has its end of the channel.
 */
function hangingProgram(): { readonly program: CopyProgram; readonly holder: () => number } {
  const file = path.join(directory, 'warden-copy');
  const note = path.join(directory, 'holder');
  fs.writeFileSync(
    file,
    `#!/bin/sh\n[ "$1" = inside ] && exec sleep 30\nsleep 30 & echo $! > ${note}.new && mv ${note}.new ${note} && wait\n`,
    { mode: 0o755 },
  );
  const program = { path: file, open: () => fs.openSync(file, 'r') } as unknown as CopyProgram;
  return { program, holder: () => Number(fs.readFileSync(note, 'utf8')) };
}

it('ends when it is given up, although the program of the host never does', async () => {
  const { program, holder } = hangingProgram();
  const spec = {
    direction: 'out',
    hostPath: directory,
    containerPath: '/a',
    owner: '',
    user: 'vcap',
    forbidden: [],
  } as const;
  const copy = await startPlainCopy(spec, directory, {
    program,
    failpoints: { pass: async () => {} } as never,
  });
  try {
    await expect.poll(() => fs.existsSync(path.join(directory, 'holder')), { timeout: 5_000 }).toBe(true);
    copy.abort();
    await expect(copy.ended).rejects.toMatchObject({ code: 'ABORTED' });
    expect(fs.existsSync(`/proc/${holder()}`)).toBe(true); // the channel was open all the time
  } finally {
    process.kill(holder(), 'SIGKILL');
  }
}, 20_000);
