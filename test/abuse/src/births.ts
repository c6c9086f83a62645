/**
 * Jobs by the thousand, by init's own protocol (native/include/wshd_protocol.h): what is of interest is only
 * that they are born.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** An operator's jobs with nothing to say, eight at a time, one after the other for ever. */
const FLOOD = `
import os, socket, struct, sys
def block(data): return struct.pack("<I", len(data)) + data
def message(kind, sequence, body): return struct.pack("<HHI", 1, kind, sequence) + body
os.chdir(sys.argv[1])
init = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
init.connect("run/wshd.sock")
init.send(message(1, 1, struct.pack("<I", 2)))
job = struct.pack("<IIHH", 0, 2, 0, 0) + block(sys.argv[2].encode()) + struct.pack("<I", 1) + block(b"true") + struct.pack("<II", 0, 0) + block(b"")
sequence = 1
def start():
    global sequence
    sequence += 1
    init.send(message(2, sequence, job))
for i in range(8): start()
while True:
    data = init.recv(65536)
    if not data: break
    if struct.unpack_from("<H", data, 2)[0] in (100, 201): start()
`;

/** Starts such jobs of `user` in a container until it is called off. */
export function giveBirth(
  containerPath: string,
  user: string,
): { stop(): Promise<void>; readonly isGone: boolean } {
  const child = spawn('python3', ['-c', FLOOD, containerPath, user], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(child, 'exit');
  return {
    get isGone() {
      return child.exitCode !== null;
    },
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
