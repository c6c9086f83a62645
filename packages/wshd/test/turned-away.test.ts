/** An init that hangs up on who connects: it may be dying, or be short of something, for a moment or for longer. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ContainerKind, connectInit } from '../src/init.ts';
import { MESSAGE } from '../src/protocol.ts';

/** Turns so many away; then it ends, stops to listen and lives on, or greets whoever comes. */
const INIT = `
import socket, struct, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]); s.listen(8); print('ready', flush=True)
for _ in range(int(sys.argv[2])): s.accept()[0].close()
if sys.argv[3] == 'ends': sys.exit()
if sys.argv[3] == 'listens no more': s.close(); time.sleep(1000)
c, _ = s.accept()
sequence = struct.unpack('<HHI', c.recv(65536)[:8])[2]
c.send(struct.pack('<HHII', 1, ${MESSAGE.WELCOME}, sequence, 0) + struct.pack('<I', 0))
c.send(struct.pack('<HHI', 1, ${MESSAGE.READY}, 0))
c.recv(65536)
`;
const KIND = { end: [], adapt: (spec: unknown) => spec } as unknown as ContainerKind;

let directory: string;
let init: ChildProcess | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wshd-turned-away-'));
  mkdirSync(join(directory, 'run'));
});
afterEach(async () => {
  if (init !== undefined && init.exitCode === null) {
    const gone = once(init, 'exit');
    init.kill('SIGKILL');
    await gone;
  }
  rmSync(directory, { recursive: true, force: true });
});

async function connectTo(turnedAway: number, then: string): ReturnType<typeof connectInit> {
  init = spawn('python3', ['-c', INIT, join(directory, 'run/wshd.sock'), String(turnedAway), then], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(init.stdout!, 'data');
  return connectInit(directory, KIND);
}

describe('an init that hangs up', () => {
  test('and takes the one after: it is connected', async () => {
    const connected = await connectTo(3, 'greets');
    expect(connected?.pid).toBe(init!.pid);
    connected!.disconnect();
  });

  test.each(['ends', 'listens no more'])('and %s: there is none', async (then) => {
    expect(await connectTo(1, then)).toBeUndefined();
  });

  test('on everybody, and lives: an error, for it is no dead one', async () => {
    await expect(connectTo(1_000, 'greets')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `init ${init!.pid} lives and turns the daemon away`,
    });
    expect(init!.exitCode).toBeNull();
  });
});
