/** TCP to and from a network namespace. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Namespace } from '@warden/test-harness';

/** Does what each line of its input says, and answers with a line. */
const PROGRAM = `
import socket, sys, threading
def listen(port):
    s = socket.create_server(("0.0.0.0", int(port)), backlog=16)
    def accept():
        while True: s.accept()[0].close()
    threading.Thread(target=accept, daemon=True).start()
    return "yes"
def connect(address, port):
    try: socket.create_connection((address, int(port)), 1.0).close()
    except OSError: return "no"
    return "yes"
for line in sys.stdin:
    verb, *words = line.split()
    print({"listen": listen, "connect": connect}[verb](*words), flush=True)
`;

interface Peer {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  readonly answers: AsyncIterator<string>;
}

/**
 * One process for all connections of a namespace, from the first one on: to start one for each takes longer
 * than what a test does otherwise. It answers in order, whoever asks meanwhile.
 */
export class TcpPeer {
  readonly #where: Namespace;
  #peer: Peer | undefined;

  constructor(where: Namespace) {
    this.#where = where;
  }

  /** Accepts connections to this port of every address, until it is closed. */
  async listen(port: number): Promise<void> {
    await this.#ask(`listen ${port}`);
  }

  /** Whether a connection is made within a second. */
  async connects(address: string, port: number): Promise<boolean> {
    return (await this.#ask(`connect ${address} ${port}`)) === 'yes';
  }

  /** Idempotent. */
  async close(): Promise<void> {
    const process = this.#peer?.process;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    const gone = once(process, 'exit');
    process.kill('SIGKILL');
    await gone;
  }

  async #ask(line: string): Promise<string> {
    this.#peer ??= this.#start();
    const { process, answers } = this.#peer;
    process.stdin.write(`${line}\n`);
    const answer = await answers.next();
    if (answer.done) throw new Error(`the peer ended at "${line}"`);
    return answer.value;
  }

  #start(): Peer {
    const [program, ...args] = this.#where.enter(['python3', '-c', PROGRAM]);
    const process = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    return { process, answers: createInterface(process.stdout)[Symbol.asyncIterator]() };
  }
}
