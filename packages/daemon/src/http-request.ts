/**
 * As much of HTTP/1.1 as the endpoint for whoever watches needs: the head of a request without a body, and an
 * answer behind which the connection ends.
 *
 * Not Node's own server: that one works off all the requests that a client has sent in advance (pipelining)
 * before anything else has its turn, and a single read brings more than a thousand of them; sixty connections
 * kept the daemon from everybody for minutes.
 */

/** What is looked at of a request. */
export interface HttpRequest {
  readonly method: string;
  /** As it came: path and query. */
  readonly url: string;
  /** By names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

/** What is sent, besides the length and what all answers have. */
export interface HttpAnswer {
  readonly status: keyof typeof REASONS;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

const REASONS = {
  200: 'OK',
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
} as const;

const REQUEST_LINE = /^([A-Z]{1,32}) ([\x21-\x7e]+) HTTP\/1\.[01]$/;
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;

/**
 * Reads a head, without the empty line that ends it; `undefined`: it is none. A header that came more than
 * once has all its values, with commas between them.
 */
export function parseRequest(head: string): HttpRequest | undefined {
  const [first = '', ...lines] = head.split('\r\n');
  const request = REQUEST_LINE.exec(first);
  if (request === null) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const header = HEADER.exec(line);
    if (header === null) return undefined;
    const [name, value] = [header[1]!.toLowerCase(), header[2]!.trim()];
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { method: request[1]!, url: request[2]!, headers };
}

/** The bytes of an answer; without its body if it is one to HEAD. */
export function formatAnswer({ status, headers, body }: HttpAnswer, method: string): Buffer {
  const lines = Object.entries({
    ...headers,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    Date: new Date().toUTCString(),
    Connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = Buffer.from(`HTTP/1.1 ${status} ${REASONS[status]}\r\n${lines.join('')}\r\n`, 'latin1');
  return method === 'HEAD' ? head : Buffer.concat([head, Buffer.from(body)]);
}
