/**
 * A record that was cut or has changed, at every byte: the daemon starts, serves the others, and the
 * container is whole or set aside.
 */
import fs from 'node:fs';
import path from 'node:path';
import { silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestHost } from '../test/host.ts';
import { type Core, setAside } from './index.ts';
import { RECORD_FILE } from './record.ts';

/** Every one of them by `npm run faults`; here one of some, so that all are met in time. */
const STRIDE = process.env.WARDEN_TEST_FAULTS ? 1 : 7;

let host: TestHost;
let core: Core;
let directory: string;
let address: string;
let good: Buffer;

beforeEach(async () => {
  host = new TestHost({ program: async ({ killed }) => ({ signal: await killed }) });
  core = await host.start();
  const warden = core.openSession();
  await warden.create({ handle: 'other' });
  const box = await warden.create({ handle: 'box' });
  await box.netIn({ containerPort: 80 });
  await box.netOut({ network: '10.0.0.0/8', port: 53, protocol: 'udp' });
  await box.limitMemory(64n * 1024n * 1024n);
  const { containerPath = '', containerIp = '' } = await box.info();
  [directory, address] = [containerPath, containerIp];
  await core.close();
  good = fs.readFileSync(path.join(directory, RECORD_FILE));
});
afterEach(async () => {
  await core.close();
  host.remove();
});

/** Starts on a record. Answers whether the container was taken over. */
async function starts(record: Uint8Array): Promise<boolean> {
  fs.writeFileSync(path.join(directory, RECORD_FILE), record);
  core = await host.start();
  const warden = core.openSession();
  const list = [...(await warden.list())].sort();
  const aside = setAside(host.depot);
  const isTaken = list.length === 2;
  if (isTaken) {
    expect({ list, aside }).toEqual({ list: ['box', 'other'], aside: [] });
    expect((await warden.container('box').info()).containerIp).toBe(address);
  } else {
    expect({ list, reasons: aside.length }).toEqual({ list: ['other'], reasons: 1 });
    expect(aside[0]!.reason).toMatch(/record|JSON|version/);
  }
  // whoever is set aside keeps its address
  const fresh = await warden.create();
  expect((await fresh.info()).containerIp).not.toBe(address);
  await fresh.destroy();
  await core.close();
  const [set] = aside;
  if (set) {
    fs.rmSync(path.join(set.directory, 'quarantine.json'));
    fs.renameSync(set.directory, directory);
  }
  return isTaken;
}

describe('a start on a record', () => {
  it('cut at every byte sets its container aside, alive, and only the whole one is taken over [behaviour 9] [behaviour 10]', async () => {
    for (let length = 0; length < good.length; length += STRIDE)
      expect(await starts(good.subarray(0, length)), `cut at ${length} of ${good.length}`).toBe(false);
    expect(await starts(good)).toBe(true);
  }, 120_000);

  it('with a bit changed in any byte takes it over as it was, or sets it aside [behaviour 9] [behaviour 10]', async () => {
    let aside = 0;
    for (let at = 0; at < good.length; at += STRIDE) {
      const changed = Buffer.from(good);
      changed[at] = changed[at]! ^ (1 << (at % 8));
      if (!(await starts(changed))) aside += 1;
    }
    // what is left over is in the name of the checksum itself
    expect(aside).toBeGreaterThan(Math.ceil(good.length / STRIDE) - 20);
    const init = await host.inits({ logger: silentLogger }).connect(directory);
    expect(init, 'its init, after all of it').toBeDefined();
    init?.disconnect();
  }, 120_000);

  it('of which half was written beside the good one takes the good one', async () => {
    for (const length of [0, 1, good.length >> 1, good.length]) {
      fs.writeFileSync(path.join(directory, `${RECORD_FILE}.new`), good.subarray(0, length));
      expect(await starts(good)).toBe(true);
    }
  });
});
