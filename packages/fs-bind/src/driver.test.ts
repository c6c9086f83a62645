import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Mount, type RootfsSpec, silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bind } from './index.ts';

const WRITABLE = ['dev', 'etc', 'home', 'sbin', 'var', 'tmp'];
const driver = bind()({ logger: silentLogger });
let scratch: string;
let spec: RootfsSpec;

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-bind-'));
  spec = { id: '0123456789a', directory: path.join(scratch, 'container'), base: path.join(scratch, 'base') };
  fs.mkdirSync(spec.directory);
  for (const name of ['proc', 'usr/sbin', ...WRITABLE.filter((one) => one !== 'sbin')])
    fs.mkdirSync(path.join(spec.base, name), { recursive: true });
  // as in distributions that merged the directories
  fs.symlinkSync('usr/sbin', path.join(spec.base, 'sbin'));
  fs.writeFileSync(path.join(spec.base, 'usr/sbin/program'), 'program');
  fs.writeFileSync(path.join(spec.base, 'etc/greeting'), 'hello');
});
afterEach(() => fs.rmSync(scratch, { recursive: true, force: true }));

describe('the bind driver', () => {
  it('describes a layer with six writable directories below read-only parts of the base (linux-container.md 5.2)', () => {
    const layer = path.join(spec.directory, 'tmp/rootfs');
    const mounts = driver.mounts(spec, driver.plan(spec));
    expect(
      mounts.map(({ type, source, target, options }) => [type, source, target, options.join(',')]),
    ).toEqual([
      ['none', layer, '/', 'bind,rw'],
      ['none', path.join(spec.base, 'usr'), '/usr', 'bind,ro'],
    ]);
  });

  it('copies what links lead to, once, and removes it', async () => {
    await driver.prepare(spec, driver.plan(spec));
    const layer = path.join(spec.directory, 'tmp/rootfs');
    expect(fs.readdirSync(layer).sort()).toEqual([...WRITABLE, 'proc', 'usr'].sort());
    expect(fs.readFileSync(path.join(layer, 'sbin/program'), 'utf8')).toBe('program');
    fs.writeFileSync(path.join(layer, 'etc/greeting'), 'changed');
    await driver.prepare(spec, driver.plan(spec));
    expect(fs.readFileSync(path.join(layer, 'etc/greeting'), 'utf8')).toBe('changed');
    await driver.release(spec, driver.plan(spec));
    await driver.release(spec, driver.plan(spec));
    expect(fs.readdirSync(spec.directory)).toEqual([]);
  });

  it('begins a copy anew that was interrupted', async () => {
    const half = path.join(spec.directory, 'tmp/rootfs/etc.half');
    fs.mkdirSync(half, { recursive: true });
    fs.writeFileSync(path.join(half, 'rest'), '');
    await driver.prepare(spec, driver.plan(spec));
    expect(fs.readdirSync(path.join(spec.directory, 'tmp/rootfs/etc'))).toEqual(['greeting']);
    expect(fs.existsSync(half)).toBe(false);
  });

  it('leaves behind what is neither file, directory nor link', async () => {
    spawnSync('mkfifo', [path.join(spec.base, 'pipe')]);
    await driver.prepare(spec, driver.plan(spec));
    expect(fs.existsSync(path.join(spec.directory, 'tmp/rootfs/pipe'))).toBe(false);
    expect(driver.mounts(spec, driver.plan(spec)).map(({ target }) => target)).toEqual(['/', '/usr']);
  });

  it('makes what the base lacks, and the base stays as it is', async () => {
    for (const name of ['home', 'tmp']) fs.rmdirSync(path.join(spec.base, name));
    fs.mkdirSync(path.join(spec.base, 'opt'), { mode: 0o700 });
    fs.writeFileSync(path.join(spec.base, 'opt/program'), '');
    fs.mkdirSync(path.join(spec.base, 'mnt'), { mode: 0o711 });
    fs.writeFileSync(path.join(spec.base, 'file'), '');
    fs.symlinkSync('opt', path.join(spec.base, 'link'));
    const before = fs.readdirSync(spec.base);
    const layer = path.join(spec.directory, 'tmp/rootfs');
    await driver.prepare(spec, driver.plan(spec));
    await driver.prepare(spec, driver.plan(spec));
    expect(fs.readdirSync(layer).sort()).toEqual([...before, 'home', 'tmp'].sort());
    const [home, tmp] = ['home', 'tmp'].map((name) => fs.statSync(path.join(layer, name)).mode & 0o7777);
    expect([home, tmp]).toEqual([0o755, 0o1777]); // everybody writes there, and removes only his own
    expect(fs.readlinkSync(path.join(layer, 'link'))).toBe('opt');
    expect(fs.statSync(path.join(layer, 'mnt')).mode & 0o777).toBe(0o711);
    expect(fs.statSync(layer).mode).toBe(fs.statSync(spec.base).mode);
    const mounts = driver.mounts(spec, driver.plan(spec));
    expect(mounts.map(({ source, target, options }) => [source, target, options.join(',')])).toEqual([
      [layer, '/', 'bind,rw'],
      ...['file', 'opt', 'usr'].map((name) => [path.join(spec.base, name), `/${name}`, 'bind,ro']),
    ]);
    expect(fs.readdirSync(spec.base)).toEqual(before);
    await driver.release(spec, driver.plan(spec));
    expect(fs.readdirSync(spec.directory)).toEqual([]);
  });

  it.runIf(process.getuid?.() === 0)(
    'makes a root that is writable where it should be [needs: root]',
    async () => {
      await driver.prepare(spec, driver.plan(spec));
      const root = path.join(scratch, 'root');
      fs.mkdirSync(root);
      const mount = (one: Mount): string =>
        `mount -n --source '${one.source}' --target '${root}${one.target}' -o ${one.options.join(',')} || exit 9`;
      const script = [
        ...driver.mounts(spec, driver.plan(spec)).map(mount),
        `cat ${root}/etc/greeting ${root}/sbin/program`,
        `echo changed > ${root}/etc/greeting; echo changed > ${root}/sbin/program`,
        `(: > ${root}/usr/file) 2> /dev/null || echo ' read-only'`,
      ];
      const { stdout } = spawnSync(
        'unshare',
        ['--mount', '--propagation', 'private', '--', 'sh', '-c', script.join('\n')],
        { encoding: 'utf8' },
      );
      expect(stdout).toBe('helloprogram read-only\n');
      expect(fs.readFileSync(path.join(spec.base, 'etc/greeting'), 'utf8')).toBe('hello');
      expect(fs.readFileSync(path.join(spec.base, 'usr/sbin/program'), 'utf8')).toBe('program');
      expect(fs.readFileSync(path.join(spec.directory, 'tmp/rootfs/sbin/program'), 'utf8')).toBe('changed\n');
    },
  );

  it('names the base that has gone when it is asked for the mounts', async () => {
    await driver.prepare(spec, {});
    fs.rmSync(spec.base, { recursive: true });
    expect(() => driver.mounts(spec, {})).toThrow(
      expect.objectContaining({
        code: 'NATIVE_FAILED',
        fields: { operation: 'find mounts', object: spec.base, errno: 'ENOENT' },
      }),
    );
  });

  it('removes at a probe what a start that was killed has left of its own', async () => {
    const left = path.join(scratch, '.bind-probe-abc123');
    fs.mkdirSync(path.join(left, 'base'), { recursive: true });
    await driver.probe(scratch);
    expect(fs.existsSync(left)).toBe(false);
  });

  it.runIf(process.getuid?.() === 0)('probes without a trace [needs: root]', async () => {
    expect(await driver.probe(scratch)).toEqual({ ok: true });
    expect(fs.readdirSync(scratch).sort()).toEqual(['base', 'container']);
    expect(await driver.probe(path.join(scratch, 'absent'))).toMatchObject({ ok: false });
  });
});
