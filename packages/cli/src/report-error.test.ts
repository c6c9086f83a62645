import { PassThrough } from 'node:stream';
import { WardenError } from '@warden/interface';
import { expect, it } from 'vitest';
import type { CliOptions } from './options.ts';
import { reportError } from './report-error.ts';

async function reported(error: unknown, json = false): Promise<string> {
  const stderr = new PassThrough();
  const terminal = { stdin: new PassThrough(), stdout: new PassThrough(), stderr, env: {} };
  await reportError(error, { json, compatExit: false } as CliOptions, terminal);
  return String(stderr.read());
}

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
