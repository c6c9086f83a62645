/** The example of docs/writing-a-driver.md: in the checkout as it lies there, and outside of it, by exports alone. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, makePlace, startDaemon, type TestDaemon, type TestPlace } from '@warden/test-harness';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const REPOSITORY = path.resolve(import.meta.dirname, '../../..');
const EXAMPLE = path.join(REPOSITORY, 'examples/driver-copy');
const FILES = ['package.json', 'driver.js', 'driver.test.js'];

describe('docs/writing-a-driver.md', () => {
  const page = fs.readFileSync(path.join(REPOSITORY, 'docs/writing-a-driver.md'), 'utf8');
  it.each(FILES)('contains %s of the example as it is', (name) => {
    const language = name.endsWith('.json') ? 'json' : 'js';
    expect(page).toContain(`\`\`\`${language}\n${fs.readFileSync(path.join(EXAMPLE, name), 'utf8')}\`\`\`\n`);
  });
});

describeWith(['root', 'isolated'], 'a driver from elsewhere', () => {
  let directory: string;
  let installed: string;

  // as a package manager would install it: beside the packages it names, which it can reach by their exports only
  beforeAll(() => {
    directory = fs.mkdtempSync('/tmp/warden-foreign-');
    installed = path.join(directory, 'node_modules/warden-driver-copy');
    fs.mkdirSync(path.join(directory, 'node_modules/@warden'), { recursive: true });
    fs.cpSync(EXAMPLE, installed, { recursive: true });
    for (const name of ['interface', 'driver-compliance', 'daemon'])
      fs.symlinkSync(
        path.join(REPOSITORY, 'packages', name),
        path.join(directory, 'node_modules/@warden', name),
      );
  });
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

  const where = { 'in the checkout': () => EXAMPLE, 'outside of it': () => installed };

  it.each(Object.entries(where))('passes the kit %s', { timeout: 300_000 }, (_, at) => {
    const { status, stdout } = spawnSync(process.execPath, ['--test', 'driver.test.js'], {
      cwd: at(),
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    expect(status, stdout).toBe(0);
    expect(stdout).toMatch(/^# pass [1-9]|^ℹ pass [1-9]/m);
  });

  it.each(Object.entries(where))(
    'is put in by one line of configuration %s',
    {
      timeout: 120_000,
    },
    async (_, at) => {
      const place = await makePlace();
      const daemon = await startDaemon({
        place,
        config: { drivers: { filesystem: path.join(at(), 'driver.js') } },
      });
      try {
        expect(daemon.readLog()).toMatch(/"driver-chosen".*"role":"filesystem","driver":"copy"/);
        const warden = await daemon.connect();
        const box = await warden.create();
        const { stdoutText, exitStatus } = await box.run('echo written > /tmp/mine && cat /tmp/mine');
        expect({ stdoutText, exitStatus }).toEqual({ stdoutText: 'written\n', exitStatus: 0 });
        const [entry] = fs.readdirSync(place.depot).filter((name) => /^[0-9a-v]{11}$/.test(name));
        const written = path.join(place.depot, entry!, 'tmp/rootfs/tmp/mine');
        expect(fs.readFileSync(written, 'utf8')).toBe('written\n');
        await box.destroy();
        expect(fs.existsSync(written)).toBe(false);
      } finally {
        await daemon.stop();
        await place.remove();
      }
    },
  );

  /** A module with the example, in which a method is another. */
  function moduleWith(method: string): string {
    const module = path.join(installed, `${crypto.randomUUID()}.js`);
    fs.writeFileSync(
      module,
      `import copy from './driver.js';
       export default () => (components) => {
         const driver = copy()(components);
         return { ...driver, ${method} };
       };`,
    );
    return module;
  }

  /** A daemon with such a module. */
  async function startWith(
    method: string,
  ): Promise<{ place: TestPlace; daemon: TestDaemon; module: string }> {
    const module = moduleWith(method);
    const place = await makePlace();
    return {
      place,
      module,
      daemon: await startDaemon({ place, config: { drivers: { filesystem: module } } }),
    };
  }

  it('that does not work and still has something to do holds no failed start', {
    timeout: 120_000,
  }, async () => {
    const module = moduleWith(
      "probe: async () => { setInterval(() => {}, 1000); return { ok: false, reason: 'not here' }; }",
    );
    const file = path.join(directory, 'failing.yml');
    const server = {
      container_depot_path: path.join(directory, 'depot'),
      unix_domain_path: path.join(directory, 's'),
    };
    const config = {
      server,
      health_check_server: { port: null },
      drivers: { name: 'warden-failing', filesystem: module },
    };
    fs.writeFileSync(file, JSON.stringify(config));
    const program = path.join(REPOSITORY, 'packages/daemon/bin/wardend.js');
    const { status, signal, stderr } = spawnSync(process.execPath, [program, '--config', file], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect({ status, signal, stderr }).toEqual({
      status: 1,
      signal: null,
      stderr: 'wardend: no filesystem driver works on this host: copy: not here (UNSUPPORTED)\n',
    });
  });

  it('makes no container that the next daemon could not read', { timeout: 120_000 }, async () => {
    const { place, daemon, module } = await startWith('plan: async () => ({})');
    try {
      const warden = await daemon.connect();
      await expect(warden.create()).rejects.toMatchObject({
        message: expect.stringContaining(
          `drivers.filesystem: ${module} failed in plan: it answered a promise`,
        ),
        fields: { operation: 'plan', method: 'plan', driver: 'copy' },
      });
      expect(await warden.list()).toEqual([]);
      expect(daemon.readLog()).toMatch(/"driver-failed".*"method":"plan"/);
    } finally {
      await daemon.stop();
      await place.remove();
    }
  });

  it('that brings the daemon down is in its log, with the place', { timeout: 120_000 }, async () => {
    const { place, daemon, module } = await startWith(
      `async prepare(...all) {
         await driver.prepare(...all);
         setImmediate(() => { throw new Error('nobody catches this'); });
       }`,
    );
    try {
      const warden = await daemon.connect();
      await warden.create().catch(() => undefined);
      await expect.poll(() => daemon.readLog()).toMatch(/"ended-by-defect".*nobody catches this/);
      expect(daemon.readLog()).toContain(`${module}:`);
    } finally {
      await daemon.kill();
      // removes the container, or what has been made of it
      await (await startDaemon({ place })).stop();
      await place.remove();
    }
  });
});
