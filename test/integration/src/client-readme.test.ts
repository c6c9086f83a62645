/**
 * The further examples of the client's README, run as they stand there. The first one is run alone, with
 * nothing but the package (test/repository).
 */
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it, vi } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const README = fs.readFileSync(path.join(ROOT, 'packages/client/README.md'), 'utf8');
const [, PROGRAM = '', FAKE = ''] = [...README.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code);

/** Runs a piece of TypeScript to its end where the package can be imported; answers the lines it printed. */
async function run(code: string): Promise<readonly unknown[][]> {
  const log = vi.spyOn(console, 'log').mockReturnValue(undefined);
  const file = path.join(import.meta.dirname, `.readme-example-${process.pid}-${code.length}.ts`);
  fs.writeFileSync(file, code);
  try {
    await import(/* @vite-ignore */ file);
    return [...log.mock.calls];
  } finally {
    log.mockRestore();
    fs.rmSync(file);
  }
}

describeWith(['root', 'isolated', 'overlayfs'], "the examples of the client's README", () => {
  const suite = withDaemon();

  it('of programs, files and events does what it says', async () => {
    const code = PROGRAM.replaceAll('/tmp/warden.sock', suite.daemon.place.socket);
    expect(await run(code)).toEqual([['one\nthree\ntwo\n', 3]]);
    expect(await (await suite.daemon.connect()).list()).toEqual([]);
  });

  it('of the fake does what it says', async () => {
    expect(await run(FAKE)).toEqual([['main.c']]);
  });
});
