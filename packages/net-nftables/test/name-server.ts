/**
 * A name server for the outside, and questions from a container. Both are processes of their own: the
 * resolver lives in that of the test.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import type { TestNamespace } from './test-namespace.ts';

/**
 * Answers by a table: name -> { ttl, addresses, alias, code, cut, forged, silent }. Each line of its input is
 * a new table. Prints each name it is asked for.
 */
const SERVER = `
import json, selectors, socket, struct, sys, threading
zone = json.loads(sys.argv[2]); asked = []
def labels(n): return b''.join(bytes([len(l)]) + l.encode() for l in n.split('.')) + b'\\0'
def read(q):
    at, out = 12, []
    while q[at]: out.append(q[at+1:at+1+q[at]].decode()); at += 1 + q[at]
    return '.'.join(out), q[12:at+5]
def records(n, e):
    out = []
    if 'alias' in e:
        t = e['alias']; out.append(labels(n) + struct.pack('!HHIH', 5, 1, e.get('ttl', 60), len(labels(t))) + labels(t)); n = t
    for a in e.get('addresses', []): out.append(labels(n) + struct.pack('!HHIH', 1, 1, e.get('ttl', 60), 4) + socket.inet_aton(a))
    return out
def answer(q, tcp):
    n, question = read(q); e = zone.get(n); print(n, flush=True)
    if e and e.get('silent'): return []
    cut = bool(e and e.get('cut') and not tcp)
    rs = [] if not e or cut else records(n, e); code = 3 if e is None else e.get('code', 0)
    msg = lambda i, q2, rs2: struct.pack('!HHHHHH', i, 0x8180 | (0x200 if cut else 0) | code, 1, len(rs2), 0, 0) + q2 + b''.join(rs2)
    i = struct.unpack('!H', q[:2])[0]; good = msg(i, question, rs)
    if not (e and e.get('forged')): return [good]
    bad = records(n, {'addresses': [e['forged']]})
    return [msg(i ^ 1, question, bad), msg(i, labels('other.test') + question[-4:], bad), b'\\xff' * 40, good]
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 53)); ready.release()
    while True:
        q, peer = s.recvfrom(2048)
        for a in answer(q, False): s.sendto(a, peer)
def tcp():
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((sys.argv[1], 53)); s.listen(8); ready.release()
    while True:
        c, _ = s.accept(); q = c.recv(2048)
        for a in answer(q[2:], True): c.sendall(struct.pack('!H', len(a)) + a)
        c.close()
ready = threading.Semaphore(0)
for f in (udp, tcp): threading.Thread(target=f, daemon=True).start()
ready.acquire(); ready.acquire(); print('ready', flush=True)
for line in sys.stdin: zone = json.loads(line); print('changed', flush=True)
`;
/** Asks for addresses (or another type) and prints the code and what was answered; \`null\` without an answer. */
const ASKER = `
import json, socket, struct, sys
server, kind, carrier, names = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
def labels(n): return b''.join(bytes([len(l)]) + l.encode() for l in n.split('.')) + b'\\0'
def ask(n):
    q = struct.pack('!HHHHHH', 77, 0x100, 1, 0, 0, 0) + labels(n) + struct.pack('!HH', kind, 1)
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if carrier == 'tcp' else socket.SOCK_DGRAM); s.settimeout(float(carrier) if carrier[0].isdigit() else 10)
    try:
        s.connect((server, 53))
        if carrier == 'tcp': s.sendall(struct.pack('!H', len(q)) + q); r = s.recv(4096)[2:]
        else: s.send(q); r = s.recv(4096)
    except OSError: return None
    i, flags, _, count = struct.unpack('!HHHH', r[:8]); at = len(q); out = []
    assert i == 77 and r[12:at] == q[12:]
    for _ in range(count): out.append([socket.inet_ntoa(r[at+12:at+16]), struct.unpack('!I', r[at+6:at+10])[0]]); at += 16
    assert at == len(r)
    return [flags & 15, sorted(a for a, _ in out), min([t for _, t in out], default=0)]
print(json.dumps([ask(n) for n in names]))
`;

const FLOODER = `
import socket, struct, sys
name, count = sys.argv[1], int(sys.argv[2])
q = struct.pack('!HHHHHH', 7, 0x100, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\\0' + struct.pack('!HH', 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.53', 53))
for _ in range(count):
    try: s.send(q)
    except OSError: pass
`;

/**
 * Many questions in each packet: of one stream, whose answers it reads or not, or as datagrams that the
 * kernel takes apart only where they are received.
 */
const PACKED_FLOODER = `
import selectors, socket, struct, sys, time
name, carrier, end = sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3])
q = struct.pack('!HHHHHH', 7, 0x100, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\\0' + struct.pack('!HH', 1, 1)
UDP_SEGMENT = 103
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if carrier == 'segments' else socket.SOCK_STREAM)
if carrier == 'segments': s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(q))
s.connect(('192.0.2.53', 53)); s.setblocking(False)
load = q * 50 if carrier == 'segments' else (struct.pack('!H', len(q)) + q) * 2000; at = 0
while time.monotonic() < end:
    try: at = (at + s.send(load[at:])) % len(load)
    except BlockingIOError: pass
    if carrier == 'read':
        try: s.recv(1 << 20)
        except BlockingIOError: pass
    time.sleep(0.002)
`;

/** What a name leads to. */
export interface ZoneEntry {
  readonly ttl?: number;
  readonly addresses?: readonly string[];
  readonly alias?: string;
  readonly code?: number;
  /** Over UDP there is only a part of the answer. */
  readonly cut?: boolean;
  /** Wrong answers with this address come first. */
  readonly forged?: string;
  readonly silent?: boolean;
}

/** Names that are not in it do not exist. */
export type Zone = Readonly<Record<string, ZoneEntry>>;

export interface TestNameServer {
  change(zone: Zone): Promise<void>;
  /** How often it was asked. */
  count(name: string): number;
  close(): Promise<void>;
}

const within = (where: TestNamespace, ...command: string[]): [string, string[]] => [
  'nsenter',
  [`--net=/proc/${where.pid}/ns/net`, '--', ...command],
];

/** Serves a zone on port 53 of an address. */
export async function serveNames(where: TestNamespace, address: string, zone: Zone): Promise<TestNameServer> {
  const [program, args] = within(where, 'python3', '-c', SERVER, address, JSON.stringify(zone));
  const child: ChildProcess = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let lines: string[] = [];
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    lines = [...lines, ...text.split('\n').filter((line) => line !== '')];
  });
  const seen = async (word: string, before: number): Promise<void> => {
    while (lines.filter((line) => line === word).length <= before) await once(child.stdout!, 'data');
  };
  await seen('ready', 0);
  return {
    change: async (next) => {
      const before = lines.filter((line) => line === 'changed').length;
      child.stdin!.write(`${JSON.stringify(next)}\n`);
      await seen('changed', before);
    },
    count: (name) => lines.filter((line) => line === name).length,
    close: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** Code, addresses in order, least time to live; null: no answer. */
export type Answer = [code: number, addresses: string[], ttl: number] | null;

/**
 * Asks from inside, whatever server that is, so many seconds later. A number as carrier is UDP with so many
 * seconds of patience.
 */
export async function ask(
  where: TestNamespace,
  names: readonly string[],
  { server = '192.0.2.53', type = 1, carrier = 'udp', after = 0 } = {},
): Promise<Answer[]> {
  const asker = `import time; time.sleep(${after})\n${ASKER}`;
  const [program, args] = within(where, 'python3', '-c', asker, server, String(type), carrier, ...names);
  const { stdout } = await promisify(execFile)(program, args);
  return JSON.parse(stdout) as Answer[];
}

/** Asks so often for the same, from one port, as fast as it goes, and waits for nothing. */
export async function flood(where: TestNamespace, name: string, count: number): Promise<void> {
  const [program, args] = within(where, 'python3', '-c', FLOODER, name, String(count));
  await promisify(execFile)(program, args);
}

/** Asks so many seconds for the same, with many questions in each packet. */
export async function floodPacked(
  where: TestNamespace,
  name: string,
  carrier: 'read' | 'unread' | 'segments',
  seconds: number,
): Promise<void> {
  const [program, args] = within(where, 'python3', '-c', PACKED_FLOODER, name, carrier, String(seconds));
  await promisify(execFile)(program, args);
}

/** As {@link flood}; this program stands still until everything was sent. */
export function floodAtOnce(where: TestNamespace, name: string, count: number): void {
  const [program, args] = within(where, 'python3', '-c', FLOODER, name, String(count));
  execFileSync(program, args);
}
