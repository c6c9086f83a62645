/** Debian's Chromium without a screen, led by its DevTools protocol over a pipe: it listens on no port. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { type Namespace, patience } from '@warden/test-harness';

const PROGRAM = '/usr/bin/chromium';
const ANSWER_MS = 60_000;

type Json = Record<string, unknown>;
interface Waiting {
  resolve(result: Json): void;
  reject(error: Error): void;
}

/** Something the browser tells by itself. */
export interface BrowserEvent {
  readonly method: string;
  readonly params: Json;
  readonly sessionId?: string;
}

/** A browser of its own profile in the network of `namespace`. */
export class Browser {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<(event: BrowserEvent) => void>();
  #lastId = 0;
  #rest = '';

  private constructor(child: ChildProcess, profile: string) {
    this.#child = child;
    this.#profile = profile;
    const answers = child.stdio[4] as Readable;
    answers.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`the browser ended with ${code ?? signal}`));
      this.#waiting.clear();
    });
  }

  static start(namespace: Namespace): Browser {
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-browser-'));
    const [program, ...words] = namespace.enter([
      PROGRAM,
      '--headless=new',
      '--remote-debugging-pipe',
      `--user-data-dir=${profile}`,
      // the pages are ours, and root has no sandbox
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-background-networking',
      '--disable-component-update',
      '--no-first-run',
      '--hide-scrollbars',
      '--force-color-profile=srgb',
      // what a name server of somebody else could say
      '--host-resolver-rules=MAP rebound.test 127.0.0.1',
      'about:blank',
    ]);
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program!, ...words], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile },
    });
    return new Browser(child, profile);
  }

  send(method: string, params: Json = {}, sessionId?: string): Promise<Json> {
    const id = ++this.#lastId;
    const message = JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`the browser has not answered ${method}`));
      }, patience(ANSWER_MS));
      this.#waiting.set(id, {
        resolve: (result) => {
          clearTimeout(timer);
          resolve(result);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      (this.#child.stdio[3] as Writable).write(`${message}\0`);
    });
  }

  /** The answer ends it. */
  listen(listener: (event: BrowserEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, 'exit');
      const closing = this.send('Browser.close').catch(() => {}); // it may end before it answers
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), patience(10_000));
      await gone;
      clearTimeout(timer);
      await closing;
    }
    fs.rmSync(this.#profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #take(text: string): void {
    const parts = (this.#rest + text).split('\0');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) this.#dispatch(JSON.parse(part) as Json);
  }

  #dispatch(message: Json): void {
    if (typeof message.id !== 'number') {
      for (const listener of this.#listeners) listener(message as unknown as BrowserEvent);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    const { error } = message as { readonly error?: { readonly message: string } };
    if (error !== undefined) waiting?.reject(new Error(error.message));
    else waiting?.resolve(message.result as Json);
  }
}
