/** What a start that fails shows on a terminal, and elsewhere. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeWith } from '@warden/test-harness';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Tmux } from '../../../packages/cli/test/tmux.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../../packages/daemon/bin/wardend.js');
const WRONG = /^wardend: container_rootfs_path does not exist \/nonexistent\/rootfs.* \(INVALID_SPEC\)$/;

describeWith(['root', 'isolated', 'tmux'], 'a start that fails', () => {
  let directory: string;
  let words: readonly string[];
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-start-'));
    const at = (name: string): string => path.join(directory, name);
    words = [PROGRAM, '--socket', at('s'), '--depot', at('depot'), '--rootfs', '/nonexistent/rootfs'];
  });
  afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

  it('shows a terminal one line, and writes the log as ever where standard error is none', async () => {
    {
      using terminal = new Tmux(directory, [process.execPath, ...words].join(' '));
      await terminal.until(/status=1$/);
      const [line, ...more] = terminal.screen().split('\n');
      expect(line).toMatch(WRONG);
      expect(more).toEqual(['status=1']);
    }
    {
      using terminal = new Tmux(directory, `${[process.execPath, ...words].join(' ')} 2>${directory}/errors`);
      await terminal.until(/status=1$/);
      expect(terminal.screen()).toContain('"message":"start-failed"');
      expect(fs.readFileSync(path.join(directory, 'errors'), 'utf8').trim()).toMatch(WRONG);
    }
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    expect(status).toBe(1);
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { readonly message: string }).message);
    expect(events).toContain('configuration');
    expect(events.at(-1)).toBe('start-failed');
    expect(stderr.trim()).toMatch(WRONG);
  });
});
