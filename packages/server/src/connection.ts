/**
 * One client: frames in, one request at a time, answers out in order (spec protocol.md 6). Nothing it does or fails to do reaches another
 * connection: its queue, its answers and what it waits for are bounded and end with it.
 */
import type { Socket } from 'node:net';
import type { Logger, Warden } from '@warden/interface';
import {
  decodeMessage,
  encodeFrame,
  encodeMessage,
  FrameDecoder,
  MessageType,
  REQUESTS,
} from '@warden/protocol';
import { errorResponse, isDefect } from './error-response.ts';
import { FrameTimer } from './frame-timer.ts';
import { HANDLERS, isWaitingRequest } from './requests.ts';

/** Requests, and bytes of them, that may wait behind the one in execution before the socket is not read any more. */
const MAX_QUEUED = 64;
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
/** How long a drain waits for a client to read what was already sent to it. */
const FLUSH_MILLISECONDS = 1_000;
/** While the socket is not read, its end of file is not seen either; so often it is asked in another way. */
const PROBE_MILLISECONDS = 1_000;

/** Options of {@link ServerConnection}. */
export interface ConnectionOptions {
  readonly socket: Socket;
  readonly warden: Warden;
  readonly logger: Logger;
  readonly maxFrameBytes?: number | undefined;
  readonly frameTimeoutMs?: number | undefined;
}

/** See the file's head. */
export class ServerConnection {
  /** Settles when everything of the connection has ended. Never rejects. */
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  readonly #warden: Warden;
  readonly #logger: Logger;
  readonly #decoder: FrameDecoder;
  readonly #queue: Uint8Array[] = [];
  readonly #gone = new AbortController();
  readonly #frameTimer: FrameTimer;
  #queuedBytes = 0;
  #isRunning = false;
  #runningType: number | undefined;
  /** Set by a drain or a broken frame: what runs may finish, nothing else starts. */
  #isClosing = false;
  #brokenFrame: unknown;

  constructor(options: ConnectionOptions) {
    this.#socket = options.socket;
    this.#warden = options.warden;
    this.#logger = options.logger;
    this.#decoder = new FrameDecoder(
      options.maxFrameBytes === undefined ? {} : { maxFrameBytes: options.maxFrameBytes },
    );
    this.#frameTimer = new FrameTimer(options.frameTimeoutMs, (error) => {
      this.#brokenFrame ??= error;
      void this.#work();
    });
    const { socket } = options;
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => {
      this.#logger.debug?.('connection-error', { error });
      // 'close' comes a turn later, and what is queued must not start in between
      this.#gone.abort(error);
    });
    // end of file is a full disconnect, as it was for the original
    socket.on('end', () => this.#gone.abort(new Error('the client closed the connection')));
    // a write of no bytes fails with EPIPE once the peer has closed, whatever is unread
    const probe = setInterval(() => {
      if (socket.isPaused() && socket.writableLength === 0 && !socket.writableEnded) socket.write('');
    }, PROBE_MILLISECONDS).unref();
    this.ended = new Promise((resolve) => {
      socket.once('close', () => {
        clearInterval(probe);
        this.#frameTimer.stop();
        this.#gone.abort(new Error('the connection is closed'));
        this.#queue.length = 0;
        this.#warden.close().then(resolve, (error: unknown) => {
          this.#logger.warn('session-close-failed', { error });
          resolve();
        });
      });
    });
  }

  /** Name of the request in execution. */
  get runningRequest(): string | undefined {
    return this.#runningType === undefined ? undefined : REQUESTS[this.#runningType]?.name;
  }

  /** Lets a request that changes something finish and answer; everything else ends now (spec behaviour.md 11). */
  drain(): void {
    this.#isClosing = true;
    this.#queue.length = 0;
    if (this.#runningType !== undefined && !isWaitingRequest(this.#runningType)) return;
    // before the flush: a job that ends during it must keep its result
    this.#gone.abort(new Error('the daemon is going away'));
    this.#finish();
  }

  /** Ends at once. */
  destroy(): void {
    this.#isClosing = true;
    this.#socket.destroy();
  }

  #receive(chunk: Uint8Array): void {
    // after a broken frame the socket is read on for its end of file only
    if (this.#isClosing || this.#brokenFrame !== undefined) return;
    const frames: Uint8Array[] = [];
    try {
      this.#decoder.pushInto(chunk, frames);
    } catch (error) {
      this.#brokenFrame = error;
    }
    for (const frame of frames) {
      this.#queue.push(frame);
      this.#queuedBytes += frame.length;
    }
    this.#throttle();
    this.#timeRest(frames.length > 0);
    void this.#work();
  }

  #throttle(): void {
    const isFull = this.#queue.length > MAX_QUEUED || this.#queuedBytes > MAX_QUEUED_BYTES;
    if (isFull && !this.#socket.isPaused()) this.#socket.pause();
    else if (!isFull && this.#socket.isPaused()) this.#socket.resume();
    else return;
    this.#timeRest(false);
  }

  /** Whoever rests between two frames is left alone, and so is whoever waits for this side to read. */
  #timeRest(hasNewFrame: boolean): void {
    const isResting =
      this.#decoder.isBetweenFrames || this.#brokenFrame !== undefined || this.#socket.isPaused();
    if (isResting) this.#frameTimer.stop();
    else this.#frameTimer.update({ isInHeader: this.#decoder.isInHeader, hasNewFrame });
  }

  /** Works the queue off. Runs at most once at a time and never rejects. */
  async #work(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let frame = this.#queue.shift(); frame !== undefined; frame = this.#queue.shift()) {
      this.#queuedBytes -= frame.length;
      this.#throttle();
      await this.#execute(frame);
      if (this.#isClosing || this.#gone.signal.aborted) break;
    }
    this.#isRunning = false;
    if (this.#brokenFrame !== undefined && !this.#isClosing) {
      await this.#send(MessageType.Error, errorResponse(this.#brokenFrame));
      this.#finish();
    } else if (this.#isClosing) {
      this.#finish();
    }
  }

  async #execute(frame: Uint8Array): Promise<void> {
    let type: number = MessageType.Error;
    try {
      const message = decodeMessage(frame, 'request');
      type = message.type;
      this.#runningType = type;
      this.#logRequest(type, message.payload);
      const context = {
        warden: this.#warden,
        signal: this.#gone.signal,
        send: (response: object) => this.#send(type, response),
      };
      const response = await HANDLERS[type]!(context, message.payload as never);
      this.#logAnswer(type, response);
      await this.#send(type, response);
    } catch (error) {
      if (isDefect(error)) this.#logger.error('request-defect', { request: REQUESTS[type]?.name, error });
      else this.#logger.debug?.('request-failed', { request: REQUESTS[type]?.name, error });
      await this.#send(MessageType.Error, errorResponse(error));
    } finally {
      this.#runningType = undefined;
    }
  }

  /** At debug without what clients keep secret, at trace whole (spec config.md 2, logging). */
  #logRequest(type: number, payload: object): void {
    const request = REQUESTS[type]?.name;
    if (this.#logger.trace) this.#logger.trace('request', { request, payload: readable(payload) });
    else this.#logger.debug?.('request', { request, payload: withoutScript(payload) });
  }

  #logAnswer(type: number, response: object): void {
    const request = REQUESTS[type]?.name;
    if (this.#logger.trace) this.#logger.trace('answer', { request, payload: readable(response) });
    else this.#logger.debug?.('answer', { request, payload: withoutOutput(response) });
  }

  /** Resolves when the socket takes more: whoever reads slowly gets the next answer later. */
  async #send(type: number, response: object): Promise<void> {
    if (this.#gone.signal.aborted || this.#socket.destroyed || this.#socket.writableEnded) return;
    if (this.#socket.write(encodeFrame(encodeMessage(type, response, 'response')))) return;
    await this.#writable();
  }

  /** Resolves when the socket has drained or the client is gone, and leaves no listener: a long stream comes here often. */
  #writable(): Promise<void> {
    const { signal } = this.#gone;
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#socket.off('drain', settle);
        signal.removeEventListener('abort', settle);
        resolve();
      };
      this.#socket.on('drain', settle);
      signal.addEventListener('abort', settle);
    });
  }

  /** Sends what was written and closes. */
  #finish(): void {
    this.#isClosing = true;
    if (this.#socket.destroyed) return;
    const timer = setTimeout(() => this.#socket.destroy(), FLUSH_MILLISECONDS);
    this.#socket.once('close', () => clearTimeout(timer));
    this.#socket.end(() => this.#socket.destroy());
  }
}

/** Scripts are long and may hold secrets. */
/** The scripts of Spawn and Run hold credentials. */
function withoutScript(payload: object): object {
  return 'script' in payload ? { ...payload, script: undefined } : payload;
}

/** So may what they print. */
function withoutOutput(response: object): object {
  if (!('stdout' in response || 'stderr' in response)) return response;
  return { ...response, stdout: undefined, stderr: undefined };
}

/** Bytes as text: a line of the log is for people. */
function readable(payload: object): object {
  return Object.fromEntries(
    Object.entries(payload).map(([key, value]) => [
      key,
      value instanceof Uint8Array ? Buffer.from(value).toString() : value,
    ]),
  );
}
