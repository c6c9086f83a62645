/** Many packets by one process: an outside that answers everything, and a container that tries everything. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestNamespace } from './test-namespace.ts';

/** Answers TCP connections and datagrams at a range of ports. */
const ANSWERER = `
import selectors, socket, sys
s = selectors.DefaultSelector()
# Each address has its own sockets: an answer to a datagram must come from where it was sent to.
for port, kind, address in ((p, k, a) for p in range(int(sys.argv[1]), int(sys.argv[2]) + 1)
                            for k in (socket.SOCK_STREAM, socket.SOCK_DGRAM) for a in sys.argv[3:]):
        one = socket.socket(socket.AF_INET, kind); one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address, port)); one.setblocking(False)
        if kind == socket.SOCK_STREAM: one.listen(64)
        s.register(one, selectors.EVENT_READ, kind)
print('ready', flush=True)
while True:
    for key, _ in s.select():
        try:
            if key.data == socket.SOCK_STREAM: key.fileobj.accept()[0].close()
            else:
                data, peer, *_ = key.fileobj.recvfrom(2048); key.fileobj.sendto(data, peer)
        except OSError: pass
`;
/** Tries each of a list of targets; prints whether it was answered. */
const PROBER = `
import json, random, socket, struct, sys, time
def stream(t):
    s = socket.socket(); s.settimeout(3)
    try: s.connect((t['address'], t['port'])); return True
    except OSError: return False
    finally: s.close()
def datagram(t):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)
    try: s.connect((t['address'], t['port'])); s.send(b'x'); s.recv(16); return True
    except OSError: return False
    finally: s.close()
def total(b):
    t = sum(struct.unpack('!%dH' % (len(b) // 2), b)); t = (t >> 16) + (t & 0xffff); return ~(t + (t >> 16)) & 0xffff
def echo(t):
    # Its own number each time: an answered one makes the next of the same number part of a known exchange.
    own = (random.randrange(65536), 1); s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    head = lambda c: struct.pack('!BBHHH', t['type'], t['code'], c, *own)
    s.sendto(head(total(head(0))), (t['address'], 0)); end = time.monotonic() + 3
    while time.monotonic() < end:
        s.settimeout(max(0.01, end - time.monotonic()))
        try: p, peer = s.recvfrom(2048)
        except OSError: break
        if p[20] == 0 and struct.unpack('!HH', p[24:28]) == own: return True
        if p[20] == 3 and len(p) >= 56 and struct.unpack('!HH', p[52:56]) == own: return False
    return False
by = {'tcp': stream, 'udp': datagram, 'icmp': echo}
print(json.dumps([by[t['protocol']](t) for t in json.loads(sys.argv[1])]))
`;

/** Where a packet is to go. */
export type Target =
  | { readonly protocol: 'tcp' | 'udp'; readonly address: string; readonly port: number }
  | { readonly protocol: 'icmp'; readonly address: string; readonly type: number; readonly code: number };

/** Serves TCP and UDP at the ports of these addresses until closed. */
export async function answer(
  where: TestNamespace,
  addresses: readonly string[],
  { first, last }: { readonly first: number; readonly last: number },
): Promise<{ close(): Promise<void> }> {
  const child: ChildProcess = spawn(
    'nsenter',
    [
      `--net=/proc/${where.pid}/ns/net`,
      '--',
      'python3',
      '-c',
      ANSWERER,
      String(first),
      String(last),
      ...addresses,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(child.stdout!, 'data');
  return {
    close: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** Whether each target answers. */
export function probe(from: TestNamespace, targets: readonly Target[]): boolean[] {
  return JSON.parse(from.run('python3', '-c', PROBER, JSON.stringify(targets))) as boolean[];
}
