/** What was opened for a conversation with an init is closed wherever its beginning fails. */
import fs from 'node:fs';
import { NO_FAILPOINTS } from '@warden/interface';
import { closeDescriptor, makeSocketPair } from '@warden/native';
import { expect, test } from 'vitest';
import { Connection } from './connection.ts';
import { startCopy } from './copy.ts';
import { CopyProgram } from './copy-program.ts';
import { openFiles } from './files.ts';
import { InsideHelper } from './inside-helper.ts';

const NOBODY = '/nowhere/wshd.sock';
const noProgram = new CopyProgram('/nowhere');

/** What each descriptor of this process is. */
function open(): string[] {
  return fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [`${fd} ${fs.readlinkSync(`/proc/self/fd/${fd}`)}`];
    } catch {
      return []; // that of the listing
    }
  });
}

test.each([
  ['a helper whose program cannot be opened', { openProgram: () => fs.openSync('/nowhere/program', 'r') }],
  ['a helper whose init is not there', { openProgram: () => fs.openSync('/dev/null', 'r') }],
])('%s', async (_, { openProgram }) => {
  const before = open();
  const [ours, theirs] = makeSocketPair('stream');
  const spec = { socketPath: NOBODY, argv: ['true'], user: 'vcap', socket: theirs, openProgram };
  await expect(InsideHelper.start(spec)).rejects.toThrow();
  closeDescriptor(ours);
  expect(open()).toEqual(before);
});

test('a copy whose program cannot be opened', async () => {
  const before = open();
  const spec = {
    ...({ direction: 'in', hostPath: '/nowhere', containerPath: '/tmp', owner: '', user: 'vcap' } as const),
    forbidden: [],
  };
  await expect(startCopy(spec, { program: noProgram, failpoints: NO_FAILPOINTS }, NOBODY)).rejects.toThrow(
    /ENOENT/,
  );
  expect(open()).toEqual(before);
});

test('a connection to what cannot be waited for', () => {
  const file = fs.openSync('/proc/self/exe', 'r');
  expect(() => new Connection(file, { onEvent: () => {}, onClosed: () => {} })).toThrow(/EPERM/);
  expect(() => fs.fstatSync(file)).toThrow(/EBADF/);
});

test('work on files whose program cannot be opened', async () => {
  const before = open();
  const task = { operation: 'read', path: '/etc/passwd', user: 'vcap' } as const;
  await expect(openFiles(task, noProgram, NOBODY)).rejects.toThrow(/ENOENT/);
  expect(open()).toEqual(before);
});
