/** What a daemon asks of an init that is older than it: nothing that this one would not understand. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ContainerKind, connectInit } from '../src/init.ts';
import { ABILITY, MESSAGE, SPAWN_FLAG } from '../src/protocol.ts';
import { shell } from './container.ts';

/**
 * Greets a daemon with what it can do (-1: as one that says nothing of it), and prints type and flags of each
 * message that comes behind the first.
 */
const INIT = `
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]); s.listen(1); print('ready', flush=True)
c, _ = s.accept(); abilities = int(sys.argv[2])
sequence = struct.unpack('<HHI', c.recv(65536)[:8])[2]
c.send(struct.pack('<HHII', 1, ${MESSAGE.WELCOME}, sequence, 0) + (struct.pack('<I', abilities) if abilities >= 0 else b''))
c.send(struct.pack('<HHI', 1, ${MESSAGE.READY}, 0))
while True:
    m = c.recv(65536)
    if not m: break
    kind = struct.unpack('<HHI', m[:8])[1]
    at = {${MESSAGE.SPAWN}: 12, ${MESSAGE.PREPARE}: 16}.get(kind)
    print(kind, at and struct.unpack('<I', m[at:at + 4])[0], flush=True)
`;
/** None is ended, and nothing is copied. */
const KIND = { end: {}, adapt: (spec: unknown) => spec } as unknown as ContainerKind;

let directory: string;
let init: ChildProcess;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wshd-abilities-'));
  mkdirSync(join(directory, 'run'));
});
afterEach(async () => {
  if (init.exitCode === null) {
    const gone = once(init, 'exit');
    init.kill('SIGKILL');
    await gone;
  }
  rmSync(directory, { recursive: true, force: true });
});

/** What such an init gets when a job is started with memory left, and another one is to be prepared. */
async function asked(abilities: number): Promise<string[]> {
  init = spawn('python3', ['-c', INIT, join(directory, 'run/wshd.sock'), String(abilities)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: init.stdout! })[Symbol.asyncIterator]();
  await lines.next();
  const connected = await connectInit(directory, KIND);
  const job = { ...shell(1, 'true'), hasRoom: true };
  connected!.spawn(job).catch(() => {}); // nobody answers it
  connected!.prepare!(job, 1_000);
  connected!.acknowledge();
  const received: string[] = [];
  for await (const line of { [Symbol.asyncIterator]: () => lines }) {
    if (line.startsWith(`${MESSAGE.FORGET} `)) break;
    received.push(line);
  }
  connected!.disconnect();
  return received;
}

describe('what an init is asked for', () => {
  const { SPAWN, PREPARE } = MESSAGE;
  test.each([
    ['that says nothing', -1, [`${SPAWN} 0`]],
    ['that can prepare jobs', ABILITY.CAN_PREPARE, [`${SPAWN} 0`, `${PREPARE} 0`]],
    ['that can lend its memory', ABILITY.CAN_LEND, [`${SPAWN} ${SPAWN_FLAG.ROOMY}`]],
    [
      'that can do both',
      ABILITY.CAN_PREPARE | ABILITY.CAN_LEND,
      [`${SPAWN} ${SPAWN_FLAG.ROOMY}`, `${PREPARE} ${SPAWN_FLAG.ROOMY}`],
    ],
  ])('%s', async (_name, abilities, messages) => {
    expect(await asked(abilities)).toEqual(messages);
  });
});
