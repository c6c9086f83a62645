/** Network namespaces around that of the test, and packets between them. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** Answers each connection with the address it came from. */
const SERVER = `
import socket, sys, threading
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('0.0.0.0', int(sys.argv[1]))); s.listen(16); print('ready', flush=True)
while True:
    c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()
`;
const CLIENT = `
import socket, sys
s = socket.socket(); s.settimeout(2)
try:
    if len(sys.argv) > 3: s.bind((sys.argv[3], 0))
    s.connect((sys.argv[1], int(sys.argv[2]))); print('from ' + s.recv(64).decode())
except socket.timeout: print('no answer')
except OSError as e: print('refused' if e.errno == 111 else 'error %d' % e.errno)
`;
/** Counts datagrams until one says "end"; however late a busy machine sends them, none is missed. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', int(sys.argv[1]))); s.settimeout(20); print('ready', flush=True)
count = 0
while s.recv(64) != b'end': count += 1
print(count)
`;
const SENDER = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[3], 0)); s.sendto(sys.argv[4].encode(), (sys.argv[1], int(sys.argv[2])))
`;

/** One echo request; ends with status 0 when it is answered by whom it went to. */
const PING = `
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
def total(b): return sum(struct.unpack('!%dH' % (len(b) // 2), b))
body = struct.pack('!BBHHH', 8, 0, 0, 77, 1); t = total(body); t = (t >> 16) + (t & 0xffff)
s.sendto(struct.pack('!BBHHH', 8, 0, ~t & 0xffff, 77, 1), (sys.argv[1], 0))
end = time.time() + 0.7
while time.time() < end:
    s.settimeout(max(0.01, end - time.time()))
    try: packet, peer = s.recvfrom(2048)
    except socket.timeout: break
    if peer[0] == sys.argv[1] and packet[20] == 0: sys.exit(0)
sys.exit(1)
`;

/** A namespace; the one of the test itself has pid "self". */
export class TestNamespace {
  readonly pid: number;
  readonly #holder: ChildProcess | undefined;
  readonly #servers: ChildProcess[] = [];

  private constructor(pid: number, holder?: ChildProcess) {
    this.pid = pid;
    this.#holder = holder;
  }

  /** That of the test. Refuses to touch one that has interfaces of the machine. */
  static own(): TestNamespace {
    const names = readFileSync('/proc/self/net/dev', 'utf8')
      .split('\n')
      .slice(2)
      .map((line) => line.split(':')[0]?.trim());
    if (names.some((name) => name !== 'lo' && name !== '' && !/^(wt-|w-)/.test(name ?? '')))
      throw new Error('these suites run only in a network namespace of their own');
    return new TestNamespace(process.pid);
  }

  static async make(): Promise<TestNamespace> {
    // cat ends at the end of its input: the namespace cannot outlive this process.
    const holder = spawn(
      'unshare',
      ['--net', 'sh', '-c', 'ip link set lo up && echo ready && exec cat >/dev/null'],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    await once(holder.stdout, 'data');
    return new TestNamespace(holder.pid ?? 0, holder);
  }

  #enter(command: readonly string[]): [string, string[]] {
    return ['nsenter', [`--net=/proc/${this.pid}/ns/net`, '--', ...command]];
  }

  run(...command: readonly string[]): string {
    const [program, args] = this.#enter(command);
    return execFileSync(program, args, { encoding: 'utf8' });
  }

  /** Exit status. */
  try(...command: readonly string[]): number {
    const [program, args] = this.#enter(command);
    return spawnSync(program, args, { stdio: 'ignore' }).status ?? 255;
  }

  async serve(port: number): Promise<void> {
    const [program, args] = this.#enter(['python3', '-c', SERVER, String(port)]);
    const server = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#servers.push(server);
    await once(server.stdout, 'data');
  }

  /** Starts a program and waits for its first line; what it prints is collected until it is closed. */
  async start(...command: readonly string[]): Promise<{ output(): string; close(): Promise<void> }> {
    const [program, args] = this.#enter(command);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (bytes: Buffer) => {
      output += bytes.toString();
    });
    await once(child.stdout, 'data');
    return {
      output: () => output,
      close: async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      },
    };
  }

  /** `from <address>` as the server saw it, `refused`, `no answer` or `error <number>`. */
  connect(address: string, port: number, source: readonly string[] = []): string {
    return this.run('python3', '-c', CLIENT, address, String(port), ...source).trim();
  }

  /** Sends one datagram. */
  send(address: string, port: number, { source = '0.0.0.0', text = 'x' } = {}): void {
    this.run('python3', '-c', SENDER, address, String(port), source, text);
  }

  /** Counts the datagrams that arrive from `ready` on until one says "end". */
  receive(port: number): { readonly ready: Promise<unknown>; readonly count: Promise<number> } {
    const [program, args] = this.#enter(['python3', '-c', RECEIVER, String(port)]);
    const receiver = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    receiver.stdout.on('data', (bytes: Buffer) => {
      output += bytes.toString();
    });
    const count = once(receiver, 'close').then(() => Number(output.split('\n')[1]));
    return { ready: once(receiver.stdout, 'data'), count };
  }

  ping(address: string): boolean {
    return this.try('python3', '-c', PING, address) === 0;
  }

  async close(): Promise<void> {
    for (const child of [...this.#servers, this.#holder]) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
  }
}
