import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { noFilesystem } from './none.ts';

const driver = noFilesystem()({ logger: silentLogger });
let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-none-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

describe('the file-system driver none [drivers 0 No-op variant]', () => {
  const specOf = () => ({ id: '0123456789a', directory, base: '/nonexistent' });

  it('mounts nothing and looks at no base', async () => {
    expect(await driver.probe(directory)).toEqual({ ok: true });
    const state = driver.plan(specOf());
    await driver.prepare(specOf(), state);
    expect(driver.mounts(specOf(), state)).toEqual([]);
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it('removes what jobs wrote and keeps the rest, any number of times', async () => {
    for (const name of ['root/a/b', 'pids', 'tmp', 'jobs/1', 'run'])
      fs.mkdirSync(path.join(directory, name), { recursive: true });
    fs.writeFileSync(path.join(directory, 'root/a/file'), '');
    fs.writeFileSync(path.join(directory, 'snapshot.json'), '{}');
    fs.symlinkSync('/', path.join(directory, 'root/link'));
    for (let time = 0; time < 2; time++) await driver.release(specOf(), {});
    expect(fs.readdirSync(directory).sort()).toEqual(['run', 'snapshot.json']);
    expect(fs.existsSync('/etc')).toBe(true);
  });

  it('names what it cannot remove', async () => {
    fs.writeFileSync(path.join(directory, 'file'), '');
    const below = { ...specOf(), directory: path.join(directory, 'file') };
    await expect(driver.release(below, {})).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { operation: 'release root', object: path.join(directory, 'file/root'), errno: 'ENOTDIR' },
    });
  });
});
