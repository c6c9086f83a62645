/** GET requests to registries: only to the hosts that the operator has named, wherever an answer sends us. */
import type http from 'node:http';
import { WardenError } from '@warden/interface';
import { invalid } from './failure.ts';

/** What the operator allows. */
export interface PullOptions {
  /** `host[:port]` of registries, of where they redirect to, and of their token services. */
  readonly registries: readonly string[];
  /** Those of them that are spoken to without TLS. */
  readonly insecure: readonly string[];
  /** Further certificates of authorities, PEM. */
  readonly authorities?: string | undefined;
}

/** A request. */
export interface GetOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
}

const MAX_REDIRECTS = 5;
const STALL_MS = 60_000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** An answer whose body is still to come. */
export interface Answer {
  /** Who answered: where the last redirect led. */
  readonly url: URL;
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: http.IncomingMessage;
}

/** Follows redirects. Errors: `FORBIDDEN` (host), `UNAVAILABLE`, `ABORTED`. */
export async function get(start: URL, options: GetOptions, allowed: PullOptions): Promise<Answer> {
  let url = start;
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const headers = { ...options.headers };
    // what opens the registry is nobody else's business
    if (url.host !== start.host || url.protocol !== start.protocol) delete headers.authorization;
    const answer = await getOnce(url, { ...options, headers }, allowed);
    if (!REDIRECTS.has(answer.status)) return answer;
    answer.body.destroy();
    const { location } = answer.headers;
    if (location === undefined || !URL.canParse(location, url.href))
      throw unavailable(url, 'it redirects to nowhere');
    const next = new URL(location, url);
    if (url.protocol === 'https:' && next.protocol !== 'https:')
      throw unavailable(url, 'it redirects to a connection without TLS');
    url = next;
  }
  throw unavailable(start, `it redirects more than ${MAX_REDIRECTS} times`);
}

/** `https` unless the operator said otherwise. Errors: `FORBIDDEN`. */
export function baseUrl(registry: string, allowed: PullOptions): URL {
  const url = new URL(`${allowed.insecure.includes(registry) ? 'http' : 'https'}://${registry}/`);
  checkHost(url, allowed);
  return url;
}

/** Errors: `FORBIDDEN` with what to do about it. */
function checkHost(url: URL, { registries, insecure }: PullOptions): void {
  const names = [
    url.host,
    ...(url.port === '' ? [`${url.host}:${url.protocol === 'https:' ? 443 : 80}`] : []),
  ];
  const isIn = (list: readonly string[]): boolean => names.some((name) => list.includes(name));
  const why =
    url.protocol !== 'https:' && url.protocol !== 'http:'
      ? `${url.protocol} is no way to a registry`
      : !isIn(registries)
        ? `${url.host} is not among the registries that the operator allows (images.registries)`
        : url.protocol === 'http:' && !isIn(insecure)
          ? `${url.host} may not be spoken to without TLS (images.insecure_registries)`
          : url.username !== '' || url.password !== ''
            ? 'an address with a password in it is not followed'
            : undefined;
  if (why !== undefined)
    throw new WardenError('FORBIDDEN', why, { fields: { operation: 'pull image', object: url.host } });
}

async function getOnce(url: URL, { headers, signal }: GetOptions, allowed: PullOptions): Promise<Answer> {
  checkHost(url, allowed);
  // loading them takes some of the daemon's start, which only those pay who pull
  const client = await (url.protocol === 'https:' ? import('node:https') : import('node:http'));
  const secrets = await trusted(allowed.authorities);
  return new Promise((resolve, reject) => {
    const request = client.get(
      url,
      {
        headers: { 'user-agent': 'warden', 'accept-encoding': 'identity', ...headers },
        agent: false,
        timeout: STALL_MS,
        ...secrets,
        ...(signal === undefined ? {} : { signal }),
      },
      (body) => resolve({ url, status: body.statusCode ?? 0, headers: body.headers, body }),
    );
    request.on('timeout', () => request.destroy(new Error(`nothing came for ${STALL_MS / 1_000} s`)));
    request.on('error', (cause) =>
      reject(signal?.aborted ? aborted(cause) : unavailable(url, why(url, cause), cause)),
    );
  });
}

/** Without authorities of the operator's nothing is said: Node knows the others by itself. */
async function trusted(authorities: string | undefined): Promise<{ readonly ca?: string[] }> {
  if (authorities === undefined) return {};
  const { rootCertificates } = await import('node:tls');
  return { ca: [...rootCertificates, authorities] };
}

const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/**
 * What went wrong; of TLS, what to do about it, since nothing is ever fetched without it that was to be
 * fetched with it.
 */
function why({ host, protocol }: URL, { code = '', message }: NodeJS.ErrnoException): string {
  if (protocol !== 'https:') return message;
  if (UNKNOWN_AUTHORITY.has(code))
    return `its certificate is of an authority that is not known here (${code}); put that authority's certificate into the file that images.certificates names`;
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return `its certificate is not valid at this time (${code}); look at the clock of this host, or have the certificate renewed`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `its certificate is for another name (${code}); use a name that it has: ${message}`;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_'))
    return `it does not speak TLS as it should (${message.trim()}); if it is to be spoken to without, name ${host} in images.insecure_registries`;
  return message;
}

/**
 * A small body, of at most `limit` bytes. `signal` is the request's. Errors: `INVALID_SPEC` when it is larger,
 * `UNAVAILABLE`, `ABORTED`.
 */
export async function readBody(
  { body }: Answer,
  limit: number,
  { url, signal }: { readonly url: URL; readonly signal: AbortSignal | undefined },
): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of body) {
      length += (part as Buffer).length;
      if (length > limit)
        throw invalid(`the answer of ${url.host} is too large for what it is`, { object: url.pathname });
      parts.push(part as Buffer);
    }
  } catch (cause) {
    if (cause instanceof WardenError) throw cause;
    if (signal?.aborted) throw aborted(cause);
    throw unavailable(url, (cause as Error).message, cause);
  } finally {
    body.destroy();
  }
  return Buffer.concat(parts);
}

export function unavailable(url: URL, why: string, cause?: unknown): WardenError {
  return new WardenError('UNAVAILABLE', `cannot fetch from ${url.host}: ${why}`, {
    cause,
    fields: { operation: 'pull image', object: url.host },
  });
}

export function aborted(cause: unknown): WardenError {
  return new WardenError('ABORTED', 'the pull was given up', { cause, fields: { operation: 'pull image' } });
}
