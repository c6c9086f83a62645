import { PassThrough } from 'node:stream';
import { ERROR_CODES, type ErrorCode, WardenError } from '@warden/interface';
import { expect, it } from 'vitest';
import { writtenTo } from '../test/written-to.ts';
import type { CliOptions } from './options.ts';
import { reportError } from './report-error.ts';

async function reported(error: unknown, json = false): Promise<string> {
  const stderr = new PassThrough();
  const terminal = { stdin: new PassThrough(), stdout: new PassThrough(), stderr, env: {} };
  await reportError(error, { json, compatExit: false } as CliOptions, terminal);
  return writtenTo(stderr);
}

it.each([
  ['ENOENT', 'no wardend listens there; start one, or name its socket by --socket or WARDEN_SOCKET'],
  ['ECONNREFUSED', 'the wardend that listened there is gone; start it again, its containers live on'],
  ['EACCES', "the socket is for its owner and group; be root, or a member of the socket's group"],
])('says what to do when no daemon answers: %s', async (errno, advice) => {
  const fields = { operation: 'connect', object: '/s', errno };
  const text = await reported(new WardenError('UNAVAILABLE', 'cannot connect', { fields }));
  expect(text.split('\n')[1]).toBe(`UNAVAILABLE: ${advice}`);
});

it.each([
  ['/etc/passwd', '/etc/passwd is a file, no socket'],
  ['/tmp', '/tmp is a directory, no socket'],
  ['', 'the path of the socket is empty'],
])('says that %j is no socket', async (object, what) => {
  const fields = { operation: 'connect', object, errno: 'ECONNREFUSED' };
  const text = await reported(new WardenError('UNAVAILABLE', 'cannot connect', { fields }));
  expect(text).toBe(
    `Connection refused - connect(2) for ${object}\nUNAVAILABLE: ${what}; name that of a wardend by --socket or WARDEN_SOCKET\n`,
  );
});

it('shows the fields that the text of a code speaks of, and speaks of none where there are none', async () => {
  const fields = { operation: 'mount', object: '/x', errno: 'EPERM', output: 'two\nlines', more: {} };
  expect(await reported(new WardenError('NATIVE_FAILED', 'mount /x: EPERM', { fields }))).toBe(
    'mount /x: EPERM\nNATIVE_FAILED: the kernel did not do it (operation: mount, object: /x, errno: EPERM)\n',
  );
  for (const code of ['COMMAND_FAILED', 'INTERNAL', 'NATIVE_FAILED', 'UNSUPPORTED'] as const)
    expect(await reported(new WardenError(code, 'text'))).toMatch(/^text\n[A-Z_]+: [^()]*\n$/);
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[])
    expect(await reported(new WardenError(code, 'text'))).not.toMatch(/fields|--json/);
});

it('says what can be done about a stopped container, and of no other state', async () => {
  const state = "Container state must be one of 'active', current state is ";
  const advice = 'a stopped container never becomes active again; destroy it and make another';
  expect(await reported(new WardenError('BAD_STATE', `${state}'stopped'`))).toBe(
    `${state}'stopped'\nBAD_STATE: ${advice}\n`,
  );
  expect(await reported(new WardenError('BAD_STATE', `${state}'born'`))).not.toContain('destroy');
});

it('shows what a container has put into a name, and lets no terminal obey it [SECURITY F14]', async () => {
  const name = '/tmp/\x1b]0;title\x07\x1b[2J\r\x9b31m\x00\x7f\tä€';
  const error = new WardenError('COMMAND_FAILED', `open source: ${name}: ELOOP\nsecond line`);
  const text = await reported(error);
  expect(text).toContain(
    'open source: /tmp/\\x1b]0;title\\x07\\x1b[2J\\x0d\\x9b31m\\x00\\x7f\tä€: ELOOP\nsecond line\nCOMMAND_FAILED: ',
  );
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what is looked for
  expect(text).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
  expect(JSON.parse(await reported(error, true))).toMatchObject({ message: error.message });
});
