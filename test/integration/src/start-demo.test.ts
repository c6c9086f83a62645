/** What `npm start` does after the set-up, in the suite's isolation. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { connect } from '@warden/client';
import { cgroupParents, describeWith, patience } from '@warden/test-harness';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { isAlive } from '../../../packages/cli/test/is-alive.ts';

const SCRIPT = path.resolve(import.meta.dirname, '../../../scripts/start.mjs');

/** Directories of the run with this pid; others may start theirs meanwhile. */
function leftovers(pid: number | undefined): string[] {
  return fs
    .readdirSync('/tmp')
    .filter((name) => name.startsWith('warden-start-'))
    .map((name) => path.join('/tmp', name))
    .filter((directory) => {
      try {
        return fs.readFileSync(path.join(directory, 'wardend.yml'), 'utf8').includes(`"warden-start-${pid}"`);
      } catch {
        return false; // it has gone
      }
    });
}

describeWith(['root', 'isolated', 'overlayfs'], 'npm start', () => {
  let directory: string;
  let usual: string;
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-demo-'));
    usual = path.join(directory, 'warden.sock');
  });
  afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

  /** With `--keep`, its prompt reading what the test writes, and where it listens. */
  async function keep(): Promise<{ child: ChildProcess; socket: string; text(): string }> {
    const child = spawn(process.execPath, [SCRIPT, '--keep'], {
      env: { ...process.env, WARDEN_SOCKET: usual },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream!.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
    const socket = await vi.waitFor(
      () => {
        const found = /^socket (\S+); end with/m.exec(text)?.[1];
        if (found === undefined) throw new Error(`it has not started: ${text}`);
        return found;
      },
      { timeout: patience(60_000), interval: 20 },
    );
    return { child, socket, text: () => text };
  }

  async function ended(child: ChildProcess): Promise<readonly unknown[]> {
    return once(child, 'close', { signal: AbortSignal.timeout(patience(60_000)) });
  }

  it('shows a container from beginning to end and leaves nothing', () => {
    const { pid, status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT], {
      encoding: 'utf8',
      timeout: patience(60_000),
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const step of ['daemon start', 'create', 'run', 'info', 'destroy'])
      expect(stdout).toMatch(new RegExp(`${step}\\s+[\\d.]+ ms`));
    expect(stdout).toContain('vcap');
    expect(leftovers(pid)).toEqual([]);
  });

  it('takes a socket over that nobody listens at; when its daemon was killed everything goes, and a line says so', async () => {
    // listening it gets a name, and killed it leaves it
    const stale = `require('node:net').createServer().listen(${JSON.stringify(usual)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', stale]);
    expect(fs.lstatSync(usual).isSocket()).toBe(true);
    const { child, socket, text } = await keep();
    expect(socket).toBe(usual);
    await using client = await connect({ path: socket });
    const box = await client.create();
    await box.spawn('sleep 1000');
    const { containerPath } = await box.info();
    const depot = path.dirname(containerPath!);
    const pid = Number(fs.readFileSync(path.join(depot, '.lock'), 'utf8'));
    const init = Number(fs.readFileSync(path.join(containerPath!, 'run/wshd.pid'), 'utf8'));
    const parents = cgroupParents(`warden-start-${child.pid}`);
    expect(parents.length).toBeGreaterThan(0);
    process.kill(pid, 'SIGKILL');
    child.stdin!.end();
    const [status] = await ended(child);
    expect(text()).toMatch(
      /^npm start: the daemon was ended by SIGKILL meanwhile; all that it had left is removed$/m,
    );
    expect(text()).not.toMatch(/^ +at /m);
    expect(status).toBe(0);
    expect(leftovers(child.pid)).toEqual([]);
    expect([fs.existsSync(usual), isAlive(init)]).toEqual([false, false]);
    expect(parents.filter((parent) => fs.existsSync(parent))).toEqual([]);
  });

  it('leaves a socket that somebody listens at; ended by a signal it takes everything away but its log', async () => {
    const server = net.createServer((socket) => socket.destroy()).listen(usual);
    try {
      await once(server, 'listening');
      const { child, socket, text } = await keep();
      expect(socket).not.toBe(usual);
      await using client = await connect({ path: socket });
      await client.create();
      child.kill('SIGTERM');
      expect(await ended(child)).toEqual([1, null]);
      expect(text()).toMatch(/^npm start: ended by SIGTERM$/m);
      expect(fs.existsSync(usual)).toBe(true);
      expect(cgroupParents(`warden-start-${child.pid}`)).toEqual([]);
      const [kept, ...more] = leftovers(child.pid);
      expect(more).toEqual([]);
      expect(fs.readdirSync(path.join(kept!, 'depot')).filter((name) => name !== '.lock')).toEqual([]);
      fs.rmSync(kept!, { recursive: true });
    } finally {
      server.close();
    }
  });
});
