import { type FakeWarden, fakeWarden } from '@warden/client/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { warden } from '../../test/word-run.ts';
import { candidates } from './candidates.ts';

let fake: FakeWarden;
beforeEach(async () => {
  fake = fakeWarden();
  await using client = await fake.connect();
  for (const handle of ['box', 'b x', 'e\x1bvil', '$(id)']) await client.create({ handle, graceTime: 1000 });
});
afterEach(() => fake[Symbol.asyncDispose]());

const texts = async (...typed: string[]): Promise<readonly string[]> =>
  (await candidates(typed, () => fake.connect())).map(({ text }) => text);

it.each([
  [['p'], ['port', 'ps', 'ping']],
  [['im'], ['image']],
  [
    ['image', ''],
    ['gc', 'import', 'ls', 'pull', 'rm', 'snapshot'],
  ],
  [['help', 'ex'], ['exec']],
  [['help', 'image', 'l'], ['ls']],
  [['ps', '--q'], ['--quiet']],
  [
    ['exec', ''],
    ['box', 'b x', '$(id)'],
  ],
  [
    ['exec', '-it', 'b'],
    ['box', 'b x'],
  ],
  [['exec', '--env', ''], []],
  [['exec', 'box', ''], [':']],
  [['exec', 'box', '--', ''], [':']],
  [['top', '--sort', 'm'], ['memory']],
  [
    ['events', 'box', '--type', 'o'],
    ['oom', 'output-limit'],
  ],
  [
    ['cp', 'bo'],
    [':', 'box:/'],
  ],
  [
    ['config', ''],
    ['check', 'show', 'schema'],
  ],
  [['completion', 'z'], ['zsh']],
  [['--sock'], ['--socket']],
  [['--socket', ''], [':']],
  [['--socket', '/x', 'insp'], ['inspect']],
  [['--json', 'insp'], ['inspect']],
  [['--', 'inf'], ['info']],
  [['--', 'info', '--handle', 'bo'], ['box']],
  [['info', '--handle', 'bo'], ['box']],
  [['info', '--ha'], ['--handle']],
  [['nonsense', ''], []],
])('behind %j come %j, and no name that could give a terminal orders', async (typed, expected) => {
  expect(await texts(...typed)).toEqual(expected);
});

it('offers words and flags without a daemon, and does not wait for one', async () => {
  const never = () => new Promise<never>(() => undefined);
  const refused = () => Promise.reject(new Error('nobody'));
  const typed = [['ex'], ['exec', ''], ['run', '--im']];
  const found = await Promise.all(
    typed.flatMap((words) =>
      [never, refused].map(async (connect) => (await candidates(words, connect)).map(({ text }) => text)),
    ),
  );
  expect(found).toEqual([['exec'], ['exec'], [], [], ['--image'], ['--image']]);
});

it('writes candidates for scripts, one a line', async () => {
  const { status, stdout } = await warden(fake, ['completion', 'candidates', '--', 'exec', 'bo']);
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'box\tcontainer\n' });
});
