/**
 * Pulls over TLS from registries on loopback, with authorities of the test's own: what is believed, and that
 * nothing else ever is.
 */
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { type ImageProgress, type ImageStore, isWardenError } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Certificate, makeAuthority } from '../test/certificates.ts';
import { gzip, tar, writeLayout } from '../test/image-files.ts';
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

const authority = makeAuthority('an authority of the test');
const stranger = makeAuthority('somebody else');

let scratch: string;
let layout: string;
let manifest: string;
let servers: (http.Server | https.Server)[];
let seen: string[];

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-tls-'));
  layout = path.join(scratch, 'layout');
  manifest = writeLayout(layout, { layers: [tar([{ name: 'hello', content: 'over TLS' }])], compress: gzip });
  servers = [];
  seen = [];
});
afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  fs.rmSync(scratch, { recursive: true, force: true });
});

/** A registry that has `some/app:1`; without a certificate it speaks plain HTTP. Answers host and port. */
function serve(certificate: Certificate | undefined, before: Handler = () => false): Promise<string> {
  const scheme = certificate === undefined ? 'http' : 'https';
  const answer = serveLayout(layout, manifest, (request, response) => {
    seen.push(`${scheme} ${request.headers.authorization ?? '-'} ${request.url}`);
    return before(request, response);
  });
  const server =
    certificate === undefined ? http.createServer(answer) : https.createServer(certificate, answer);
  server.on('tlsClientError', () => {});
  servers.push(server);
  return listen(server);
}

interface Trust {
  readonly authorities?: string;
  readonly insecure?: readonly string[];
}

function open(registries: readonly string[], { authorities, insecure = [] }: Trust = {}): ImageStore {
  return openStore(path.join(scratch, 'store'), { registries: { registries, insecure, authorities } });
}

const KNOWN: Trust = { authorities: authority.cert };

/** What a pull failed with; every attempt of it. */
async function refusal(store: ImageStore, host: string): Promise<string> {
  try {
    await store.pull({ reference: `${host}/some/app:1` });
  } catch (error) {
    expect(isWardenError(error, 'UNAVAILABLE'), String(error)).toBe(true);
    expect(await store.list()).toEqual([]);
    return (error as Error).message;
  }
  throw new Error('it was pulled');
}

describe.runIf(isRoot)('a pull over TLS [needs: root]', () => {
  it('believes an authority that the operator names, for the registry, its token service and where it redirects to', async () => {
    const certificate = authority.issue(['127.0.0.1', 'localhost']);
    const host = await serve(certificate, (request, response) => {
      const { authorization, host: asked = '' } = request.headers;
      const port = asked.split(':')[1];
      if (request.url!.startsWith('/token')) response.end('{"token":"abc"}');
      else if (asked.startsWith('localhost')) return false;
      else if (authorization !== 'Bearer abc')
        response
          .writeHead(401, { 'www-authenticate': `Bearer realm="https://${asked}/token",service="reg"` })
          .end();
      else if (request.url!.includes('/blobs/'))
        response.writeHead(307, { location: `https://localhost:${port}${request.url}` }).end();
      else return false;
      return true;
    });
    const store = open([host, host.replace('127.0.0.1', 'localhost')], KNOWN);
    const steps: ImageProgress[] = [];
    const info = await store.pull(
      { reference: `${host}/some/app:1` },
      { onProgress: (one) => steps.push(one) },
    );
    expect(contentOf(store, info.id).toString()).toBe('over TLS');
    expect(steps.some(({ step, done, total }) => step === 'download' && done === total)).toBe(true);
    expect(seen.every((line) => line.startsWith('https '))).toBe(true);
    // the token went to the registry alone
    expect(seen.filter((line) => line.includes('Bearer') && line.includes('/blobs/'))).not.toEqual([]);
  });

  it('refuses a certificate of an unknown authority, says what to do, and has asked nothing', async () => {
    const host = await serve(authority.issue(['127.0.0.1']));
    for (const trust of [{}, { authorities: stranger.cert }])
      expect(await refusal(open([host], trust), host)).toMatch(
        /^cannot fetch from 127\.0\.0\.1:\d+: its certificate is of an authority that is not known here \([A-Z_]+\); put .* images\.certificates names$/,
      );
    expect(seen).toEqual([]);
  });

  it('refuses one that is over, and one for another name', async () => {
    const [old, other] = [
      await serve(authority.issue(['127.0.0.1'], -1)),
      await serve(authority.issue(['elsewhere.example', '127.0.0.2'])),
    ];
    const store = open([old, other], KNOWN);
    expect(await refusal(store, old)).toMatch(
      /not valid at this time \(CERT_HAS_EXPIRED\); look at the clock/,
    );
    expect(await refusal(store, other)).toMatch(/for another name .*127\.0\.0\.2/);
    expect(seen).toEqual([]);
  });

  it('never falls back to plain HTTP, at the registry, its token service or a redirect', async () => {
    const plain = await serve(undefined);
    expect(await refusal(open([plain], KNOWN), plain)).toMatch(
      new RegExp(
        `does not speak TLS as it should .*; if it is to be spoken to without, name ${plain} in images\\.insecure_registries$`,
      ),
    );
    expect(seen).toEqual([]);
    const certificate = authority.issue(['127.0.0.1']);
    const leading = await serve(certificate, (request, response) => {
      if (!request.url!.includes('/blobs/')) return false;
      response.writeHead(307, { location: `http://${plain}${request.url}` }).end();
      return true;
    });
    // even where the operator lets the other be spoken to without TLS
    expect(await refusal(open([leading, plain], { ...KNOWN, insecure: [plain] }), leading)).toMatch(
      /redirects to a connection without TLS/,
    );
    expect(seen.filter((line) => line.startsWith('http '))).toEqual([]);
    const asking = await serve(certificate, (_request, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${plain}/token"` }).end();
      return true;
    });
    await expect(
      open([asking, plain], KNOWN).pull({
        reference: `${asking}/some/app:1`,
        user: 'me',
        password: 'secret',
      }),
    ).rejects.toMatchObject({ code: 'FORBIDDEN', message: expect.stringContaining('without TLS') });
    expect(seen.filter((line) => line.startsWith('http '))).toEqual([]);
    // a token service that the operator lets be spoken to without TLS is not one for passwords of a registry with it
    await expect(
      open([asking, plain], { ...KNOWN, insecure: [plain] }).pull({
        reference: `${asking}/some/app:1`,
        user: 'me',
        password: 'secret',
      }),
    ).rejects.toMatchObject({ code: 'FORBIDDEN', message: expect.stringContaining('password sent to') });
    expect(seen.filter((line) => line.startsWith('http '))).toEqual([]);
  });
});

const missing = missingTool();
const describeReal = missing === undefined ? describe : describe.skip;

describeReal(
  `Debian's docker-registry over TLS${missing === undefined ? '' : ` [needs: ${missing}]`}`,
  () => {
    it('is pushed to by skopeo and pulled from', async () => {
      const { cert, key } = authority.issue(['127.0.0.1']);
      const file = (name: string, content: string): string => {
        fs.writeFileSync(path.join(scratch, name), content);
        return path.join(scratch, name);
      };
      const [certificate, privateKey] = [file('server.crt', cert), file('server.key', key)];
      const trusted = path.join(scratch, 'trusted');
      fs.mkdirSync(trusted);
      file('trusted/ca.crt', authority.cert);
      const pushAndPull = async (host: string): Promise<void> => {
        skopeo(scratch, 'copy', '--dest-cert-dir', trusted, `oci:${layout}`, `docker://${host}/some/app:6`);
        expect(await refusal(open([host]), host)).toContain('images.certificates');
        const store = open([host], KNOWN);
        const { id } = await store.pull({ reference: `${host}/some/app:6` });
        expect(contentOf(store, id).toString()).toBe('over TLS');
      };
      const tls = `, tls: { certificate: ${certificate}, key: ${privateKey} }`;
      await withDockerRegistry(scratch, pushAndPull, tls);
    }, 120_000);
  },
);
