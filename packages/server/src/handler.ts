/** What the functions of requests have in common. */
import type { OutputRelay, Warden } from '@warden/interface';
import type { Uploads } from './uploads.ts';

/** What a request may use. */
export interface RequestContext {
  readonly warden: Warden;
  /** Aborted when nobody will read the answer. */
  readonly signal: AbortSignal;
  /** The connection's upload, which takes several requests. */
  readonly uploads: Uploads;
  /** The way for output that nobody here has to look at; `undefined`: there is none. */
  readonly relay: OutputRelay | undefined;
  /** Resolves when it is this client's turn again: between two pieces of work that others should not wait for. */
  turn(): Promise<void>;
  /** Ends the connection: what was sent last was broken off. */
  breakOff(): void;
  /**
   * Resolves when the kernel has the whole last answer, which the client can read then whatever becomes of
   * this process; rejects when it has not. Whoever asks for it before the answer has the next request wait.
   */
  readonly taken: Promise<void>;
  /** Sends an answer before the last one; resolves when the client keeps up. */
  send(response: object): Promise<void>;
}

/** Turns one request into calls, and their result into the last answer. */
export type Handler = (context: RequestContext, request: never) => Promise<object>;
