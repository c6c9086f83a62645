/**
 * Images pulled over TLS by the whole daemon and its command line, from a registry on loopback with an
 * authority of the test's own.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import {
  DEFAULT_ROOTFS,
  describeWith,
  makePlace,
  patience,
  startDaemon,
  type TestPlace,
  WARDEND,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeAuthority } from '../../../packages/images/test/certificates.ts';
import { gzip, writeLayout } from '../../../packages/images/test/image-files.ts';
import { text } from './text.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../../packages/cli/bin/warden.js');
const HOST = '127.0.0.1:5443';
/** Serves the blobs of a layout, its manifest as `some/app:1`; prints each request that it gets. */
const REGISTRY = `
import fs from 'node:fs'; import https from 'node:https'; import path from 'node:path';
const [layout, manifest, cert, key] = process.argv.slice(1);
https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, ({ url }, answer) => {
  console.log(url);
  const [, name = ''] = /^\\/v2\\/some\\/app\\/(?:manifests|blobs)\\/(.+)$/.exec(url) ?? [];
  const file = path.join(layout, 'blobs/sha256', (name === '1' ? manifest : name).slice(7));
  if (name !== '' && fs.existsSync(file)) answer.end(fs.readFileSync(file)); else answer.writeHead(404).end();
}).listen(5443, '127.0.0.1', () => console.log('ready'));
`;

describeWith(['root', 'isolated', 'overlayfs'], 'a pull over TLS', () => {
  let place: TestPlace;
  let daemon: Awaited<ReturnType<typeof startDaemon>> | undefined;
  let registry: ChildProcess;
  let asked = '';
  const file = (name: string): string => path.join(place.directory, name);
  const start = async (certificates: string): Promise<void> => {
    await daemon?.stop();
    const config = { images: { registries: [HOST], certificates: file(certificates) } };
    daemon = await startDaemon({ place, config });
  };
  beforeAll(async () => {
    place = await makePlace();
    const authority = makeAuthority('an authority of the test');
    const { cert, key } = authority.issue(['127.0.0.1']);
    const pem = { 'known.pem': authority.cert, 'other.pem': makeAuthority('another').cert };
    for (const [name, content] of Object.entries({ ...pem, 'server.crt': cert, 'server.key': key }))
      fs.writeFileSync(file(name), content);
    const packed = spawnSync('tar', ['--numeric-owner', '-C', DEFAULT_ROOTFS, '-c', '.'], {
      maxBuffer: 1 << 28,
    });
    expect(packed.status).toBe(0);
    const manifest = writeLayout(file('layout'), { layers: [packed.stdout], compress: gzip });
    const words = [process.execPath, '--input-type=module', '-e', REGISTRY];
    const [program, ...args] = place.network.host.enter([
      ...words,
      ...[file('layout'), manifest, file('server.crt'), file('server.key')],
    ]);
    registry = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    registry.stdout!.on('data', (bytes: Buffer) => {
      asked += bytes.toString();
    });
    await once(registry.stdout!, 'data');
  }, 60_000);
  afterAll(async () => {
    registry.kill('SIGKILL');
    await daemon?.stop();
    await daemon?.kill();
    await place.remove();
  });
  const warden = (...words: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [PROGRAM, ...words], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, WARDEN_SOCKET: place.socket },
    });

  it('is refused for an authority that nobody named, with what to do, and nothing is fetched without TLS', async () => {
    await start('other.pem');
    const { status, stdout, stderr } = warden('image', 'pull', `${HOST}/some/app:1`);
    expect([status, stdout]).toEqual([125, '']);
    expect(stderr).toMatch(
      /its certificate is of an authority that is not known here .*images\.certificates/,
    );
    expect(await (await daemon!.connect()).images.list()).toEqual([]);
    expect(asked).toBe('ready\n');
  }, 60_000);

  it('fetches what a container then stands on, by the authority that the operator named', async () => {
    await start('known.pem');
    const pulled = warden('image', 'pull', `${HOST}/some/app:1`, '--name', 'app');
    expect([pulled.status, pulled.stdout, pulled.stderr]).toEqual([0, 'app:latest\n', expect.any(String)]);
    await expect.poll(() => asked, { timeout: patience(10_000) }).toContain('/v2/some/app/manifests/1');
    const client = await daemon!.connect();
    await using box = await client.create({ image: 'app' });
    expect(text((await box.run('echo of an image')).stdout)).toBe('of an image\n');
    await box.destroy();
    await client.images.remove('app');
  }, 60_000);

  it('is prepared by no file that holds no authority: the configuration is refused, and says why', () => {
    fs.writeFileSync(file('empty.pem'), 'nothing\n');
    fs.writeFileSync(file('damaged.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    const check = (name: string): [number | null, string] => {
      const words = [WARDEND, 'config', 'check', '--config', file('wardend.yml')];
      const { status, stderr } = spawnSync(
        process.execPath,
        [...words, '--set', `images.certificates=${file(name)}`],
        { encoding: 'utf8' },
      );
      return [status, stderr];
    };
    expect(check('known.pem')[0]).toBe(0);
    expect(check('empty.pem')).toEqual([
      2,
      expect.stringMatching(/images\.certificates: .*holds no certificate in PEM form/),
    ]);
    expect(check('damaged.pem')).toEqual([
      2,
      expect.stringMatching(/images\.certificates: a certificate in .* is damaged/),
    ]);
    expect(check('absent.pem')).toEqual([2, expect.stringMatching(/images\.certificates: ENOENT/)]);
  });
});
