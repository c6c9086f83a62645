/** What was told as refused is on no disk: a record whose name could not be made to last has its place already. */
import fs from 'node:fs';
import path from 'node:path';
import type { Container, Warden } from '@warden/interface';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { TestHost } from '../test/host.ts';
import type { Core } from './index.ts';
import { parseRecord, RECORD_FILE } from './record.ts';

let host: TestHost;
let core: Core;
let warden: Warden;
beforeEach(async () => {
  host = new TestHost({ program: async ({ killed }) => ({ signal: await killed }) });
  core = await host.start({ durable: true });
  warden = core.openSession();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await core.close();
  host.remove();
});

/** The directory of a container cannot be written to the disk, once. */
function failOnce(): void {
  vi.spyOn(fs, 'fsyncSync').mockImplementationOnce(() => {
    throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO', syscall: 'fsync' });
  });
}

const CHANGES: readonly [string, (box: Container) => Promise<unknown>][] = [
  ['properties', (box) => box.setProperties({ name: 'value' })],
  ['a port', (box) => box.netIn()],
  ['a rule', (box) => box.netOut({ network: '10.1.0.0/16' })],
  ['a limit of memory', (box) => box.limitMemory(64n << 20n)],
  ['a pause', (box) => box.pause()],
];

it.each(CHANGES)('%s', async (_what, change) => {
  const box = await warden.create({ handle: 'box' });
  const { containerPath } = await box.info();
  const read = (): unknown => ({
    ...parseRecord(fs.readFileSync(path.join(String(containerPath), RECORD_FILE), 'utf8')),
    outOfMemoryKills: undefined, // told by the kernel, and of no change
  });
  const before = read();
  failOnce();
  await expect(change(box)).rejects.toMatchObject({
    code: 'NATIVE_FAILED',
    fields: { operation: 'write record', errno: 'EIO' },
  });
  expect(read()).toEqual(before);
  await change(box);
  expect(read()).not.toEqual(before);
});

it('a container', async () => {
  for (let writes = 0; writes < 2; writes++) {
    const spy = vi.spyOn(fs, 'fsyncSync');
    for (let at = 0; at < writes; at++) spy.mockImplementationOnce(() => {});
    failOnce();
    await expect(warden.create({ handle: 'box' })).rejects.toMatchObject({ fields: { errno: 'EIO' } });
    vi.restoreAllMocks();
    expect(await warden.list()).toEqual([]);
    expect(fs.readdirSync(host.depot).filter((name) => !name.startsWith('.'))).toEqual([]);
  }
  await warden.create({ handle: 'box' });
});
