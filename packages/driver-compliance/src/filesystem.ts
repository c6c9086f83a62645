/**
 * Compliance of a file-system driver (spec drivers.md 1). The subject performs the mounts, in a mount
 * namespace of its own, because drivers only describe them.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import type { FilesystemDriver, Mount, RootfsSpec } from '@warden/interface';
import {
  assertComplete,
  assertHonestProbe,
  assertPurePlan,
  assertUndone,
  assertWardenError,
  type Obstacle,
  persisted,
  watched,
} from './laws.ts';
import type { TestFunctions } from './test-functions.ts';

/** A root put together from a driver's mounts. */
export interface MountedRoot {
  /** Runs a POSIX shell script with the root as `/`; answers its exit status and standard output. */
  run(script: string): Promise<{ readonly status: number; readonly stdout: string }>;
  close(): Promise<void>;
}

/** One isolated instance per test. */
export interface FilesystemSubject {
  readonly driver: FilesystemDriver;
  /** An existing, empty directory. */
  readonly depot: string;
  /**
   * A read-only base with `/bin/sh`, `cat`, `ls`, `rm`, `mkdir`, `stat`, `ln`, and a file `/etc/greeting`
   * (`hello\n`, mode 0640, owner 0:0).
   */
  readonly base: string;
  mount(mounts: readonly Mount[]): Promise<MountedRoot>;
  /** Another instance, as the next daemon makes it. The kit does not use the first one any more. */
  restart(): FilesystemDriver;
  /**
   * What makes a step of this driver's `prepare` fail, besides the obstacles that the kit puts in the way of
   * every driver.
   */
  obstacles?(spec: RootfsSpec): readonly Obstacle[];
  close(): Promise<void>;
}

const ID = '0123456789a';

/** Declares the tests. `make` answers a fresh subject; tests share nothing. */
export function filesystemCompliance(
  test: TestFunctions,
  name: string,
  make: () => Promise<FilesystemSubject>,
): void {
  const withSubject = (
    title: string,
    body: (subject: FilesystemSubject, spec: RootfsSpec) => Promise<void>,
  ): void =>
    test.it(title, async () => {
      const subject = watched('filesystem', await make());
      try {
        const directory = path.join(subject.depot, ID);
        fs.mkdirSync(path.join(directory, 'etc'), { recursive: true });
        fs.writeFileSync(path.join(directory, 'etc/config'), 'of others');
        await body(subject, Object.freeze({ id: ID, directory, base: subject.base }));
      } finally {
        await subject.close();
      }
    });
  const inside = async (
    subject: FilesystemSubject,
    spec: RootfsSpec,
    script: string,
    driver: FilesystemDriver = subject.driver,
  ): Promise<string> => {
    const root = await subject.mount(driver.mounts(spec, persisted(driver.plan(spec))));
    try {
      const { status, stdout } = await root.run(script);
      assert.equal(status, 0, `the script ended with ${status}: ${script}`);
      return stdout;
    } finally {
      await root.close();
    }
  };

  test.describe(`file-system driver ${name}`, () => {
    withSubject('probes honestly', async ({ driver, depot }) => {
      assertComplete('filesystem', driver);
      await assertHonestProbe(
        () => driver.probe(depot),
        async () => tree(depot),
      );
    });
    withSubject('plans without touching anything', (subject, spec) =>
      assertPurePlan(
        () => subject.driver.plan(spec),
        async () => tree(subject.depot),
      ),
    );
    withSubject('describes the root first and only absolute targets', async ({ driver }, spec) => {
      const state = driver.plan(spec);
      await driver.prepare(spec, state);
      const mounts = driver.mounts(spec, persisted(state));
      assert.equal(mounts[0]?.target, '/');
      for (const mount of mounts) assert.ok(mount.target.startsWith('/'), `target ${mount.target}`);
      assert.deepEqual(driver.mounts(spec, state), mounts, 'mounts answers differently for the same state');
    });
    withSubject('shows paths, owners and modes of the base', async (subject, spec) => {
      await subject.driver.prepare(spec, subject.driver.plan(spec));
      assert.equal(
        await inside(subject, spec, 'cat /etc/greeting; stat -c "%a %u %g" /etc/greeting'),
        'hello\n640 0 0\n',
      );
    });
    withSubject('keeps writes away from the base', async (subject, spec) => {
      await subject.driver.prepare(spec, subject.driver.plan(spec));
      const before = tree(subject.base);
      await inside(
        subject,
        spec,
        'echo changed > /etc/greeting; echo new > /var/new; mkdir -p /home/a/b; rm -f /etc/passwd',
      );
      assert.deepEqual(tree(subject.base), before);
    });
    withSubject('keeps writes between two mounts of the same state', async (subject, spec) => {
      await subject.driver.prepare(spec, subject.driver.plan(spec));
      await inside(subject, spec, 'echo kept > /var/kept; rm /etc/greeting');
      await subject.driver.prepare(spec, persisted(subject.driver.plan(spec)));
      assert.equal(
        await inside(subject, spec, 'cat /var/kept; test ! -e /etc/greeting && echo gone'),
        'kept\ngone\n',
      );
    });
    withSubject('shows what the container wrote below tmp/rootfs', async (subject, spec) => {
      await subject.driver.prepare(spec, subject.driver.plan(spec));
      await inside(subject, spec, 'echo found > /var/found');
      assert.equal(fs.readFileSync(path.join(spec.directory, 'tmp/rootfs/var/found'), 'utf8'), 'found\n');
    });
    withSubject('lets nobody of the host come by what the container wrote', async (subject, spec) => {
      await subject.driver.prepare(spec, subject.driver.plan(spec));
      const { mode } = fs.statSync(path.join(spec.directory, 'tmp'));
      assert.equal(mode & 0o077, 0, 'others may pass, and execute what has the set-user-id bit');
    });
    withSubject('keeps two containers on one base apart', async (subject, spec) => {
      const other: RootfsSpec = {
        ...spec,
        id: 'bbbbbbbbbbb',
        directory: path.join(subject.depot, 'bbbbbbbbbbb'),
      };
      fs.mkdirSync(other.directory);
      for (const one of [spec, other]) await subject.driver.prepare(one, subject.driver.plan(one));
      await inside(subject, spec, 'echo secret > /tmp/secret');
      assert.equal(await inside(subject, other, 'ls /tmp'), '');
      await subject.driver.prepare(other, subject.driver.plan(other));
      await inside(subject, other, 'echo mine > /tmp/mine');
      await subject.driver.release(spec, subject.driver.plan(spec));
      await subject.driver.prepare(other, subject.driver.plan(other));
      assert.equal(await inside(subject, other, 'cat /tmp/mine'), 'mine\n', 'released with another');
    });
    withSubject('goes on with what an earlier daemon prepared', async (subject, spec) => {
      const before = tree(subject.depot);
      const state = persisted(subject.driver.plan(spec));
      await subject.driver.prepare(spec, state);
      await inside(subject, spec, 'echo kept > /var/kept');
      const next = subject.restart();
      assert.deepEqual(next.plan(spec), state);
      await next.prepare(spec, state);
      assert.equal(await inside(subject, spec, 'cat /var/kept', next), 'kept\n');
      await subject.restart().release(spec, state); // by one that has done nothing else
      assert.deepEqual(tree(subject.depot), before);
    });
    withSubject('completes what a killed daemon has begun', async (subject, spec) => {
      fs.mkdirSync(path.join(spec.directory, 'tmp/rootfs'), { recursive: true });
      await subject.driver.prepare(spec, subject.driver.plan(spec));
      assert.equal(await inside(subject, spec, 'cat /etc/greeting'), 'hello\n');
    });
    withSubject('releases what a killed daemon has begun', async (subject, spec) => {
      const before = tree(subject.depot);
      fs.mkdirSync(path.join(spec.directory, 'tmp/rootfs/half'), { recursive: true });
      await subject.driver.release(spec, subject.driver.plan(spec));
      assert.deepEqual(tree(subject.depot), before);
    });
    withSubject('prepares anew after a release', async (subject, spec) => {
      const state = subject.driver.plan(spec);
      await subject.driver.prepare(spec, state);
      await inside(subject, spec, 'echo old > /tmp/old; rm /etc/greeting');
      await subject.driver.release(spec, state);
      await subject.driver.prepare(spec, state);
      assert.equal(await inside(subject, spec, 'cat /etc/greeting; ls /tmp'), 'hello\n');
    });
    withSubject('undoes a prepare that fails at any step', async (subject, spec) => {
      const state = subject.driver.plan(spec);
      await assertUndone(
        [...commonObstacles(spec), ...(subject.obstacles?.(spec) ?? [])],
        () => subject.driver.prepare(spec, state),
        async () => tree(subject.depot),
      );
      assert.equal(await inside(subject, spec, 'cat /etc/greeting'), 'hello\n');
    });
    withSubject(
      'denies or allows writes outside the writable directories as it says',
      async (subject, spec) => {
        await subject.driver.prepare(spec, subject.driver.plan(spec));
        const answer = await inside(
          subject,
          spec,
          '(: > /bin/written) 2>/dev/null && echo writable || echo read-only',
        );
        assert.equal(answer, subject.driver.supports.wholeRootWritable ? 'writable\n' : 'read-only\n');
      },
    );
    withSubject('refuses a base that is no directory and leaves nothing', async ({ driver, depot }, spec) => {
      const broken = { ...spec, base: path.join(depot, 'missing') };
      const before = tree(depot);
      await assertWardenError(
        () => driver.prepare(broken, driver.plan(broken)),
        ['INVALID_SPEC', 'NATIVE_FAILED'],
      );
      await driver.release(broken, driver.plan(broken));
      assert.deepEqual(tree(depot), before);
    });
    withSubject('releases what was prepared, twice', async (subject, spec) => {
      const before = tree(subject.depot);
      const state = subject.driver.plan(spec);
      await subject.driver.prepare(spec, state);
      await inside(subject, spec, 'mkdir -p /tmp/deep/er; : > /tmp/deep/er/file; ln -s /etc /tmp/link');
      await subject.driver.release(spec, persisted(state));
      await subject.driver.release(spec, persisted(state));
      assert.deepEqual(tree(subject.depot), before);
      assert.equal(
        fs.readFileSync(path.join(subject.base, 'etc/greeting'), 'utf8'),
        'hello\n',
        'release followed a link out of the layer',
      );
    });
    withSubject('leaves nothing once its directory is removed, if it says so', async (subject, spec) => {
      if (subject.driver.supports.isInDirectory !== true) return;
      const others = (): string[] => tree(subject.depot).filter((line) => !/^0123456789a[ /]/.test(line));
      const before = others();
      const state = subject.driver.plan(spec);
      await subject.driver.prepare(spec, state);
      await inside(subject, spec, 'echo kept > /var/kept');
      fs.rmSync(spec.directory, { recursive: true });
      assert.deepEqual(others(), before);
      fs.mkdirSync(spec.directory);
      const next = subject.restart();
      await next.prepare(spec, state);
      assert.equal(await inside(subject, spec, 'test -e /var/kept || echo gone', next), 'gone\n');
      await next.release(spec, state);
    });
    withSubject('releases what was never prepared', async ({ driver, depot }, spec) => {
      const before = tree(depot);
      await driver.release(spec, driver.plan(spec));
      assert.deepEqual(tree(depot), before);
    });
  });
}

/** Files where every driver makes directories. */
function commonObstacles(spec: RootfsSpec): Obstacle[] {
  return ['tmp', 'tmp/rootfs'].map((name) => ({
    name: `a file ${name}`,
    place: async () => {
      const at = path.join(spec.directory, name);
      fs.mkdirSync(path.dirname(at), { recursive: true });
      fs.writeFileSync(at, '');
      return async () => fs.rmSync(path.join(spec.directory, 'tmp'), { recursive: true });
    },
  }));
}

/** Every path below `root` with type, mode, owner and content, for comparison. */
function tree(root: string, at = ''): string[] {
  return fs
    .readdirSync(path.join(root, at))
    .sort()
    .flatMap((name) => {
      const inner = path.join(at, name);
      const file = path.join(root, inner);
      const { mode, uid, gid } = fs.lstatSync(file);
      const facts = `${inner} ${mode.toString(8)} ${uid}:${gid}`;
      if ((mode & 0o170000) === 0o040000) return [facts, ...tree(root, inner)];
      if ((mode & 0o170000) === 0o120000) return [`${facts} -> ${fs.readlinkSync(file)}`];
      if ((mode & 0o170000) === 0o100000) return [`${facts} ${fs.statSync(file).size}`];
      return [facts];
    });
}
