/**
 * Programs of the daemon's own that are not there: said at the start or by the request, and all goes on once
 * they are.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, makePlace, startDaemon, WARDEND } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { withBench } from './place-suite.ts';

const BINARIES =
  process.env.WARDEN_WSHD_DIRECTORY ?? path.resolve(WARDEND, `../../../wshd/prebuilt/linux-${process.arch}`);

describeWith(['root', 'isolated', 'overlayfs'], 'a program that is missing', () => {
  it('at the start: the daemon does not start, and names it', async () => {
    const place = await makePlace();
    try {
      const empty = path.join(place.directory, 'empty');
      fs.mkdirSync(empty);
      await expect(startDaemon({ place, environment: { WARDEN_WSHD_DIRECTORY: empty } })).rejects.toThrow(
        /wshd/,
      );
    } finally {
      await place.remove();
    }
  });

  it.each(['wshd', 'warden-copy'])(
    '%s, later: the request fails and names it, others go on, and it works once it is back',
    (name) =>
      withBench({}, async (bench) => {
        const copies = path.join(bench.place.directory, 'binaries');
        fs.cpSync(BINARIES, copies, { recursive: true });
        const daemon = await bench.restart({ environment: { WARDEN_WSHD_DIRECTORY: copies } });
        const warden = await daemon.connect();
        const box = await warden.create({ handle: 'box' });
        const source = path.join(bench.place.directory, 'source');
        fs.writeFileSync(source, 'content');
        const places = [path.join(copies, name), path.join(bench.place.depot, '.skeleton/bin', name)].filter(
          (file) => fs.existsSync(file),
        );
        for (const file of places) fs.renameSync(file, `${file}.away`);
        const attempt = (): Promise<unknown> =>
          name === 'wshd' ? warden.create({ handle: 'late' }) : box.copyIn(source, '/tmp/copied');
        await expect(attempt()).rejects.toThrow(new RegExp(name));
        expect((await box.run('exit 4')).exitStatus).toBe(4);
        expect(await warden.list()).toEqual(['box']);
        for (const file of places) fs.renameSync(`${file}.away`, file);
        await attempt();
      }),
  );
});
