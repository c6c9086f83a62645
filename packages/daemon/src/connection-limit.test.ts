import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { connectionLimit, readOpenFileLimit } from './connection-limit.ts';

describe('the number of clients', () => {
  it.each([
    [1024, 32_768, 1024],
    [1024, 1024, 512],
    [5, 1024, 5],
    [1024, Number.POSITIVE_INFINITY, 1024],
    [1024, 1, 1],
  ])('%d configured with %d open files: %d', (configured, files, expected) => {
    expect(connectionLimit(configured, files)).toBe(expected);
  });

  it('comes from the limit of the process', () => {
    const shell = spawnSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).stdout.trim();
    expect(String(readOpenFileLimit())).toBe(shell === 'unlimited' ? 'Infinity' : shell);
  });
});
