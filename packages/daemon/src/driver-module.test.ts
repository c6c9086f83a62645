import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '@warden/interface';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkConfiguration, loadConfiguration } from './config.ts';
import { isModule, loadDriver } from './driver-module.ts';
import { selectDrivers } from './select-drivers.ts';

let directory: string;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-module-'));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

function write(name: string, text: string): string {
  const file = path.join(directory, name);
  fs.writeFileSync(file, text);
  return file;
}

describe('a value of drivers.*', () => {
  it.each(['/a/b.js', './b.js', '../b.js', 'warden-driver-copy', '@me/copy'])('%s is a module', (value) => {
    expect(isModule(value)).toBe(true);
  });
  it.each(['auto', 'overlayfs'])('%s is a driver of warden', (value) => {
    expect(isModule(value)).toBe(false);
    expect(checkConfiguration({ drivers: { filesystem: value } }).drivers.filesystem).toBe(value);
  });
  it.each(['overlaysfs', '', '.', '/', 'a b-c', '-x', 'https://x/y'])('%j is refused', (value) => {
    expect(isModule(value)).toBe(false);
    expect(() => checkConfiguration({ drivers: { filesystem: value } })).toThrow(
      /drivers\.filesystem: expected one of .* or the name of a package/,
    );
  });
  it('counts a relative path from the configuration file', () => {
    const file = write('wardend.yml', 'drivers: {filesystem: ./copy.js}');
    expect(loadConfiguration(file).drivers.filesystem).toBe(path.join(directory, 'copy.js'));
  });
});

describe('a module that makes no driver', () => {
  it.each([
    ['cannot be imported', undefined],
    ['has no function as its default export', 'export const driver = 1'],
    ['refuses to be made without options: no', 'export default () => { throw new Error("no") }'],
    ['makes no factory', 'export default () => ({})'],
    ['makes a driver of the role quota, not filesystem', 'export default () => () => ({ role: "quota" })'],
    ['makes a driver without supports, name', 'export default () => () => ({ role: "filesystem" })'],
  ])('%s', async (text, source) => {
    const file =
      source === undefined ? '/nonexistent/driver.mjs' : write(`${text.replaceAll(/\W/g, '-')}.mjs`, source);
    await expect(
      loadDriver('filesystem', file).then((factory) => factory({ logger: silentLogger })),
    ).rejects.toMatchObject({ code: 'INVALID_SPEC', message: expect.stringContaining(`${file} ${text}`) });
  });
});

describe('a package that is nowhere', () => {
  it('is told with the directory it was looked for in', async () => {
    await expect(loadDriver('filesystem', 'warden-driver-nowhere')).rejects.toMatchObject({
      code: 'INVALID_SPEC',
      message: `drivers.filesystem: warden-driver-nowhere is not installed in ${process.cwd()}, where the daemon was started, nor beside the daemon; a path is another way to name it`,
    });
  });
});

describe('a driver given by the assembler', () => {
  it('stands in the place of the configured one', async () => {
    const configuration = checkConfiguration({
      server: { container_klass: 'Warden::Container::Insecure', container_depot_path: directory },
    });
    const fake = { role: 'filesystem', name: 'mine', probe: async () => ({ ok: true }) } as never;
    const { drivers } = await selectDrivers(
      configuration,
      { logger: silentLogger },
      { filesystem: () => fake },
    );
    expect(drivers.filesystem).toBe(fake);
  });
});
