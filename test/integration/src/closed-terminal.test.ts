/**
 * How a program ends whose terminal is gone: Node aborts where it cannot set a terminal back
 * (scripts/load-program.cjs).
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeWith } from '@warden/test-harness';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Tmux } from '../../../packages/cli/test/tmux.ts';

const LOAD = path.resolve(import.meta.dirname, '../../../scripts/load-program.cjs');

describeWith(['tmux'], 'a program whose terminal is closed', () => {
  let directory: string;
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-closed-'));
    fs.copyFileSync(LOAD, path.join(directory, 'load.cjs'));
    for (const name of ['shared.cjs', 'small.cjs']) fs.writeFileSync(path.join(directory, name), '');
  });
  afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

  it.each([
    ['by process.exit', 'process.exit(7);'],
    ['by having nothing left to do', 'process.exitCode = 7; clearInterval(life);'],
  ])('ends %s with its own exit status, and says nothing', async (_how, end) => {
    const [start, errors, status] = ['start.cjs', 'errors', 'status'].map((name) =>
      path.join(directory, name),
    );
    fs.writeFileSync(
      start!,
      `require('./load.cjs').load('small');
      const life = setInterval(() => undefined, 1000);
      process.on('SIGHUP', () => { ${end} });
      console.log('begun');`,
    );
    // the kernel tells the leader of the session alone, which is the shell; its first wait ends by the signal
    const program = `'${process.execPath}' '${start}' <&0 2>'${errors}' & program=$!`;
    const line = `${program}; trap 'kill -HUP $program' HUP; wait $program; wait $program; echo $? >'${status}'`;
    {
      using terminal = new Tmux(directory, line);
      await terminal.until(/^begun$/);
    }
    await vi.waitFor(() => expect(fs.readFileSync(status!, 'utf8')).toBe('7\n'), { timeout: 20_000 });
    expect(fs.readFileSync(errors!, 'utf8')).toBe('');
  });
});
