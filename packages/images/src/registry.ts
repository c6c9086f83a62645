/**
 * Images of registries, by the distribution protocol: manifests and blobs, each checked by its digest; blobs
 * land in files and go on where they broke off.
 */
import fs from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { type ImageOptions, type ImagePullSpec, isWardenError, WardenError } from '@warden/interface';
import { DigestCheck, parseDigest } from './digest.ts';
import type { Hold } from './downloads.ts';
import { invalid } from './failure.ts';
import { readPart } from './file-set.ts';
import { type Answer, aborted, baseUrl, get, type PullOptions, readBody, unavailable } from './http.ts';
import type { FoundImage, LayerBlob } from './local-image.ts';
import {
  ACCEPTED_TYPES,
  choose,
  type Descriptor,
  isIndex,
  isMap,
  MAX_DOCUMENT_BYTES,
  parseConfig,
  parseDocument,
  parseIndex,
  parseManifest,
} from './manifest.ts';
import { parseReference } from './reference.ts';

export type { PullOptions };

/** Where an image is. */
export interface PullTarget {
  readonly base: URL;
  readonly repository: string;
  /** Tag or digest. */
  readonly version: string;
  readonly credentials: { readonly user: string; readonly password: string } | undefined;
}

/** How to fetch it. */
export interface PullContext extends ImageOptions {
  /** Keeps the files of these layers for this pull. Errors: `POOL_EXHAUSTED`, `NATIVE_FAILED`. */
  readonly hold: (layers: readonly Descriptor[]) => Hold;
  /** Whether a layer is there already. */
  readonly knows: (diffId: string) => boolean;
}

/** An image whose blobs are in files. */
export interface Pulled {
  readonly image: FoundImage;
  /** Removes the files, but for those that another pull needs. */
  forget(): Promise<void>;
}

const ATTEMPTS = 3;

/** See the file's head. */
export class Registry {
  readonly #allowed: PullOptions;

  constructor(allowed: PullOptions) {
    this.#allowed = allowed;
  }

  /** Errors: `INVALID_SPEC`, `FORBIDDEN`. */
  target({ reference, user, password }: ImagePullSpec): PullTarget {
    const { registry, repository, tag, digest } = parseReference(reference);
    if (registry === undefined)
      throw invalid(`say from which registry: ${reference} has no host before its first slash`, {
        object: reference,
      });
    return {
      base: baseUrl(registry, this.#allowed),
      repository,
      version: digest ?? tag ?? 'latest',
      credentials: user === undefined ? undefined : { user, password: password ?? '' },
    };
  }

  async pull(target: PullTarget, context: PullContext): Promise<Pulled> {
    const session = new Session(target, this.#allowed, context);
    const manifest = parseManifest(await session.manifest());
    const config = parseConfig(await session.small(manifest.config, 'the configuration of the image'));
    if (config.diffIds.length !== manifest.layers.length || manifest.layers.length === 0)
      throw invalid(
        `the configuration lists ${config.diffIds.length} layers, the manifest ${manifest.layers.length}`,
      );
    const missing = manifest.layers.filter((_layer, at) => !context.knows(config.diffIds[at]!.text));
    const hold = context.hold(missing);
    try {
      for (const layer of new Map(missing.map((one) => [hold.file(one), one])).values())
        await hold.alone(layer, () => session.download(layer, hold.file(layer)), context.signal);
    } catch (error) {
      hold.leave();
      throw error;
    }
    const layers = manifest.layers.map(
      (layer, at): LayerBlob => ({
        diffId: config.diffIds[at]!,
        digest: layer.digest,
        size: layer.size,
        open: () => openBlob(hold.file(layer)),
        drop: async () => {
          // a manifest may name one blob for several layers; at most one of them is what it says
          const isNeeded = manifest.layers.some(
            (other, index) =>
              index > at &&
              hold.file(other) === hold.file(layer) &&
              config.diffIds[index]!.text !== config.diffIds[at]!.text,
          );
          if (!isNeeded) await hold.drop(layer);
        },
      }),
    );
    return {
      image: { id: manifest.config.digest.text, config, layers },
      forget: () => hold.remove(),
    };
  }
}

async function openBlob(file: string): ReturnType<LayerBlob['open']> {
  const handle = await fs.promises.open(file);
  return { stream: readPart(handle, 0, (await handle.stat()).size), close: () => handle.close() };
}

/** One pull: what it may, and by which token. */
class Session {
  readonly #target: PullTarget;
  readonly #allowed: PullOptions;
  readonly #context: PullContext;
  #authorization: string | undefined;

  constructor(target: PullTarget, allowed: PullOptions, context: PullContext) {
    this.#target = target;
    this.#allowed = allowed;
    this.#context = context;
  }

  /** The manifest for this host, through an index if there is one. */
  async manifest(): Promise<Readonly<Record<string, unknown>>> {
    let version = this.#target.version;
    let chosen: Descriptor | undefined;
    for (let depth = 0; depth < 4; depth++) {
      const bytes = await this.#document(`manifests/${version}`, { accept: ACCEPTED_TYPES.join(', ') });
      if (chosen !== undefined) checkSize(bytes, chosen, 'the manifest');
      if (version.includes(':')) checkBytes(bytes, version, 'the manifest');
      const document = parseDocument(bytes, 'the manifest');
      if (!isIndex(document)) return document;
      chosen = choose(parseIndex(document), undefined);
      version = chosen.digest.text;
    }
    throw invalid('the indexes of the image are nested too deeply');
  }

  async small(descriptor: Descriptor, what: string): Promise<Buffer> {
    const bytes = await this.#document(`blobs/${descriptor.digest.text}`, {});
    checkSize(bytes, descriptor, what);
    checkBytes(bytes, descriptor.digest.text, what);
    return bytes;
  }

  /** Into this file; a connection that breaks is not the end. */
  async download(layer: Descriptor, file: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#downloadOnce(layer, file);
      } catch (error) {
        if (attempt === ATTEMPTS || !isWardenError(error, 'UNAVAILABLE')) throw error;
      }
    }
  }

  async #downloadOnce(layer: Descriptor, file: string): Promise<void> {
    const { signal, onProgress } = this.#context;
    const there = fs.lstatSync(file, { throwIfNoEntry: false })?.size;
    if (there === layer.size) return; // a layer may be empty, but its file is there then as well
    const from = there !== undefined && there < layer.size ? there : 0;
    const answer = await this.#get(`blobs/${layer.digest.text}`, from > 0 ? { range: `bytes=${from}-` } : {});
    const goesOn =
      answer.status === 206 && answer.headers['content-range']?.startsWith(`bytes ${from}-`) === true;
    if (answer.status === 206 && !goesOn) {
      answer.body.destroy();
      throw unavailable(this.#target.base, 'it answers with another part than was asked for');
    }
    let done = goesOn ? from : 0;
    const into = fs.createWriteStream(file, { flags: goesOn ? 'r+' : 'w', start: done, mode: 0o600 });
    try {
      await pipeline(
        answer.body,
        async function* (parts: AsyncIterable<Buffer>) {
          for await (const part of parts) {
            done += part.length;
            if (done > layer.size)
              throw invalid(`a layer is longer than its descriptor says: ${layer.size} bytes`, {
                object: layer.digest.text,
              });
            onProgress?.({ step: 'download', object: layer.digest.text, done, total: layer.size });
            yield part;
          }
        },
        into,
        signal === undefined ? {} : { signal },
      );
    } catch (cause) {
      if (signal?.aborted) throw aborted(cause);
      if (isWardenError(cause)) throw cause;
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EIO')
        throw new WardenError('NATIVE_FAILED', `write ${file}: ${message}`, {
          cause,
          fields: { operation: 'write', object: file, errno: code },
        });
      throw unavailable(this.#target.base, message, cause);
    }
    if (done < layer.size)
      throw unavailable(this.#target.base, `the connection ended after ${done} of ${layer.size} bytes`);
  }

  async #document(rest: string, headers: Readonly<Record<string, string>>): Promise<Buffer> {
    const answer = await this.#get(rest, headers);
    return readBody(answer, MAX_DOCUMENT_BYTES, { url: this.#target.base, signal: this.#context.signal });
  }

  /** Errors: `INVALID_SPEC` (not there), `FORBIDDEN`, `UNAVAILABLE`. */
  async #get(rest: string, headers: Readonly<Record<string, string>>): Promise<Answer> {
    const { base, repository } = this.#target;
    const url = new URL(`v2/${repository}/${rest}`, base);
    let answer = await this.#send(url, headers);
    if (answer.status === 401) {
      answer.body.destroy();
      requireOwn(answer, base);
      this.#authorization = await this.#authorize(answer.headers['www-authenticate'] ?? '');
      answer = await this.#send(url, headers);
    }
    const { status } = answer;
    if (status === 200 || status === 206) return answer;
    answer.body.destroy();
    if (status === 401) requireOwn(answer, base);
    const name = `${base.host}/${repository}`;
    if (status === 404) throw invalid(`${base.host} has no ${repository}, ${rest}`, { object: name, status });
    if (status === 401 || status === 403)
      throw new WardenError(
        'FORBIDDEN',
        `${base.host} does not let ${this.#target.credentials?.user ?? 'everybody'} read ${repository}`,
        { fields: { operation: 'pull image', object: name, status } },
      );
    throw unavailable(base, `it answers with status ${status}`);
  }

  #send(url: URL, headers: Readonly<Record<string, string>>): Promise<Answer> {
    const authorization = this.#authorization;
    return get(
      url,
      {
        headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) },
        signal: this.#context.signal,
      },
      this.#allowed,
    );
  }

  /** What the registry asks for: a token of its token service where it offers one, else the password. */
  async #authorize(header: string): Promise<string> {
    const { base, repository, credentials } = this.#target;
    const basic =
      credentials && `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`;
    const challenges = parseChallenges(header);
    const bearer = challenges.get('bearer');
    const realm = bearer?.get('realm');
    if (realm === undefined || !URL.canParse(realm)) {
      if (challenges.has('basic') && basic) return basic;
      throw new WardenError('FORBIDDEN', `${base.host} asks for a password`, {
        fields: { operation: 'pull image', object: base.host },
      });
    }
    const url = new URL(realm);
    if (basic && base.protocol === 'https:' && url.protocol !== 'https:')
      throw new WardenError(
        'FORBIDDEN',
        `${base.host} wants the password sent to ${url.host} without TLS; a registry that is spoken to over TLS may only name a token service that is, too`,
        { fields: { operation: 'pull image', object: url.host } },
      );
    const service = bearer!.get('service');
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', `repository:${repository}:pull`);
    const answer = await get(
      url,
      { headers: basic ? { authorization: basic } : {}, signal: this.#context.signal },
      this.#allowed,
    );
    const bytes = await readBody(answer, MAX_DOCUMENT_BYTES, { url, signal: this.#context.signal });
    const document = answer.status === 200 ? parseDocument(bytes, 'the token') : {};
    const token = isMap(document) ? (document.token ?? document.access_token) : undefined;
    if (typeof token === 'string' && /^[\x21-\x7e]+$/.test(token)) return `Bearer ${token}`;
    throw new WardenError('FORBIDDEN', `${url.host} gives no token for ${repository}`, {
      fields: { operation: 'pull image', object: url.host, status: answer.status },
    });
  }
}

/** More than any registry says of how it is to be asked. */
const LONGEST_CHALLENGES = 4096;

/**
 * Schemes of a `WWW-Authenticate` in small letters, each with its parameters, of which the first one of a
 * name counts. A header may offer several, and several headers arrive as one (RFC 9110, 11.6.1).
 */
function parseChallenges(header: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const challenges = new Map<string, Map<string, string>>();
  let parameters = new Map<string, string>();
  for (const [, key, quoted, plain, scheme] of header
    .slice(0, LONGEST_CHALLENGES)
    .matchAll(/([\w-]+)\s*=\s*(?:"([^"]*)"|([^\s,"]*))|([\w-]+)/g)) {
    if (scheme !== undefined) {
      parameters = challenges.get(scheme.toLowerCase()) ?? new Map<string, string>();
      challenges.set(scheme.toLowerCase(), parameters);
    } else if (!parameters.has(key!.toLowerCase())) {
      parameters.set(key!.toLowerCase(), quoted ?? plain!);
    }
  }
  return challenges;
}

/**
 * The password is the registry's: to whom it redirects may not ask for it, nor say who is to get it. Errors:
 * `FORBIDDEN`.
 */
function requireOwn({ url, status }: Answer, base: URL): void {
  if (url.origin === base.origin) return;
  throw new WardenError(
    'FORBIDDEN',
    `${url.host}, to which ${base.host} redirects, asks for a password; only ${base.host} itself may`,
    { fields: { operation: 'pull image', object: url.host, status } },
  );
}

function checkSize(bytes: Uint8Array, { digest, size }: Descriptor, what: string): void {
  if (bytes.length !== size)
    throw invalid(`${what} has ${bytes.length} bytes, its descriptor says ${size}`, { object: digest.text });
}

function checkBytes(bytes: Uint8Array, digest: string, what: string): void {
  const check = new DigestCheck(parseDigest(digest, what));
  check.update(bytes);
  check.finish(what);
}
