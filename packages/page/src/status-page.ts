/**
 * Answers what a browser asks: the files of the page, and the numbers in it. Read-only: nothing of a request
 * is used but method, path, query and two headers. Whoever may connect may read; who leads a browser here
 * from elsewhere may not.
 */
import { Assets } from './assets.ts';
import { EventLog } from './event-log.ts';
import { readQuery } from './query.ts';
import { refusal } from './refusal.ts';
import { Sampler } from './sampler.ts';
import type { PageSource } from './source.ts';
import { status } from './status.ts';

/** What is looked at of a request. */
export interface PageRequest {
  /** As it came: path and query. */
  readonly url: string;
  readonly host: string | undefined;
  /** What the browser says about where the request comes from (`Sec-Fetch-Site`). */
  readonly fetchSite: string | undefined;
}

/** What is sent, besides the length and what all answers have. */
export interface PageAnswer {
  readonly status: 200 | 400 | 403;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** With each answer: nothing from elsewhere is loaded, run, framed or sent to, and no text becomes markup. */
const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  'Referrer-Policy': 'no-referrer',
  'X-Frame-Options': 'DENY',
};

/** See the file's head. */
export class StatusPage {
  readonly #source: PageSource;
  readonly #assets = new Assets();
  readonly #sampler: Sampler;
  readonly #events = new EventLog();

  constructor(source: PageSource) {
    this.#source = source;
    this.#sampler = new Sampler(source);
  }

  /** Keeps events from now on, as soon as there is an engine. Errors: those of subscribing. */
  begin(): void {
    const onlooker = this.#source.onlooker();
    if (onlooker !== undefined) this.#events.follow(onlooker);
  }

  /** `undefined`: the path is none of the page's. */
  answer({ url, host, fetchSite }: PageRequest): PageAnswer | undefined {
    const at = url.indexOf('?');
    const path = at === -1 ? url : url.slice(0, at);
    const isStatus = path === '/page/status.json';
    const asset = this.#assets.get(path);
    if (!isStatus && asset === undefined) return undefined;
    const refused = refusal({ host, fetchSite, isDocument: path === '/' });
    if (refused !== undefined) return answerText(403, refused);
    if (asset !== undefined) return { status: 200, headers: headers(asset.type), body: asset.content };
    const query = readQuery(at === -1 ? '' : url.slice(at + 1));
    if (query === undefined) return answerText(400, 'the query is not understood');
    this.#sampler.watch();
    const parts = { source: this.#source, sampler: this.#sampler, events: this.#events };
    return {
      status: 200,
      headers: headers('application/json; charset=utf-8'),
      body: JSON.stringify(status(parts, query)),
    };
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#events.close();
    await this.#sampler.close();
  }
}

function headers(type: string): Readonly<Record<string, string>> {
  return { ...HEADERS, 'Content-Type': type };
}

function answerText(status: 400 | 403, text: string): PageAnswer {
  return { status, headers: headers('text/plain; charset=utf-8'), body: `${text}\n` };
}
