/**
 * One client: frames in, one request at a time, answers out in order (spec protocol.md 6). Nothing it does or
 * fails to do reaches another connection: its queue, its answers and what it waits for are bounded and end
 * with it.
 */
import type { Socket } from 'node:net';
import type { Logger, OutputRelay, Warden } from '@warden/interface';
import { decodeMessage, encodeFrameParts, FrameDecoder, MessageType, REQUESTS } from '@warden/protocol';
import type { BudgetShare } from './byte-budget.ts';
import { Delivery } from './delivery.ts';
import { errorCode, errorResponse, isDefect } from './error-response.ts';
import { FrameTimer } from './frame-timer.ts';
import { logAnswer, logRequest } from './request-log.ts';
import { HANDLERS, isWaitingRequest } from './requests.ts';
import { socketRelay } from './socket-relay.ts';
import { type ClientKey, TURN_MILLISECONDS, type Turns } from './turns.ts';
import { Uploads } from './uploads.ts';

/** Requests, and bytes of them, that may wait behind the one in execution before the socket is not read any more. */
const MAX_QUEUED = 64;
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
/**
 * Read at a time, it is long. What is less costs no more than any small request; and how much there is to read
 * at a time is the client's choice, who sets the size of its buffer.
 */
const LONG_PIECE_BYTES = 4 * 1024;
/** How long a drain waits for a client to read what was already sent to it. */
const FLUSH_MILLISECONDS = 1_000;
/** How long whoever is told of a broken frame may go on sending it: who cannot write any more does not read why. */
const LINGER_MILLISECONDS = 5_000;
/** While the socket is not read, its end of file is not seen either; so often it is asked in another way. */
const PROBE_MILLISECONDS = 1_000;

/** Who counts requests. Called for each: it must neither throw nor take its time. */
export interface RequestObserver {
  /** `request`: the kind's name; `errorCode`: of the error it was answered with. */
  requestEnded(request: string, milliseconds: number, errorCode: string | undefined): void;
}

/** Options of {@link ServerConnection}. */
export interface ConnectionOptions {
  readonly socket: Socket;
  readonly warden: Warden;
  readonly logger: Logger;
  readonly maxFrameBytes?: number | undefined;
  readonly frameTimeoutMs?: number | undefined;
  /** Shared by all connections of a server. */
  readonly turns: Turns;
  /** Whose connection this is, as far as turns go. */
  readonly client: ClientKey;
  readonly budget: BudgetShare;
  readonly observer?: RequestObserver | undefined;
  /** Ids of its requests begin with it. */
  readonly name?: string;
  /** See `WardenServerOptions.enclose`. */
  readonly enclose?: ((requestId: string, action: () => Promise<void>) => Promise<void>) | undefined;
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
  readonly #turns: Turns;
  readonly #client: ClientKey;
  readonly #budget: BudgetShare;
  readonly #uploads = new Uploads();
  readonly #relay: OutputRelay | undefined;
  readonly #observer: RequestObserver | undefined;
  readonly #name: string;
  readonly #enclose: ConnectionOptions['enclose'];
  #requests = 0;
  #queuedBytes = 0;
  /** Of the frame in execution. */
  #runningBytes = 0;
  /** What was read and not yet cut into frames, because the queue is full. */
  #rest: Uint8Array | undefined;
  /** Not read until it has its turn. */
  #hasReadEnough = false;
  #isRunning = false;
  /** While a request with nothing before it waits for its turn, or for the end of what told of it. */
  #entering: Promise<void> | undefined;
  #runningType: number | undefined;
  /** Set by a drain or a broken frame: what runs may finish, nothing else starts. */
  #isClosing = false;
  #brokenFrame: unknown;

  constructor(options: ConnectionOptions) {
    this.#socket = options.socket;
    this.#warden = options.warden;
    this.#logger = options.logger;
    this.#turns = options.turns;
    this.#client = options.client;
    this.#budget = options.budget;
    this.#observer = options.observer;
    this.#name = options.name ?? 'c';
    this.#enclose = options.enclose;
    this.#relay = socketRelay(options.socket);
    const { maxFrameBytes } = options;
    this.#decoder = new FrameDecoder({
      isShared: true,
      ...(maxFrameBytes === undefined ? {} : { maxFrameBytes }),
    });
    this.#frameTimer = new FrameTimer(options.frameTimeoutMs, (error) => {
      this.#break(error);
      void this.#work();
    });
    const { socket } = options;
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => {
      this.#logger.debug?.('connection-error', { error });
      // 'close' comes a turn later, and what is queued must not start in between
      this.#gone.abort(error);
    });
    socket.on('end', () => this.#endOfFile());
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
        this.#queuedBytes = 0;
        this.#rest = undefined;
        this.#decoder.drop();
        this.#count();
        this.#uploads.abandon();
        void this.#closeSession().then(resolve);
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
    if (chunk.length >= LONG_PIECE_BYTES && !this.#turns.mayReadOn()) void this.#readOnInTurn();
    // after a broken frame the socket is read on for its end of file only
    if (this.#isClosing || this.#brokenFrame !== undefined) return;
    this.#cut(chunk);
    void this.#work();
  }

  /** Cuts what was read into frames, as many as the queue takes. */
  #cut(chunk: Uint8Array): void {
    const before = this.#queue.length;
    this.#rest = undefined;
    try {
      const taken = this.#decoder.pushInto(chunk, this.#queue, MAX_QUEUED + 1);
      if (taken < chunk.length) this.#rest = chunk.subarray(taken);
    } catch (error) {
      this.#break(error);
    }
    for (let at = before; at < this.#queue.length; at++) this.#queuedBytes += this.#queue[at]!.length;
    try {
      this.#count();
    } catch (error) {
      // whoever wants more than there is loses the connection
      this.#break(error);
    }
    this.#throttle();
    this.#timeRest(this.#queue.length > before);
  }

  /** No more is taken. What was asked for before is answered, however long that takes; the rest is not kept for it. */
  #break(error: unknown): void {
    this.#brokenFrame ??= error;
    this.#rest = undefined;
    this.#decoder.drop();
    this.#count();
  }

  /** Tells the server what this connection holds. Throws when that is more than it may. */
  #count(): void {
    this.#budget.set(this.#queuedBytes + this.#runningBytes + this.#decoder.heldBytes);
  }

  async #readOnInTurn(): Promise<void> {
    if (this.#hasReadEnough) return;
    this.#hasReadEnough = true;
    this.#socket.pause();
    await this.#turns.readOn(this.#client);
    this.#hasReadEnough = false;
    this.#throttle();
  }

  #throttle(): void {
    const isFull =
      this.#hasReadEnough ||
      this.#queue.length > MAX_QUEUED ||
      this.#queuedBytes > MAX_QUEUED_BYTES ||
      this.#rest !== undefined;
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

  /**
   * A full disconnect, as it was for the original, where what had been answered at once still arrived. So it
   * does here when the request had to wait for its turn meanwhile: the end is then looked at behind the round
   * of the loop in which the request begins.
   */
  #endOfFile(): void {
    const leave = (): void => {
      this.#gone.abort(new Error('the client closed the connection'));
      this.#socket.end();
    };
    if (this.#entering === undefined) leave();
    else void this.#entering.then(() => setImmediate(leave));
  }

  /** Never rejects. */
  async #closeSession(): Promise<void> {
    // whoever sends one request and closes has it begun, whatever others ask meanwhile
    await this.#entering;
    try {
      await this.#warden.close();
    } catch (error) {
      this.#logger.warn('session-close-failed', { error });
    }
  }

  /** Works the queue off. Runs at most once at a time and never rejects. */
  async #work(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    let frame = this.#next();
    if (frame !== undefined) {
      // also when that is now: of a socket that was not read for a while the end of file comes before it
      this.#entering = this.#turns.enter(this.#client) ?? Promise.resolve();
      await this.#entering;
      this.#entering = undefined;
      if (this.#isClosing) frame = undefined;
    }
    let turnEnds = performance.now() + TURN_MILLISECONDS;
    for (; frame !== undefined; frame = this.#next()) {
      await this.#begin(frame);
      if (this.#isClosing || this.#gone.signal.aborted) break;
      if (performance.now() < turnEnds || this.#queue.length === 0) continue;
      await this.#turns.wait(this.#client);
      turnEnds = performance.now() + TURN_MILLISECONDS;
    }
    this.#isRunning = false;
    this.#runningBytes = 0;
    this.#count();
    if (this.#brokenFrame !== undefined && !this.#isClosing) {
      await this.#send(MessageType.Error, errorResponse(this.#brokenFrame));
      this.#linger();
    } else if (this.#isClosing) {
      this.#finish();
    }
  }

  /** The next frame; with it there is room for what was read before. */
  #next(): Uint8Array | undefined {
    if (this.#isClosing) return undefined;
    const frame = this.#queue.shift();
    this.#queuedBytes -= frame?.length ?? 0;
    this.#runningBytes = frame?.length ?? 0;
    if (this.#rest !== undefined && this.#queue.length < MAX_QUEUED / 2) {
      this.#cut(this.#rest);
    } else {
      this.#count();
      this.#throttle();
    }
    return frame;
  }

  #begin(frame: Uint8Array): Promise<void> {
    const id = `${this.#name}.${++this.#requests}`;
    return this.#enclose === undefined
      ? this.#execute(frame, id)
      : this.#enclose(id, () => this.#execute(frame, id));
  }

  async #execute(frame: Uint8Array, id: string): Promise<void> {
    let type: number = MessageType.Error;
    let code: string | undefined;
    const delivery = new Delivery();
    const begun = this.#observer === undefined ? 0 : performance.now();
    try {
      const message = decodeMessage(frame, 'request');
      type = message.type;
      this.#runningType = type;
      logRequest(this.#logger, type, message.payload);
      const context = {
        warden: this.#warden,
        signal: this.#gone.signal,
        relay: this.#relay,
        turn: () => this.#turns.wait(this.#client),
        breakOff: () => this.destroy(),
        send: (response: object) => this.#send(type, response),
        uploads: this.#uploads,
        get taken() {
          return delivery.outcome;
        },
      };
      const response = await HANDLERS[type]!(context, message.payload as never);
      logAnswer(this.#logger, type, response);
      await this.#answer(type, response, delivery);
    } catch (error) {
      delivery.fail(error);
      code = errorCode(error);
      if (isDefect(error))
        this.#logger.error('request-defect', { request_id: id, request: REQUESTS[type]?.name, error });
      else this.#logger.debug?.('request-failed', { request: REQUESTS[type]?.name, error });
      await this.#answer(MessageType.Error, errorResponse(error));
    } finally {
      this.#observer?.requestEnded(REQUESTS[type]?.name ?? 'unknown', performance.now() - begun, code);
    }
  }

  /** What the request asked for has happened: a drain waits for its client to read no longer than for others. */
  async #answer(type: number, response: object, delivery?: Delivery): Promise<void> {
    this.#runningType = undefined;
    await this.#send(type, response, delivery);
    if (delivery?.isAwaited === true) await delivery.outcome.catch(() => {});
  }

  /** Resolves when the socket takes more: whoever reads slowly gets the next answer later. */
  async #send(type: number, response: object, delivery?: Delivery): Promise<void> {
    if (this.#gone.signal.aborted || this.#socket.destroyed || this.#socket.writableEnded) {
      delivery?.fail(new Error('nobody reads the answer'));
      return;
    }
    const hasRoom = this.#write(encodeFrameParts(type, response, 'response'), delivery);
    if (!hasRoom && !this.#isClosing) await this.#writable();
  }

  /** In pieces, and as one call of the kernel: what is large is not copied. Answers whether the socket takes more. */
  #write(parts: readonly Uint8Array[], delivery?: Delivery): boolean {
    const last = parts.at(-1)!;
    // a socket that is destroyed with something left to send calls this without an error
    const done = (error: Error | null | undefined): void => {
      if (error || this.#socket.destroyed) delivery?.fail(error ?? new Error('the connection is closed'));
      else delivery?.succeed();
    };
    if (parts.length === 1) return this.#socket.write(last, done);
    this.#socket.cork();
    for (const part of parts.slice(0, -1)) this.#socket.write(part);
    const hasRoom = this.#socket.write(last, done);
    this.#socket.uncork();
    return hasRoom;
  }

  /**
   * Resolves when the socket has drained or the client is gone, and leaves no listener: a long stream comes
   * here often.
   */
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

  /** Sends what was written, and closes when the client has; what it sends meanwhile is thrown away. */
  #linger(): void {
    if (this.#socket.destroyed) return;
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MILLISECONDS);
    this.#socket.once('close', () => clearTimeout(timer));
    this.#throttle();
    this.#socket.end();
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
