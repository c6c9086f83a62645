/** `warden` against a real daemon (spec cli.md). */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

const PROGRAM = path.resolve(import.meta.dirname, '../../../packages/cli/bin/warden.js');

describeWith(['root', 'isolated', 'overlayfs'], 'the command line', () => {
  const suite = withDaemon();
  const warden = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [PROGRAM, '--socket', suite.daemon.place.socket, ...args],
      { encoding: 'utf8', timeout: 30_000 },
    );
    return { status, stdout, stderr };
  };

  it('creates, runs, lists and destroys by one-shot commands', () => {
    const created = warden('create', '--handle', 'by-cli');
    expect(created).toMatchObject({ status: 0, stdout: expect.stringContaining('by-cli') });
    expect(warden('list')).toMatchObject({ status: 0, stdout: expect.stringContaining('by-cli') });
    const ran = warden('run', '--handle', 'by-cli', '--script', 'echo out; echo err >&2; exit 7');
    expect(ran).toMatchObject({
      status: 7,
      stdout: expect.stringContaining('out'),
      stderr: expect.stringContaining('err'),
    });
    expect(warden('info', '--handle', 'by-cli')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/state\s*: active/),
    });
    expect(warden('destroy', '--handle', 'by-cli')).toMatchObject({ status: 0 });
    expect(warden('info', '--handle', 'by-cli')).toMatchObject({
      status: expect.toSatisfy((status: number) => status > 0),
      stderr: expect.stringContaining('unknown handle'),
    });
  });

  it('answers JSON on request', () => {
    expect(JSON.parse(warden('--json', 'create', '--handle', 'as-json').stdout)).toEqual({
      handle: 'as-json',
    });
    const info = JSON.parse(warden('--json', 'info', '--handle', 'as-json').stdout);
    expect(info).toMatchObject({ state: 'active' });
    expect(warden('destroy', '--handle', 'as-json').status).toBe(0);
  });

  it('drives the prompt from a pipe', async () => {
    const child = spawn(process.execPath, [PROGRAM, '--socket', suite.daemon.place.socket], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stdin.end('ping\ncreate --handle prompted\nlist\ndestroy --handle prompted\nlist\n');
    const [status] = await once(child, 'exit');
    expect(status).toBe(0);
    expect(output).toContain('prompted');
  });
});
