/** What `npm start` does after the set-up, in the suite's isolation. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith } from '@warden/test-harness';
import { expect, it } from 'vitest';

describeWith(['root', 'isolated', 'overlayfs'], 'npm start', () => {
  it('shows a container from beginning to end and leaves nothing', () => {
    const temporary = (): string[] =>
      fs.readdirSync('/tmp').filter((name) => name.startsWith('warden-start'));
    const before = temporary();
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [path.resolve(import.meta.dirname, '../../../scripts/start.mjs')],
      { encoding: 'utf8', timeout: 60_000 },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const step of ['daemon start', 'create', 'run', 'info', 'destroy'])
      expect(stdout).toMatch(new RegExp(`${step}\\s+[\\d.]+ ms`));
    expect(stdout).toContain('vcap');
    expect(temporary()).toEqual(before);
  });
});
