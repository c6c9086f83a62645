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

/** Runs a piece of TypeScript where the package can be imported, until `isDone`; answers the lines it printed. */
async function run(
  code: string,
  isDone: (lines: readonly unknown[][]) => unknown,
): Promise<readonly unknown[][]> {
  const log = vi.spyOn(console, 'log').mockReturnValue(undefined);
  const file = path.join(import.meta.dirname, `.readme-example-${process.pid}-${code.length}.ts`);
  fs.writeFileSync(file, code);
  try {
    let failure: unknown;
    // one that waits for events never ends by itself
    void import(/* @vite-ignore */ file).catch((error: unknown) => {
      failure = error;
    });
    await vi.waitUntil(() => failure !== undefined || isDone(log.mock.calls), {
      timeout: 60_000,
      interval: 20,
    });
    if (failure !== undefined) throw failure;
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
    const warden = await suite.daemon.connect();
    let isDestroying = false;
    const lines = await run(code, (shown) => {
      if (shown.length > 0 && !isDestroying) {
        isDestroying = true;
        void (async () => {
          // as soon as the example's subscription stands
          await expect.poll(async () => (await warden.metrics()).subscribers, { timeout: 30_000 }).toBe(1);
          await warden.container('build-7').destroy();
        })();
      }
      return shown.length > 1;
    });
    expect(lines).toEqual([
      ['one\nthree\ntwo\n', 3],
      ['destroyed', []],
    ]);
  });

  it('of the fake does what it says', async () => {
    expect(await run(FAKE, (shown) => shown.length > 0)).toEqual([['main.c']]);
  });
});
