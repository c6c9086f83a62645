/** Network namespaces around that of the test, and packets between them. */
import {
  type ChildProcess,
  type ChildProcessByStdio,
  execFileSync,
  spawn,
  spawnSync,
} from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

/**
 * Does what each line of its input says, and answers with a line. Each connection to a port that it serves is
 * answered with the address it came from. An echo request is answered only by whom it went to.
 */
const PEER = `
import socket, struct, sys, threading, time
def serve(port):
    s = socket.create_server(('0.0.0.0', int(port)), backlog=16)
    def accept():
        while True: c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()
    threading.Thread(target=accept, daemon=True).start()
    return 'ready'
def connect(address, port):
    s = socket.socket(); s.settimeout(2)
    try: s.connect((address, int(port))); return 'from ' + s.recv(64).decode()
    except socket.timeout: return 'no answer'
    except OSError as e: return 'refused' if e.errno == 111 else 'error %d' % e.errno
    finally: s.close()
def total(b):
    t = sum(struct.unpack('!%dH' % (len(b) // 2), b)); t = (t >> 16) + (t & 0xffff); return ~t & 0xffff
def ping(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.sendto(struct.pack('!BBHHH', 8, 0, total(struct.pack('!BBHHH', 8, 0, 0, 77, 1)), 77, 1), (address, 0))
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        s.settimeout(max(0.01, end - time.monotonic()))
        try: packet, peer = s.recvfrom(2048)
        except socket.timeout: break
        if peer[0] == address and packet[20] == 0: return 'answered'
    return 'no answer'
for line in sys.stdin:
    verb, *words = line.split()
    print({'serve': serve, 'connect': connect, 'ping': ping}[verb](*words), flush=True)
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

interface Peer {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  readonly answers: AsyncIterator<string>;
}

/** A namespace; the one of the test itself has pid "self". */
export class TestNamespace {
  readonly pid: number;
  readonly #holder: ChildProcess | undefined;
  #peer: Peer | undefined;

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

  /** Runs the words of each line as a command of `ip`, by one process for all of them. */
  ip(...lines: readonly string[]): void {
    const [program, args] = this.#enter(['ip', '-batch', '-']);
    execFileSync(program, args, { input: lines.map((line) => `${line}\n`).join('') });
  }

  /** Exit status. */
  try(...command: readonly string[]): number {
    const [program, args] = this.#enter(command);
    return spawnSync(program, args, { stdio: 'ignore' }).status ?? 255;
  }

  /** Answers connections to this port of every address until the namespace is closed. */
  async serve(port: number): Promise<void> {
    await this.#ask(`serve ${port}`);
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
  connect(address: string, port: number): Promise<string> {
    return this.#ask(`connect ${address} ${port}`);
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

  /** Whether an echo request is answered. */
  async ping(address: string): Promise<boolean> {
    return (await this.#ask(`ping ${address}`)) === 'answered';
  }

  /** One process for the whole namespace, from the first question on: a start takes longer than most answers. */
  async #ask(line: string): Promise<string> {
    this.#peer ??= this.#startPeer();
    const { process, answers } = this.#peer;
    // it answers in order, whoever asks meanwhile
    process.stdin.write(`${line}\n`);
    const answer = await answers.next();
    if (answer.done) throw new Error(`the peer ended at "${line}"`);
    return answer.value;
  }

  #startPeer(): Peer {
    const [program, args] = this.#enter(['python3', '-c', PEER]);
    const process = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    return { process, answers: createInterface(process.stdout)[Symbol.asyncIterator]() };
  }

  async close(): Promise<void> {
    for (const child of [this.#peer?.process, this.#holder]) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
  }
}
