import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '@warden/interface';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
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
    ['makes no driver: no', 'export default () => () => { throw "no" }'],
    ['makes no driver but null', 'export default () => () => null'],
    ['makes a promise of a driver', 'export default () => async () => { throw new Error("no") }'],
  ])('%s', async (text, source) => {
    const file =
      source === undefined ? '/nonexistent/driver.mjs' : write(`${text.replaceAll(/\W/g, '-')}.mjs`, source);
    await expect(
      loadDriver('filesystem', file).then((factory) => factory({ logger: silentLogger })),
    ).rejects.toMatchObject({ code: 'INVALID_SPEC', message: expect.stringContaining(`${file} ${text}`) });
  });
});

describe('a module whose driver is not complete', () => {
  const METHODS = [
    ...['probe', 'setup', 'plan', 'inside', 'attach', 'mapPort', 'allowEgress', 'setBandwidth', 'bandwidth'],
    ...['restore', 'release', 'sweep', 'close'],
  ];
  const SUPPORTS =
    'link: false, portMapping: false, egressRules: false, bandwidth: false, closedInbound: false';
  const source = (members: string): string =>
    `const f = () => {}; export default () => () => ({ role: 'network', name: 'mine', ${members} })`;
  const complete = `supports: { ${SUPPORTS} }, ${METHODS.map((name) => `${name}: f`).join()}`;
  const make = async (name: string, members: string): Promise<unknown> =>
    (await loadDriver('network', write(`${name}.mjs`, source(members))))({ logger: silentLogger });

  it('is refused whichever method of the contract it lacks', async () => {
    await expect(make('complete', complete)).resolves.toMatchObject({ name: 'mine' });
    for (const name of METHODS)
      await expect(make(`without-${name}`, `${complete}, ${name}: 7`)).rejects.toThrow(
        new RegExp(`makes a driver without ${name}$`),
      );
  });
  it('is refused when something that it may lack is no function', async () => {
    await expect(make('begin', `${complete}, begin: true`)).rejects.toThrow(/makes a driver without begin$/);
  });
  it('is refused when it does not say what it supports', async () => {
    const lacking = complete.replace('link: false, ', '');
    await expect(make('link', lacking)).rejects.toThrow(/makes a driver without supports\.link$/);
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

describe('a package where the daemon is started', () => {
  const DRIVER = 'export default () => () => ({ role: "quota" })';
  /** Loads a package that lies there, with these exports, a driver in `driver.js` and none elsewhere. */
  async function loadWith(exports: unknown): Promise<string> {
    const start = fs.mkdtempSync(path.join(directory, 'start-'));
    const place = path.join(start, 'node_modules/@me/driver');
    fs.mkdirSync(place, { recursive: true });
    const manifest = { name: '@me/driver', version: '1.0.0', type: 'module', exports };
    fs.writeFileSync(path.join(place, 'package.json'), JSON.stringify(manifest));
    fs.writeFileSync(path.join(place, 'driver.js'), DRIVER);
    fs.writeFileSync(path.join(place, 'other.js'), 'export default undefined');
    const cwd = vi.spyOn(process, 'cwd').mockReturnValue(start);
    try {
      await loadDriver('quota', '@me/driver');
      return 'found';
    } catch (error) {
      return (error as Error).message;
    } finally {
      cwd.mockRestore();
    }
  }

  it.each([
    ['a file', './driver.js'],
    ['a default', { types: './driver.d.ts', default: './driver.js' }],
    ['import alone', { '.': { import: './driver.js' } }],
    ['import alone, with types', { types: './driver.d.ts', import: './driver.js' }],
    ['import below node', { browser: './other.js', node: { import: './driver.js' } }],
    ['import in a list', [{ worker: './other.js' }, { import: './driver.js' }]],
  ])('is found by exports of %s', async (_what, exports) => {
    expect(await loadWith(exports)).toBe('found');
  });

  it('is told with what it lacks when it exports nothing to Node', async () => {
    expect(await loadWith({ browser: './driver.js' })).toMatch(
      /^drivers\.quota: @me\/driver cannot be imported: No "exports" main defined in .+\/@me\/driver\/package\.json$/,
    );
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
