/** How many bytes get from one namespace to another in a while. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestNamespace } from './test-namespace.ts';

/** Takes one connection and counts what comes for some seconds from the first byte on. */
const SINK = `
import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('0.0.0.0', int(sys.argv[1]))); s.listen(1); print('ready', flush=True)
s.settimeout(20); c, _ = s.accept(); c.settimeout(5)
count = len(c.recv(1 << 20)); end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try: piece = c.recv(1 << 20)
    except socket.timeout: break
    if not piece: break
    count += len(piece)
print(count)
`;
const SOURCE = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
try:
    while True: s.sendall(b'x' * 65536)
except OSError: pass
`;

let port = 9100;

/**
 * Bytes that `to` got from `from` at `address` in so many seconds, over one TCP connection. `meanwhile` runs
 * after the first bytes.
 */
export async function bytesSent(
  { from, to, address }: { from: TestNamespace; to: TestNamespace; address: string },
  seconds: number,
  meanwhile?: () => Promise<void>,
): Promise<number> {
  port += 1;
  const start = (where: TestNamespace, ...words: string[]): ReturnType<typeof spawn> =>
    spawn('nsenter', [`--net=/proc/${where.pid}/ns/net`, '--', 'python3', '-c', ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const sink = start(to, SINK, String(port), String(seconds));
  let output = '';
  sink.stdout?.on('data', (bytes: Buffer) => {
    output += bytes.toString();
  });
  await once(sink.stdout!, 'data');
  const source = start(from, SOURCE, address, String(port));
  const ended = once(sink, 'close');
  await meanwhile?.();
  await ended;
  source.kill('SIGKILL');
  return Number(output.trim().split('\n')[1]);
}
