/** A small daemon for tests of the command line: containers by handle, one kind of job, over real frames. */
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { decodeMessage, encodeFrame, encodeMessage, FrameDecoder, MessageType } from '@warden/protocol';

type Values = Record<string, unknown>;
type Answer = readonly [type: number, value: object];

export class ScriptedDaemon implements AsyncDisposable {
  readonly directory: string = mkdtempSync(path.join(os.tmpdir(), 'warden-cli-'));
  readonly path: string = path.join(this.directory, 'sock');
  readonly requests: { type: number; payload: Values }[] = [];
  readonly #handles: string[] = [];
  readonly #sockets = new Set<net.Socket>();
  #server: net.Server | undefined;
  #jobScript = '';
  /** Drops the connection instead of answering this many requests. */
  drops = 0;
  /** Leaves this many requests without an answer. */
  silences = 0;
  /** Answers bytes of this many, whatever was asked. */
  garbles = 0;
  /** Directory that Info answers for every handle. */
  containerPath: string | undefined;

  async start(): Promise<this> {
    this.#server = net.createServer((socket) => this.#accept(socket));
    await new Promise<void>((resolve) => this.#server!.listen(this.path, resolve));
    return this;
  }

  /** Closes the socket and every connection, as a daemon that is restarted. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server!.close(resolve));
  }

  /** Closes every connection and goes on listening. */
  disconnect(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true });
  }

  #accept(socket: net.Socket): void {
    const decoder = new FrameDecoder();
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      for (const frame of decoder.push(data)) {
        const request = decodeMessage(frame, 'request') as { type: number; payload: Values };
        this.requests.push(request);
        if (this.drops > 0) {
          this.drops -= 1;
          socket.destroy();
          return;
        }
        if (this.silences > 0) {
          this.silences -= 1;
          return;
        }
        if (this.garbles > 0) {
          this.garbles -= 1;
          socket.write('HTTP/1.1 400 Bad Request\r\n');
          return;
        }
        for (const [type, value] of this.#answer(request))
          socket.write(encodeFrame(encodeMessage(type, value, 'response')));
      }
    });
  }

  #answer({ type, payload }: { type: number; payload: Values }): Answer[] {
    const handle = payload.handle as string;
    const done = (value: object = {}): Answer[] => [[type, value]];
    if (type === MessageType.Create) {
      this.#handles.push(handle ?? '17jqe2nv7dh');
      return done({ handle: handle ?? '17jqe2nv7dh' });
    }
    if (type === MessageType.Info && this.containerPath !== undefined)
      return done({ state: 'active', container_path: this.containerPath });
    if (type === MessageType.List) return done({ handles: this.#handles });
    if (type === MessageType.Echo) return done({ message: payload.message });
    if (type === MessageType.Ping) return done();
    if (!this.#handles.includes(handle))
      return [[MessageType.Error, { message: 'unknown handle', data: '{"code":"UNKNOWN_HANDLE"}' }]];
    if (type === MessageType.Spawn) {
      this.#jobScript = Buffer.from(payload.script as Uint8Array).toString('latin1');
      return done({ job_id: 1 });
    }
    if (type === MessageType.Link) {
      const info = { state: 'active', host_ip: '10.254.0.1' };
      return done({ exit_status: 0, stdout: Buffer.from('hi\n'), stderr: Buffer.alloc(0), info });
    }
    if (type === MessageType.Stream) return this.#job(type);
    return done();
  }

  /** The script is `<exit status> <stdout> <stderr>`. */
  #job(type: number): Answer[] {
    const [status = '0', stdout = '', stderr = ''] = this.#jobScript.split(' ');
    return [
      [type, { name: 'stdout', data: Buffer.from(stdout, 'latin1') }],
      [type, { name: 'stderr', data: Buffer.from(stderr, 'latin1') }],
      [type, { exit_status: Number(status), info: { state: 'active' } }],
    ];
  }
}
