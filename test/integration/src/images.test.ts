/** Containers made from images: imported, shared, snapshotted, and still there when the daemon was killed. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ClientContainer, WardenClient } from '@warden/client';
import {
  archiveImage,
  DEFAULT_ROOTFS,
  describeWith,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  withDaemon,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { text } from './text.ts';

const VCAP = 4_321;

async function out(box: ClientContainer, script: string, privileged = false): Promise<string> {
  const { exitStatus, stdout, stderr } = await box.run(script, { privileged });
  expect([exitStatus, text(stderr)], script).toEqual([0, '']);
  return text(stdout);
}

/**
 * The root file system of all tests, and upon it a layer with files of an account of its own, of which it
 * deletes some.
 */
function writeImage(place: TestPlace, name = 'base.tar'): string {
  const layer = fs.mkdtempSync(path.join(place.directory, 'layer-'));
  fs.chmodSync(layer, 0o755);
  fs.mkdirSync(path.join(layer, 'etc'));
  fs.mkdirSync(path.join(layer, 'home/vcap'), { recursive: true });
  fs.writeFileSync(
    path.join(layer, 'etc/passwd'),
    `root:x:0:0:root:/root:/bin/bash\nvcap:x:${VCAP}:${VCAP}::/home/vcap:/bin/bash\n`,
  );
  fs.writeFileSync(path.join(layer, 'etc/group'), `root:x:0:\ntty:x:5:\nvcap:x:${VCAP}:\n`);
  fs.writeFileSync(path.join(layer, 'home/vcap/own'), 'mine\n', { mode: 0o600 });
  for (const own of ['home/vcap', 'home/vcap/own']) fs.chownSync(path.join(layer, own), VCAP, VCAP);
  fs.writeFileSync(path.join(layer, 'root-only'), 'secret\n', { mode: 0o600 });
  fs.writeFileSync(path.join(layer, 'etc/.wh.profile'), '');
  const file = path.join(place.directory, name);
  archiveImage(file, 'test/base:1', DEFAULT_ROOTFS, layer);
  fs.rmSync(layer, { recursive: true });
  return file;
}

describeWith(['root', 'isolated', 'overlayfs'], 'containers of images', () => {
  const suite = withDaemon();
  let warden: WardenClient;
  beforeAll(async () => {
    warden = await suite.daemon.connect();
    await warden.images.import({ path: writeImage(suite.daemon.place) });
  });
  afterAll(async () => {
    for (const { id } of await warden.images.list()) await warden.images.remove(id);
    expect(await warden.images.list()).toEqual([]);
  });

  it('has the layers one upon the other, and each file is whose it is in the image', async () => {
    await using box = await warden.create({ image: 'test/base:1' });
    expect(
      await out(
        box,
        'stat -c "%U %u %a" /bin/bash /root-only /; test ! -e /etc/profile && echo gone; cat /home/vcap/own',
        true,
      ),
    ).toMatch(/^root 0 755\nroot 0 600\nroot 0 755\ngone\nmine\n$/);
    // the account of jobs has another number here: its files have it, too
    expect(await out(box, 'stat -c %u /home/vcap/own; id -u; cat ~/own; id -un')).toMatch(
      /^(\d+)\n\1\nmine\nvcap\n$/,
    );
    expect((await box.run('cat /root-only')).exitStatus).not.toBe(0);
    // nothing was copied for it
    const layer = path.join((await box.info()).containerPath!, 'tmp/rootfs');
    expect(fs.readdirSync(layer).sort()).not.toContain('bin');
    expect(await out(box, 'echo changed > /root-only && cat /root-only', true)).toBe('changed\n');
    await using other = await warden.create({ image: 'test/base:1' });
    expect(await out(other, 'cat /root-only', true)).toBe('secret\n');
  });

  it('may have a layer twice, as builders repeat the empty one', async () => {
    const { directory } = suite.daemon.place;
    const [empty, file] = [path.join(directory, 'empty'), path.join(directory, 'twice.tar')];
    const middle = path.join(directory, 'middle');
    for (const one of [empty, middle]) fs.mkdirSync(one, { mode: 0o755 });
    fs.writeFileSync(path.join(middle, 'made'), 'here\n');
    archiveImage(file, 'test/twice:1', DEFAULT_ROOTFS, empty, middle, empty);
    const { layers } = await warden.images.import({ path: file });
    expect([layers.length, new Set(layers).size]).toEqual([4, 3]);
    const box = await warden.create({ image: 'test/twice:1' });
    expect(await out(box, 'cat /made')).toBe('here\n');
    const fork = await warden.images.snapshot(box.handle, 'test/twice:2');
    expect(fork.layers.length).toBe(5);
    await box.destroy();
    await using upon = await warden.create({ image: 'test/twice:2' });
    expect(await out(upon, 'cat /made')).toBe('here\n');
  });

  it('is not removed while a container has it', async () => {
    const [image] = await warden.images.list();
    const box = await warden.create({ image: image!.id, handle: 'user' });
    await expect(warden.images.remove('test/base:1')).rejects.toMatchObject({
      code: 'BAD_STATE',
      message: 'the image test/base:1 is used by 1 container: user; destroy them first',
    });
    expect((await warden.images.list())[0]).toMatchObject({ names: ['test/base:1'], usedBy: ['user'] });
    await box.destroy();
    expect((await warden.images.list())[0]).toMatchObject({ usedBy: [] });
  });

  it('refuses what is none, and leaves no trace of a container that could not be made', async () => {
    await expect(warden.create({ image: 'absent' })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: 'image absent not found',
    });
    await expect(warden.create({ image: 'test/base:1', rootfs: DEFAULT_ROOTFS })).rejects.toMatchObject({
      code: 'INVALID_SPEC',
    });
    await expect(
      warden.create({ image: 'test/base:1', bindMounts: [{ source: '/absent', target: '/x', mode: 'ro' }] }),
    ).rejects.toThrow();
    await expect(warden.create({ image: 'test/base:1', network: '1.2.3.4' })).rejects.toThrow();
    await expect(warden.images.import({ path: 'relative' })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    await expect(warden.images.pull({ reference: 'registry.example/x' })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    expect((await warden.images.list())[0]).toMatchObject({ usedBy: [] });
  });

  it('becomes none when whoever asked gives up: it goes on, and nothing is left', async () => {
    await using box = await warden.create({ image: 'test/base:1' });
    await out(box, 'dd if=/dev/zero of=/tmp/large bs=1M count=300 status=none');
    const images = path.join(suite.daemon.place.depot, '.images');
    const staged = (): number => fs.readdirSync(path.join(images, 'staging')).length;
    const layers = fs.readdirSync(path.join(images, 'layers'));
    const controller = new AbortController();
    const snapshot = warden.images.snapshot(box.handle, 'never:1', { signal: controller.signal });
    snapshot.catch(() => {});
    await expect.poll(staged, { interval: 1 }).toBe(1);
    controller.abort();
    await expect(snapshot).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await out(box, 'echo alive')).toBe('alive\n');
    await expect.poll(staged).toBe(0);
    expect(fs.readdirSync(path.join(images, 'layers'))).toEqual(layers);
    await expect(warden.create({ image: 'never:1' })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
  });

  it('becomes an image with what a container has changed, which goes on; and that image another', async () => {
    const box = await warden.create({ image: 'test/base:1' });
    const ticking = await box.spawn('while :; do echo tick; sleep 0.05; done', { discardOutput: true });
    await out(
      box,
      'rm /root-only; echo of-root > /made; mkdir -p /dir/deep; ln -s deep /dir/link; ln /made /dir/hard; echo x > /etc/new; chmod 4755 /made',
      true,
    );
    await out(box, 'echo of-user > ~/made; rm ~/own');
    const image = await warden.images.snapshot(box.handle, 'fork:1');
    expect(image).toMatchObject({ names: ['fork:1'] });
    expect(image.layers.length).toBe(3);
    expect(await out(box, 'echo alive')).toBe('alive\n');
    await ticking.kill();
    const look =
      'cat /made ~/made; stat -c "%u %a" /made; stat -c %u ~/made; id -u; readlink /dir/link; test /made -ef /dir/hard && echo same; ls /root-only ~/own 2>&1 | grep -c "No such"';
    const seen = /^of-root\nof-user\n0 4755\n(\d+)\n\1\ndeep\nsame\n2\n$/;
    await using fork = await warden.create({ image: 'fork:1' });
    expect(await out(fork, look)).toMatch(seen);
    await out(fork, 'echo second > ~/second');
    await warden.images.snapshot(fork.handle, 'fork:2');
    // the base of a fork stays as long as somebody has it
    await box.destroy();
    await warden.images.remove('test/base:1');
    await using third = await warden.create({ image: 'fork:2' });
    expect(await out(third, `${look}; cat ~/second; stat -c %u ~/second; id -u`)).toMatch(
      /^of-root[\s\S]*second\n(\d+)\n\1\n$/,
    );
    await using plain = await warden.create();
    await expect(warden.images.snapshot(plain.handle, 'x')).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    await expect(warden.images.snapshot('absent', 'x')).rejects.toMatchObject({ code: 'UNKNOWN_HANDLE' });
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'images and a daemon that is killed', () => {
  let daemon: TestDaemon | undefined;
  afterAll(async () => {
    await daemon?.kill();
    await daemon?.place.remove();
  });

  it('belong to one daemon: a second one does not start, nor touch what the first has', async () => {
    const images = fs.mkdtempSync('/tmp/warden-images-');
    const config = { images: { path: images } };
    const first = await startDaemon({ config });
    try {
      const warden = await first.connect();
      await warden.images.import({ path: writeImage(first.place), name: 'shared' });
      const box = await warden.create({ image: 'shared' });
      await expect(startDaemon({ config })).rejects.toThrow(/images\.path/);
      expect((await warden.images.list())[0]!.usedBy.length).toBe(1);
      await box.destroy();
      await first.kill();
      const next = await startDaemon({ place: first.place, config });
      const again = await next.connect();
      await again.images.remove('shared');
      await next.stop();
    } finally {
      await first.kill();
      await first.place.remove();
      fs.rmSync(images, { recursive: true });
    }
  });

  it('are there again, with those who use them', async () => {
    daemon = await startDaemon();
    let warden = await daemon.connect();
    await warden.images.import({ path: writeImage(daemon.place), name: 'kept' });
    const box = await warden.create({ image: 'kept', handle: 'box' });
    const job = await box.spawn('sleep 1; cat ~/own');
    await daemon.kill();
    daemon = await startDaemon({ place: daemon.place });
    warden = await daemon.connect();
    expect(text((await warden.container('box').job(job.id).link()).stdout)).toBe('mine\n');
    await expect(warden.images.remove('kept')).rejects.toMatchObject({ code: 'BAD_STATE' });
    await warden.container('box').destroy();
    expect((await warden.images.remove('kept')).bytes).toBeGreaterThan(1_000_000);
    await daemon.stop();
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'images that lie outside the depot', () => {
  // as the operator writes it: a link is on the way
  const elsewhere = path.join(os.tmpdir(), `warden-images-elsewhere-${process.pid}`);
  const store = path.join(elsewhere, 'link/store');
  beforeAll(() => {
    fs.mkdirSync(elsewhere, { mode: 0o700 });
    fs.mkdirSync(path.join(elsewhere, 'disk'));
    fs.symlinkSync('disk', path.join(elsewhere, 'link'));
  });
  const suite = withDaemon({ config: { images: { path: store } } });
  afterAll(() => fs.rmSync(elsewhere, { recursive: true }));

  it('are no target of copies, before and after there are any [SECURITY F21]', async () => {
    const warden = await suite.daemon.connect();
    const refuses = async (box: ClientContainer, ...targets: readonly string[]): Promise<void> => {
      for (const target of targets)
        await expect(box.copyOut('/etc/hostname', target), target).rejects.toMatchObject({
          code: 'INVALID_SPEC',
          fields: { errno: 'EPERM' },
        });
    };
    await using box = await warden.create();
    await refuses(box, `${store}/`);
    await warden.images.import({ path: writeImage(suite.daemon.place), name: 'one' });
    await using other = await warden.create({ image: 'one' });
    const [layer] = fs.readdirSync(path.join(store, 'layers'));
    const tree = path.join(store, 'layers', layer!, 'fs');
    await refuses(other, `${tree}/planted`, `${tree}/`, path.join(elsewhere, 'disk/store/planted'));
    expect(await out(other, 'ls /', true)).not.toContain('planted');
    await box.copyOut('/etc/hostname', path.join(elsewhere, 'beside'));
    await other.destroy();
    await warden.images.remove('one');
  });
});
