import { execFileSync, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ScriptedDaemon } from './scripted-daemon.ts';

const PACKAGE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

// The program runs from dist: a child process knows no TypeScript. The build is incremental.
beforeAll(() => {
  const typescript = path.dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  execFileSync(process.execPath, [
    path.join(typescript, 'bin/tsc'),
    '-b',
    path.join(PACKAGE, 'tsconfig.json'),
  ]);
}, 120_000);

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await new ScriptedDaemon().start();
});
afterEach(() => daemon[Symbol.asyncDispose]());

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function warden(words: readonly string[], input?: string): Promise<Ended> {
  const env = { PATH: process.env.PATH, HOME: daemon.directory };
  const child = spawn(
    process.execPath,
    [path.join(PACKAGE, 'bin/warden.js'), '--socket', daemon.path, ...words],
    { env },
  );
  const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  child.stdout.on('data', (chunk: Buffer) => chunks.stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.stderr.push(chunk));
  child.stdin.end(input);
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  const text = (of: Buffer[]) => Buffer.concat(of).toString('latin1');
  return { status, stdout: text(chunks.stdout), stderr: text(chunks.stderr) };
}

describe('the program', () => {
  it('runs a single command and ends by itself', async () => {
    expect(await warden(['--', 'create', '--handle', 'h'])).toEqual({
      status: 0,
      stdout: 'handle : h\n',
      stderr: '',
    });
    expect(await warden(['--', 'run', '--handle', 'h', '--script', '42 out err'])).toEqual({
      status: 42,
      stdout: 'out',
      stderr: 'err',
    });
    expect((await warden(['--', 'nope'])).status).toBe(2);
  });

  it('runs a script from a pipe', async () => {
    const script = 'create --handle h\nrun --handle h --script "0 a b"\nlist\n';
    expect(await warden(['--trace', '--exit_on_error'], script)).toEqual({
      status: 0,
      stdout: '+ create --handle h\nhandle : h\n+ run --handle h --script 0 a b\na+ list\nhandles[0] : h\n',
      stderr: 'b',
    });
    expect((await warden(['--exit_on_error'], 'nope\nlist\n')).status).toBe(1);
  });

  it('ends the prompt on SIGINT with a blank line and 0', async () => {
    const env = { PATH: process.env.PATH, HOME: daemon.directory };
    const child = spawn(process.execPath, [path.join(PACKAGE, 'bin/warden.js'), '--socket', daemon.path], {
      env,
    });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.stdout.once('data', () => child.kill('SIGINT'));
    child.stdin.write('echo --message ready\n');
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
    expect(stderr).toBe('\n\nExiting...\n');
  });
});
