/**
 * Pulls from registries on loopback: one of our own that misbehaves on purpose, and Debian's docker-registry,
 * filled by skopeo.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ImageProgress, type ImageStore, silentLogger, WardenError } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { gzip, sha256, tar, writeLayout } from '../test/image-files.ts';
import {
  contentOf,
  type Handler,
  isRoot,
  listen,
  missingTool,
  openStore,
  serveLayout,
  skopeo,
  withDockerRegistry,
} from '../test/registries.ts';

/** Does not shrink when it is compressed. */
const CONTENT = randomBytes(600_000);

let scratch: string;
let layout: string;
let manifest: string;
let server: http.Server | undefined;
let seen: string[];

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-registry-'));
  layout = path.join(scratch, 'layout');
  manifest = writeLayout(layout, { layers: [tar([{ name: 'hello', content: CONTENT }])], compress: gzip });
  seen = [];
});
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
  fs.rmSync(scratch, { recursive: true, force: true });
});

/** A registry that serves the layout at `some/app:1`, after `before` had its turn. Answers its host and port. */
function serve(before: Handler = () => false): Promise<string> {
  server = http.createServer(
    serveLayout(layout, manifest, (request, response) => {
      seen.push(`${request.headers.authorization ?? '-'} ${request.headers.range ?? '-'} ${request.url}`);
      return before(request, response);
    }),
  );
  return listen(server);
}

function open(...registries: readonly string[]): ImageStore {
  return openStore(path.join(scratch, 'store'), { registries: { registries, insecure: registries } });
}

const downloads = (): string[] => fs.readdirSync(path.join(scratch, 'store/downloads'));
const sizeOf = (name: string): number => fs.statSync(path.join(scratch, 'store/downloads', name)).size;

describe.runIf(isRoot)('a pull [needs: root]', () => {
  it('fetches by tag and by digest, with a token, through a redirect', async () => {
    const other = 'localhost';
    const host = await serve((request, response) => {
      const { authorization, host: asked = '' } = request.headers;
      const port = asked.split(':')[1];
      if (request.url!.startsWith('/token')) {
        const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;
        const isMine =
          authorization === basic &&
          request.url === '/token?service=reg&scope=repository%3Asome%2Fapp%3Apull';
        response.writeHead(isMine ? 200 : 401).end(isMine ? '{"token":"abc"}' : '');
        return true;
      }
      if (asked.startsWith(other)) return false; // where blobs lie: no token comes here
      if (authorization !== 'Bearer abc') {
        response
          .writeHead(401, { 'www-authenticate': `Bearer realm="http://${asked}/token",service="reg"` })
          .end();
        return true;
      }
      if (!request.url!.includes('/blobs/')) return false;
      response.writeHead(307, { location: `http://${other}:${port}${request.url}` }).end();
      return true;
    });
    const store = open(host, host.replace('127.0.0.1', other));
    const steps: ImageProgress[] = [];
    const info = await store.pull(
      { reference: `${host}/some/app:1`, user: 'me', password: 'secret' },
      { onProgress: (one) => steps.push(one) },
    );
    expect(info.names).toEqual([`${host}/some/app:1`]);
    expect(contentOf(store, info.id).equals(CONTENT)).toBe(true);
    expect(new Set(steps.map(({ step }) => step))).toEqual(new Set(['download', 'unpack']));
    expect(steps.find(({ step, done, total }) => step === 'download' && done === total)).toBeDefined();
    expect(seen.some((line) => line.startsWith('Bearer') && line.includes('/blobs/'))).toBe(true);
    expect(downloads()).toEqual([]);
    // a reference by digest moves no tag
    await store.pull({ reference: `${host}/some/app:2@${manifest}`, user: 'me', password: 'secret' });
    expect((await store.list())[0]!.names).toEqual([`${host}/some/app:1`, `${host}/some/app@${manifest}`]);
    expect(contentOf(store, `${host}/some/app:2@${manifest}`).equals(CONTENT)).toBe(true);
    await store.remove(`${host}/some/app@${manifest}`);
    const again = await store.pull({
      reference: `${host}/some/app@${manifest}`,
      name: 'mine',
      user: 'me',
      password: 'secret',
    });
    expect(again).toMatchObject({ id: info.id, names: [`${host}/some/app:1`, 'mine:latest'].sort() });
    await expect(
      store.pull({ reference: `${host}/some/app:1`, user: 'me', password: 'wrong' }),
    ).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });

  it('speaks to no host that is not named, wherever it is sent', async () => {
    let location = 'http://127.0.0.1:1/secret';
    const host = await serve((request, response) => {
      if (request.url!.includes('/blobs/')) response.writeHead(302, { location }).end();
      else if (request.url!.includes('realm'))
        response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://169.254.169.254/"' }).end();
      else return false;
      return true;
    });
    await expect(open().pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    expect(seen).toEqual([]);
    const store = open(host);
    await expect(store.pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: expect.stringContaining('127.0.0.1:1 '),
    });
    location = 'file:///etc/passwd';
    await expect(store.pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    location = `http://x:y@${host}/z`;
    await expect(store.pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    location = '/v2/some/app/blobs/round';
    await expect(store.pull({ reference: `${host}/some/app:1` })).rejects.toThrow(/more than 5 times/);
    await expect(store.pull({ reference: `${host}/some/realm:1` })).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: expect.stringContaining('169.254.169.254'),
    });
    await expect(store.pull({ reference: 'some/app:1' })).rejects.toThrow(/from which registry/);
    await expect(store.pull({ reference: `${host}/some/absent:1` })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
    });
  });

  it('gives the password to nobody but the registry and the token service that it names itself', async () => {
    const challenges = ['Bearer realm="http://localhost:PORT/steal",service="x"', 'Basic realm="x"'];
    const cases = challenges.flatMap((one) => [true, false].map((asksFirst) => [one, asksFirst] as const));
    for (const [challenge, asksFirst] of cases) {
      const stolen: string[] = [];
      const host = await serve((request, response) => {
        const { authorization, host: asked = '' } = request.headers;
        const port = asked.split(':')[1]!;
        if (asked.startsWith('localhost')) {
          stolen.push(`${authorization ?? '-'} ${request.url}`);
          response.writeHead(401, { 'www-authenticate': challenge.replace('PORT', port) }).end();
        } else if (authorization === undefined && (asksFirst || request.url!.includes('/blobs/')))
          response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end();
        else if (request.url!.includes('/blobs/'))
          response.writeHead(307, { location: `http://localhost:${port}${request.url}` }).end();
        else return false;
        return true;
      });
      const store = open(host, host.replace('127.0.0.1', 'localhost'));
      await expect(
        store.pull({ reference: `${host}/some/app:1`, user: 'me', password: 'secret' }),
      ).rejects.toMatchObject({
        code: 'FORBIDDEN',
        message: expect.stringMatching(
          /^localhost:\d+, to which 127\.0\.0\.1:\d+ redirects, asks for a password/,
        ),
      });
      expect(stolen).toEqual([expect.stringMatching(/^- \/v2\/some\/app\/blobs\//)]);
      server?.closeAllConnections();
      server?.close();
    }
  });

  it.each([
    { is: 'before', challenges: ['Bearer realm="http://HOST/token",service="reg"', 'Basic realm="x"'] },
    { is: 'behind', challenges: ['Basic realm="x"', 'Bearer realm="http://HOST/token", service=reg'] },
  ])('takes a token from a registry that offers it $is the password', async ({ challenges }) => {
    const host = await serve((request, response) => {
      const { authorization, host: asked = '' } = request.headers;
      if (request.url!.startsWith('/token?service=reg&')) response.end('{"token":"abc"}');
      else if (authorization === 'Bearer abc') return false;
      else
        response
          .writeHead(401, { 'www-authenticate': challenges.map((one) => one.replace('HOST', asked)) })
          .end();
      return true;
    });
    const store = open(host);
    const reference = `${host}/some/app:1`;
    const info = await store.pull({ reference });
    expect(contentOf(store, info.id).equals(CONTENT)).toBe(true);
    const mine = await store.pull({ reference, user: 'me', password: 'secret' });
    expect(mine.id).toBe(info.id);
  });

  it('tells why it failed, also when what it has fetched cannot be removed, which is logged', async () => {
    const host = await serve(() => false);
    const warned: unknown[] = [];
    const logger = { ...silentLogger, warn: (...what: unknown[]) => void warned.push(what) };
    const why = new WardenError('NATIVE_FAILED', 'no place for the layer');
    const pass = (): never => {
      throw why;
    };
    const store = openStore(path.join(scratch, 'store'), {
      registries: { registries: [host], insecure: [host] },
      logger,
      failpoints: { pass, passSync: () => {}, forProgram: () => undefined },
    });
    const spy = vi.spyOn(fs, 'renameSync').mockImplementation(() => {
      throw Object.assign(new Error('EIO: i/o error, rename'), { code: 'EIO', errno: -5 });
    });
    try {
      await expect(store.pull({ reference: `${host}/some/app:1` })).rejects.toBe(why);
    } finally {
      spy.mockRestore();
    }
    const error = expect.objectContaining({ fields: expect.objectContaining({ errno: 'EIO' }) });
    expect(warned).toContainEqual(['downloads-not-removed', expect.objectContaining({ error })]);
  });

  it('gives the password to no other port of its host', async () => {
    const got: string[] = [];
    const other = http.createServer((request, response) => {
      got.push(request.headers.authorization ?? 'nothing');
      response.writeHead(404).end();
    });
    try {
      const elsewhere = await listen(other);
      const host = await serve((request, response) => {
        if (request.headers.authorization === undefined)
          response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end();
        else if (request.url!.includes('/blobs/'))
          response.writeHead(307, { location: `http://${elsewhere}${request.url}` }).end();
        else return false;
        return true;
      });
      const store = open(host, elsewhere);
      const reference = `${host}/some/app:1`;
      await expect(store.pull({ reference, user: 'me', password: 'secret' })).rejects.toThrow(' has no ');
      expect(got).toEqual(['nothing']);
    } finally {
      other.close();
    }
  });

  it('goes on where a connection broke off', async () => {
    let breaks = 1;
    const host = await serve((request, response) => {
      if (!request.url!.includes('/blobs/') || breaks === 0) return false;
      const content = fs.readFileSync(path.join(layout, 'blobs/sha256', request.url!.split(':')[1]!));
      if (content.length < 100_000) return false; // the configuration
      breaks--;
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 50_000), () => setTimeout(() => response.destroy(), 50));
      return true;
    });
    const store = open(host);
    const info = await store.pull({ reference: `${host}/some/app:1` });
    expect(contentOf(store, info.id).equals(CONTENT)).toBe(true);
    expect(seen.some((line) => /bytes=[1-9]\d*-/.test(line))).toBe(true);
  });

  it('believes no blob, and fetches it anew the next time', async () => {
    let isForged = true;
    const host = await serve((request, response) => {
      if (!request.url!.includes('/blobs/') || !isForged) return false;
      const content = fs.readFileSync(path.join(layout, 'blobs/sha256', request.url!.split(':')[1]!));
      if (content.length < 100_000) return false;
      content[60_000]! ^= 1;
      response.end(content);
      return true;
    });
    const store = open(host);
    await expect(store.pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
    });
    expect([await store.list(), downloads()]).toEqual([[], []]);
    isForged = false;
    await store.pull({ reference: `${host}/some/app:1` });
    // a manifest under another's digest
    const wrong = sha256(Buffer.from('other'));
    fs.copyFileSync(
      path.join(layout, 'blobs/sha256', manifest.slice(7)),
      path.join(layout, 'blobs/sha256', wrong.slice(7)),
    );
    await expect(store.pull({ reference: `${host}/some/app@${wrong}` })).rejects.toThrow(
      /does not have its digest/,
    );
  });

  it('speaks without TLS to none that the operator has not named for that, wherever it is sent', async () => {
    let asked = 0;
    const host = await serve((request, response) => {
      const { host: name = '' } = request.headers;
      if (name.startsWith('localhost')) {
        asked++;
        return false;
      }
      if (!request.url!.includes('/blobs/')) return false;
      response
        .writeHead(307, { location: `http://${name.replace('127.0.0.1', 'localhost')}${request.url}` })
        .end();
      return true;
    });
    const other = host.replace('127.0.0.1', 'localhost');
    const store = openStore(path.join(scratch, 'store'), {
      registries: { registries: [host, other], insecure: [host] },
    });
    await expect(store.pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: `${other} may not be spoken to without TLS (images.insecure_registries)`,
    });
    expect(asked).toBe(0);
  });

  it('sends no token that would not stay in its header', async () => {
    const host = await serve((request, response) => {
      const { host: name = '', authorization } = request.headers;
      if (request.url!.startsWith('/token')) response.end(JSON.stringify({ token: 'abc\r\nX-Other: 1' }));
      else if (authorization === undefined)
        response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${name}/token"` }).end();
      else return false;
      return true;
    });
    await expect(open(host).pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: expect.stringMatching(/gives no token for some\/app$/),
    });
  });

  it('believes no configuration, which says what its layers are', async () => {
    const host = await serve((request, response) => {
      if (!request.url!.includes('/blobs/')) return false;
      const text = fs.readFileSync(path.join(layout, 'blobs/sha256', request.url!.split(':')[1]!), 'latin1');
      response.end(text.replace('"A=b"', '"A=c"'), 'latin1');
      return true;
    });
    const store = open(host);
    await expect(store.pull({ reference: `${host}/some/app@${manifest}` })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: expect.stringMatching(/^the configuration of the image does not have its digest/),
    });
    expect(await store.list()).toEqual([]);
  });

  it('takes no more of a layer than its descriptor says, and no document that is larger than any', async () => {
    const host = await serve((request, response) => {
      if (request.url!.endsWith('/large')) {
        response.end(Buffer.alloc((4 << 20) + 1, ' '));
        return true;
      }
      if (!request.url!.includes('/blobs/')) return false;
      const content = fs.readFileSync(path.join(layout, 'blobs/sha256', request.url!.split(':')[1]!));
      if (content.length < 100_000) return false;
      response.end(Buffer.concat([content, Buffer.alloc(1 << 20)]));
      return true;
    });
    const store = open(host);
    await expect(store.pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: expect.stringMatching(/^a layer is longer than its descriptor says: \d+ bytes$/),
    });
    const { size } = JSON.parse(fs.readFileSync(path.join(layout, 'blobs/sha256', manifest.slice(7)), 'utf8'))
      .layers[0] as { size: number };
    for (const name of downloads()) expect(sizeOf(name)).toBeLessThanOrEqual(size);
    // the configuration and the layer: what is wrong once is not asked for again
    expect(seen.filter((line) => line.includes('/blobs/'))).toHaveLength(2);
    await expect(store.pull({ reference: `${host}/some/app:large` })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: expect.stringMatching(/is too large for what it is$/),
    });
  });

  it('goes on where an answer ended too early, and with no other part than that', async () => {
    let isOther = true;
    const host = await serve((request, response) => {
      if (!request.url!.includes('/blobs/')) return false;
      const content = fs.readFileSync(path.join(layout, 'blobs/sha256', request.url!.split(':')[1]!));
      if (content.length < 100_000) return false;
      if (request.headers.range === undefined) response.end(content.subarray(0, 50_000));
      else if (isOther)
        response
          .writeHead(206, { 'content-range': `bytes 0-${content.length - 1}/${content.length}` })
          .end(content);
      else return false;
      return true;
    });
    const store = open(host);
    await expect(store.pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/answers with another part than was asked for$/),
    });
    isOther = false;
    const { id } = await store.pull({ reference: `${host}/some/app:1` });
    expect(contentOf(store, id).equals(CONTENT)).toBe(true);
  });

  it('hangs up on who sends another part than was asked for', async () => {
    const closed: Promise<unknown>[] = [];
    const host = await serve((request, response) => {
      if (!request.url!.includes('/blobs/')) return false;
      const content = fs.readFileSync(path.join(layout, 'blobs/sha256', request.url!.split(':')[1]!));
      if (content.length < 100_000) return false;
      closed.push(once(response, 'close'));
      // the body does not end
      response.writeHead(206, { 'content-range': `bytes 7-${content.length - 1}/${content.length}` });
      response.write(content.subarray(7, 50_000));
      return true;
    });
    await expect(open(host).pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/answers with another part than was asked for$/),
    });
    expect(closed).toHaveLength(3);
    await Promise.all(closed);
  });

  it('ends with ABORTED when it is given up in the middle of a manifest', async () => {
    const controller = new AbortController();
    const host = await serve((request, response) => {
      if (!request.url!.includes('/manifests/')) return false;
      response.writeHead(200, { 'content-length': 1_000 });
      response.write('{');
      setTimeout(() => controller.abort(), 100);
      return true;
    });
    const pulling = open(host).pull({ reference: `${host}/some/app:1` }, { signal: controller.signal });
    await expect(pulling).rejects.toMatchObject({ code: 'ABORTED', message: 'the pull was given up' });
  });

  it('takes an empty layer, as an import does', async () => {
    manifest = writeLayout(layout, { layers: [Buffer.alloc(0), tar([{ name: 'hello', content: CONTENT }])] });
    const host = await serve();
    const store = open(host);
    const { id, layers } = await store.pull({ reference: `${host}/some/app:1` });
    expect(layers[0]).toBe(sha256(Buffer.alloc(0)));
    expect(contentOf(store, id).equals(CONTENT)).toBe(true);
    expect(downloads()).toEqual([]);
    await openStore(path.join(scratch, 'other')).import({ path: layout, name: 'x' });
  });

  it('believes no size of a document', async () => {
    const lying = (one: Record<string, unknown>): Record<string, unknown> => ({
      ...one,
      size: (one.size as number) + 1,
    });
    manifest = writeLayout(layout, {
      layers: [tar([{ name: 'hello', content: CONTENT }])],
      manifest: (one) => ({ ...one, config: lying(one.config as Record<string, unknown>) }),
    });
    const host = await serve();
    const refused = {
      code: 'INVALID_SPEC',
      message: expect.stringMatching(/bytes, its descriptor says \d+$/),
    };
    await expect(open(host).pull({ reference: `${host}/some/app:1` })).rejects.toMatchObject(refused);
    manifest = writeLayout(layout, { layers: [tar([{ name: 'hello', content: CONTENT }])] });
    const index = path.join(layout, 'index.json');
    const { manifests } = JSON.parse(fs.readFileSync(index, 'utf8')) as {
      manifests: Record<string, unknown>[];
    };
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: manifests.map(lying) }));
    manifest = sha256(bytes);
    fs.writeFileSync(path.join(layout, 'blobs/sha256', manifest.slice(7)), bytes);
    server?.closeAllConnections();
    server?.close();
    const other = await serve();
    await expect(open(other).pull({ reference: `${other}/some/app:1` })).rejects.toMatchObject({
      ...refused,
      message: expect.stringMatching(/^the manifest has \d+ bytes/),
    });
  });

  it('has what it fetched, and what it found here, also when others remove and collect meanwhile', async () => {
    const [base, top] = [
      tar([{ name: 'hello', content: CONTENT }]),
      tar([{ name: 'top', content: randomBytes(200_000) }]),
    ];
    const old = path.join(scratch, 'old');
    writeLayout(old, { layers: [base] });
    fs.rmSync(layout, { recursive: true });
    manifest = writeLayout(layout, { layers: [base, top] });
    let goOn = (): void => {};
    let isFailing = false;
    const host = await serve((request, response) => {
      if (!request.url!.endsWith(sha256(top))) return false;
      response.writeHead(200);
      response.write(top.subarray(0, 50_000));
      goOn = () => (isFailing ? response.destroy() : response.end(top.subarray(50_000)));
      return true;
    });
    const store = open(host);
    const layers = (): number => fs.readdirSync(path.join(scratch, 'store/layers')).length;
    const pull = async (): Promise<unknown> => {
      await store.import({ path: old, name: 'old' });
      const pulling = store.pull({ reference: `${host}/some/app:1` });
      pulling.catch(() => {});
      await expect
        .poll(() => fs.existsSync(path.join(scratch, 'store/downloads')) && downloads().length)
        .toBe(1);
      await store.remove('old');
      await store.collect();
      expect([downloads().length, layers()]).toEqual([1, 1]);
      goOn();
      return pulling;
    };
    await pull();
    expect((await store.list())[0]).toMatchObject({ layers: [sha256(base), sha256(top)] });
    await store.remove(`${host}/some/app:1`);
    expect(layers()).toBe(0);
    // one that fails keeps nothing but its download for the next
    isFailing = true;
    const failing = pull();
    failing.catch(() => {});
    while (seen.filter((line) => line.endsWith(sha256(top))).length < 4) {
      goOn();
      await delay(20);
    }
    goOn();
    await expect(failing).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect.poll(layers).toBe(0);
    await store.collect();
    expect(fs.existsSync(path.join(scratch, 'store/downloads'))).toBe(false);
  });

  it('leaves no more behind than there may be, the latest, and fetches no more than there is room for', async () => {
    const layers = Array.from({ length: 3 }, () => tar([{ name: 'hello', content: randomBytes(300_000) }]));
    const digests = layers.map((layer) => writeLayout(layout, { layers: [layer] }));
    const nameOf = (layer: Buffer): string => sha256(layer).replace(':', '-');
    let isBroken = true;
    const host = await serve((request, response) => {
      const blob = layers.find((layer) => request.url!.endsWith(sha256(layer)));
      if (!isBroken || blob === undefined) return false;
      response.writeHead(200, { 'content-length': blob.length });
      response.write(blob.subarray(0, 280_000));
      // too early, but not before what was sent is on the disk
      const isThere = (name: string): boolean => name.startsWith(nameOf(blob)) && sizeOf(name) === 280_000;
      void expect
        .poll(() => downloads().some(isThere))
        .toBe(true)
        .then(() => response.destroy());
      return true;
    });
    const registries = { registries: [host], insecure: [host] };
    const directory = path.join(scratch, 'store');
    let store = openStore(directory, { registries, maxBytes: 600_000 });
    for (const digest of digests)
      await expect(store.pull({ reference: `${host}/some/app@${digest}` })).rejects.toMatchObject({
        code: 'UNAVAILABLE',
      });
    const files = layers.map(nameOf);
    const left = (): string[] => downloads().map((name) => name.split('-', 2).join('-'));
    expect(left().sort()).toEqual(files.slice(1).sort());
    // those of before, too
    store = openStore(directory, { registries, maxBytes: 400_000 });
    await store.recover(new Set());
    expect(left()).toEqual(files.slice(2));
    // what is imported goes before
    const local = path.join(scratch, 'local');
    writeLayout(local, { layers: [tar([{ name: 'big', content: randomBytes(200_000) }])] });
    await store.import({ path: local, name: 'local' });
    expect(downloads()).toEqual([]);
    // and counts: 200,000 bytes are left
    isBroken = false;
    await expect(store.pull({ reference: `${host}/some/app@${digests[2]}` })).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
    });
    expect(downloads()).toEqual([]);
    await store.remove('local');
    await store.pull({ reference: `${host}/some/app@${digests[2]}` });
  });

  it('of one registry waits for none of another one, which may be slow; three of one run at a time', async () => {
    const slow = await serve((request) => request.url!.includes('/blobs/')); // which it never answers
    const other = http.createServer(serveLayout(layout, manifest, () => false));
    try {
      const quick = await listen(other);
      const store = open(slow, quick);
      const controller = new AbortController();
      const asked = (): number => seen.filter((line) => line.includes('/manifests/')).length;
      const pulls = Array.from({ length: 5 }, (_, at) =>
        store
          .pull({ reference: `${slow}/some/app:1`, name: `slow:${at}` }, { signal: controller.signal })
          .catch((error: { readonly code?: string }) => error.code),
      );
      await expect.poll(asked).toBe(3);
      const { names, id } = await store.pull({ reference: `${quick}/some/app:1`, name: 'quick' });
      expect(names).toEqual(['quick:latest']);
      expect(contentOf(store, id).equals(CONTENT)).toBe(true);
      expect(asked()).toBe(3);
      controller.abort();
      expect(await Promise.all(pulls)).toEqual(Array(5).fill('ABORTED'));
      // and nobody has lost a place
      const again = new AbortController();
      const more = Array.from({ length: 4 }, () =>
        store
          .pull({ reference: `${slow}/some/app:1` }, { signal: again.signal })
          .catch((error: { readonly code?: string }) => error.code),
      );
      await expect.poll(asked).toBe(6);
      again.abort();
      await Promise.all(more);
    } finally {
      other.closeAllConnections();
      other.close();
    }
  });

  it('fetches a layer once, however many ask for it at a time, and goes on when the one that fetches it gives up', async () => {
    const answers: (() => void)[] = [];
    let layer = '';
    const host = await serve((request, response) => {
      if (!request.url!.includes('/blobs/')) return false;
      const blob = fs.readFileSync(path.join(layout, 'blobs/sha256', request.url!.split(':')[1]!));
      if (blob.length < 100_000) return false; // the configuration
      layer = request.url!;
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      if (from > 0)
        response.writeHead(206, { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` });
      response.write(blob.subarray(from, from + 100_000));
      answers.push(() => response.end(blob.subarray(from + 100_000)));
      return true;
    });
    const store = open(host);
    const controller = new AbortController();
    const pull = (name: string, signal?: AbortSignal) =>
      store.pull({ reference: `${host}/some/app:1`, name }, signal === undefined ? {} : { signal });
    const first = pull('first', controller.signal);
    first.catch(() => {});
    await expect.poll(() => answers.length).toBe(1);
    const [second, third] = [pull('second'), pull('third')];
    const size = (): number => Math.max(...downloads().map(sizeOf));
    await expect.poll(size).toBeGreaterThan(0);
    controller.abort();
    await expect(first).rejects.toMatchObject({ code: 'ABORTED' });
    await expect.poll(() => answers.length).toBe(2);
    answers[1]!();
    const ids = new Set((await Promise.all([second, third])).map(({ id }) => id));
    expect(ids.size).toBe(1);
    expect(contentOf(store, [...ids][0]!).equals(CONTENT)).toBe(true);
    const ranges = seen.filter((line) => line.endsWith(layer)).map((line) => line.split(' ')[1]);
    expect(ranges).toEqual(['-', expect.stringMatching(/^bytes=\d+-$/)]);
    expect(downloads()).toEqual([]);
  });

  it('has no room that another one counts on', async () => {
    const layers = Array.from({ length: 2 }, () => tar([{ name: 'hello', content: randomBytes(300_000) }]));
    const digests = layers.map((layer) => writeLayout(layout, { layers: [layer] }));
    let goOn = (): void => {};
    const host = await serve((request, response) => {
      if (!request.url!.endsWith(sha256(layers[0]!))) return false;
      goOn = () => response.end(layers[0]);
      return true;
    });
    const store = openStore(path.join(scratch, 'store'), {
      registries: { registries: [host], insecure: [host] },
      maxBytes: 650_000,
    });
    const pull = (at: number) => store.pull({ reference: `${host}/some/app@${digests[at]}`, name: `n${at}` });
    const first = pull(0);
    await expect.poll(() => seen.some((line) => line.endsWith(sha256(layers[0]!)))).toBe(true);
    const other = store.pull({ reference: `${host}/some/app@${digests[1]}`, name: 'other' });
    await other;
    await store.remove('other');
    const crowded = tar([{ name: 'hello', content: randomBytes(400_000) }]);
    const third = writeLayout(layout, { layers: [crowded] });
    await expect(store.pull({ reference: `${host}/some/app@${third}`, name: 'third' })).rejects.toMatchObject(
      { code: 'POOL_EXHAUSTED', message: expect.stringMatching(/of which pulls that run take \d+/) },
    );
    goOn();
    await first;
    await store.remove('n0');
    await store.pull({ reference: `${host}/some/app@${third}`, name: 'third' });
  });

  it('gives what it fetched of a layer up once that is there, unless another pull needs it', async () => {
    const [base, ...tops] = Array.from({ length: 3 }, () =>
      tar([{ name: 'hello', content: randomBytes(100_000) }]),
    );
    const digests = tops.map((top) => writeLayout(layout, { layers: [base!, top, base!] }));
    let goOn = (): void => {};
    const host = await serve((request, response) => {
      if (!request.url!.endsWith(sha256(tops[1]!))) return false;
      goOn = () => response.end(tops[1]);
      return true;
    });
    const at: string[][] = [];
    const store = openStore(path.join(scratch, 'store'), {
      registries: { registries: [host], insecure: [host] },
      failpoints: {
        pass: (name) => void (name === 'image-import.layer' && at.push(downloads().map(shortName))),
        passSync: () => {},
        forProgram: () => undefined,
      },
    });
    const shortName = (name: string): string => name.split('-', 2).join(':');
    const [lower, first, second] = [base!, ...tops].map((layer) => sha256(layer));
    const pull = (at: number) => store.pull({ reference: `${host}/some/app@${digests[at]}`, name: `n${at}` });
    const other = pull(1);
    await expect.poll(() => seen.some((line) => line.endsWith(second!))).toBe(true);
    await pull(0);
    // the lower one is the other pull's, too
    expect(at.map((names) => names.sort())).toEqual([[lower, first].sort(), [lower, first].sort()]);
    expect(downloads().map(shortName)).toEqual([lower]);
    await store.remove('n0');
    at.length = 0;
    goOn();
    await other;
    expect(at.map((names) => names.sort())).toEqual([[lower, second].sort(), [second]]);
    expect(downloads()).toEqual([]);
  });

  it('ends when it is told to, and when nobody is there', async () => {
    const host = await serve((request) => request.url!.includes('/blobs/')); // which it never answers
    const controller = new AbortController();
    const pulling = open(host).pull({ reference: `${host}/some/app:1` }, { signal: controller.signal });
    pulling.catch(() => {});
    while (!seen.some((line) => line.includes('/blobs/'))) await delay(10);
    controller.abort();
    await expect(pulling).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(open('127.0.0.1:1').pull({ reference: '127.0.0.1:1/some/app:1' })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});

const missing = missingTool();
const describeReal = missing === undefined ? describe : describe.skip;

describeReal(`what other tools make${missing === undefined ? '' : ` [needs: ${missing}]`}`, () => {
  it(
    "is imported from skopeo's layouts and archives, and pulled from Debian's docker-registry",
    () =>
      withDockerRegistry(scratch, async (host) => {
        expect((await fetch(`http://${host}/v2/`)).status).toBe(200);
        const [oci, docker] = [path.join(scratch, 'oci'), path.join(scratch, 'docker.tar')];
        const copy = (...words: readonly string[]): void => skopeo(scratch, 'copy', ...words);
        copy(`oci:${layout}`, `oci:${oci}:some/app:2`);
        copy(`oci:${layout}`, `docker-archive:${docker}:some/app:3`);
        copy('--dest-tls-verify=false', `oci:${layout}`, `docker://${host}/some/app:4`);
        copy('--dest-tls-verify=false', '--format', 'v2s2', `oci:${layout}`, `docker://${host}/some/app:5`);
        const store = open(host);
        const found = [
          await store.import({ path: oci }),
          await store.import({ path: docker }),
          await store.pull({ reference: `${host}/some/app:4` }),
          await store.pull({ reference: `${host}/some/app:5` }),
        ];
        expect(found.map(({ layers }) => layers)).toEqual(Array.from({ length: 4 }, () => found[0]!.layers));
        expect((await store.list()).flatMap(({ names }) => names).sort()).toEqual([
          `${host}/some/app:4`,
          `${host}/some/app:5`,
          'docker.io/some/app:3',
          'some/app:2',
        ]);
        expect(contentOf(store, 'docker.io/some/app:3').equals(CONTENT)).toBe(true);
      }),
    120_000,
  );
});
