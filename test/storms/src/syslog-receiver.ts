/**
 * What may be behind a syslog socket: a receiver that reads, or one that never does. Node has no datagram
 * sockets of this kind.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const PROGRAM = `
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('ready', flush=True)
while True:
    if sys.argv[2] == 'deaf': time.sleep(60)
    else: s.recv(1 << 20)
`;

/** Starts one; it ends with the test. Answers how to end it earlier. */
export async function startReceiver(socket: string, kind: 'reads' | 'deaf'): Promise<() => Promise<void>> {
  const words = ['--pdeathsig', 'KILL', '--', 'python3', '-c', PROGRAM, socket, kind];
  const child = spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
}
