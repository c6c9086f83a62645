/** Compliance of an init driver: launch, jobs, hand-over after a lost daemon, end. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ByteSource, Init, InitDriver, InitJob, InitSpec, JobSpec, WaitStatus } from '@warden/interface';
import { assertHonestProbe, assertWardenError } from './laws.ts';
import type { TestFunctions } from './test-functions.ts';

/** After so long whatever was begun is there, or nothing of it is to be seen. */
const BEGUN_MS = 3_000;

/** What a job of the kit does; the subject turns it into a {@link JobSpec}. */
export type JobKind =
  | { readonly does: 'print'; readonly stdout: string; readonly stderr: string; readonly status: number }
  /** Copies standard input to standard output. */
  | { readonly does: 'copy'; readonly input: Uint8Array }
  /** Lives until it is signalled. */
  | { readonly does: 'wait' }
  /** Prints `text` after so many milliseconds and ends with status 0. */
  | { readonly does: 'print-later'; readonly text: string; readonly afterMs: number };

/** One isolated instance per test. */
export interface InitSubject {
  readonly driver: InitDriver;
  readonly depot: string;
  /** A complete spec whose directory does not exist yet; with `broken` one that cannot start. */
  spec(broken?: boolean): InitSpec;
  job(id: number, kind: JobKind): JobSpec;
  /** Processes and mounts of the subject on this host. */
  inventory(): Promise<readonly string[]>;
  /** Another instance, as the next daemon makes it. */
  restart(): InitDriver;
  close(): Promise<void>;
}

/** Declares the tests. `make` answers a fresh subject; tests share nothing. */
export function initCompliance(test: TestFunctions, name: string, make: () => Promise<InitSubject>): void {
  const withSubject = (title: string, body: (subject: InitSubject) => Promise<void>): void =>
    test.it(title, async () => {
      const subject = await make();
      try {
        await subject.driver.setup(subject.depot);
        await body(subject);
      } finally {
        await subject.close();
      }
    });
  /** Runs `body` on a started init; it answers the connection that is left to kill, when that is another one. */
  const withInit = (
    title: string,
    body: (init: Init, subject: InitSubject, spec: InitSpec) => Promise<Init | undefined>,
  ): void =>
    withSubject(title, async (subject) => {
      const before = await subject.inventory();
      const spec = subject.spec();
      await subject.driver.prepare(spec);
      const init = await (await subject.driver.launch(spec)).proceed();
      let last: Init = init;
      try {
        last = (await body(init, subject, spec)) ?? init;
      } finally {
        await last.kill();
      }
      await last.kill();
      await last.closed;
      assert.deepEqual(await subject.inventory(), before, 'something lives on after kill');
    });

  test.describe(`init driver ${name}`, () => {
    withSubject('probes honestly', ({ driver, inventory }) =>
      assertHonestProbe(() => driver.probe(), inventory),
    );
    withSubject('prepares repeatedly', async ({ driver, spec }) => {
      const one = spec();
      await driver.prepare(one);
      await driver.prepare(one);
      if (driver.supports.isolation) {
        const lines = fs.readFileSync(path.join(one.directory, 'etc/config'), 'utf8').split('\n');
        for (const [key, value] of one.config) assert.ok(lines.includes(`${key}=${value}`), key);
      }
    });
    withSubject('connects to nobody where nobody is', async ({ driver, spec }) => {
      const one = spec();
      assert.equal(await driver.connect(one.directory), undefined);
      await driver.prepare(one);
      assert.equal(await driver.connect(one.directory), undefined);
    });
    withSubject(
      'ends an init whose directory is incomplete',
      async ({ driver, spec, inventory, restart }) => {
        const before = await inventory();
        const one = spec();
        await driver.prepare(one);
        const init = await (await driver.launch(one)).proceed();
        init.disconnect();
        await init.closed;
        fs.rmSync(path.join(one.directory, 'etc/config'), { force: true });
        if (!driver.supports.isolation) {
          await (await restart().connect(one.directory))?.kill();
        } else {
          assert.equal(await restart().connect(one.directory), undefined);
        }
        await eventually(async () => assert.deepEqual(await inventory(), before));
      },
    );
    withSubject('aborts a launched init, twice', async ({ driver, spec, inventory }) => {
      const before = await inventory();
      const one = spec();
      await driver.prepare(one);
      const launched = await driver.launch(one);
      assert.ok(launched.pid > 0);
      await launched.abort();
      await launched.abort();
      assert.deepEqual(await inventory(), before);
      assert.equal(await driver.connect(one.directory), undefined);
    });
    withSubject('begins a launch early, and gives it up', async ({ driver, spec, job, inventory }) => {
      if (driver.begin === undefined) return;
      const before = await inventory();
      const one = spec();
      fs.mkdirSync(one.directory, { recursive: true });
      const giveUp = driver.begin(one);
      // what it starts may take a moment to be seen, or never be
      for (const until = Date.now() + BEGUN_MS; Date.now() < until; ) {
        if ((await inventory()).length !== before.length) break;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await giveUp();
      await giveUp();
      assert.deepEqual(await inventory(), before, 'what was given up lives on');
      const tooLate = driver.begin(one);
      await driver.prepare(one);
      const init = await (await driver.launch(one)).proceed();
      await tooLate();
      const { status } = await collect(
        await init.spawn(job(1, { does: 'print', stdout: '', stderr: '', status: 3 })),
      );
      assert.deepEqual(status, { exitCode: 3 });
      await init.kill();
      await init.closed;
      await eventually(async () => assert.deepEqual(await inventory(), before));
    });
    withSubject('reports what cannot start, and leaves nothing', async ({ driver, spec, inventory }) => {
      const before = await inventory();
      const one = spec(true);
      await assertWardenError(async () => {
        await driver.prepare(one);
        await (await driver.launch(one)).proceed();
      }, ['NATIVE_FAILED', 'COMMAND_FAILED', 'INVALID_SPEC']);
      assert.deepEqual(await inventory(), before);
    });
    withInit('passes output and exit status on', async (init, { job }) => {
      const { stdout, stderr, status } = await collect(
        await init.spawn(job(1, { does: 'print', stdout: 'out', stderr: 'err', status: 7 })),
      );
      assert.deepEqual([stdout.toString(), stderr.toString(), status], ['out', 'err', { exitCode: 7 }]);
    });
    withInit('carries a megabyte through unchanged', async (init, { job }) => {
      const input = Buffer.alloc(
        1 << 20,
        Uint8Array.from({ length: 251 }, (_, at) => at),
      );
      const { stdout } = await collect(await init.spawn(job(1, { does: 'copy', input })));
      assert.ok(input.equals(stdout), `${stdout.length} bytes came back`);
    });
    withInit('loses nothing of many short jobs', async (init, { job }) => {
      for (let id = 1; id <= 100; id++) {
        const { stdout, status } = await collect(
          await init.spawn(job(id, { does: 'print', stdout: `job ${id}`, stderr: '', status: id % 256 })),
        );
        assert.equal(stdout.toString(), `job ${id}`);
        assert.deepEqual(status, { exitCode: id % 256 });
        init.forget(id);
      }
    });
    withInit(
      'runs a job that it has prepared as any other, and every other as well',
      async (init, { job }) => {
        // an init need not have it, and need not make anything of it
        const copy = (id: number, text: string): JobSpec =>
          job(id, { does: 'copy', input: Buffer.from(text) });
        for (let id = 1; id <= 20; id++) {
          init.prepare?.(copy(id, 'not this'), 5_000);
          if (id % 2 === 0) {
            const { stdout, status } = await collect(await init.spawn(copy(id, `job ${id}`)));
            assert.deepEqual([stdout.toString(), status], [`job ${id}`, { exitCode: 0 }]);
          } else {
            const { stdout, stderr, status } = await collect(
              await init.spawn(job(id, { does: 'print', stdout: `job ${id}`, stderr: 'e', status: id })),
            );
            assert.deepEqual(
              [stdout.toString(), stderr.toString(), status],
              [`job ${id}`, 'e', { exitCode: id }],
            );
          }
          init.forget(id);
        }
        init.prepare?.(copy(21, ''), 60_000);
        assert.equal(await init.waitEmpty(5_000), true, 'what is prepared is no job to be waited for');
      },
    );
    withInit('signals one job and tells the signal', async (init, { job }) => {
      const waiting = await init.spawn(job(1, { does: 'wait' }));
      await init.signalJob(1, 15, false);
      assert.deepEqual((await collect(waiting)).status, { signal: 15 });
      await init.signalJob(1, 15, false);
    });
    withInit('tells when it is empty', async (init, { job }) => {
      assert.equal(await init.waitEmpty(2_000), true);
      const jobs = await Promise.all([1, 2, 3].map((id) => init.spawn(job(id, { does: 'wait' }))));
      assert.equal(await init.waitEmpty(50), false);
      await init.signalAll(9);
      assert.equal(await init.waitEmpty(5_000), true);
      for (const one of jobs) assert.deepEqual((await collect(one)).status, { signal: 9 });
    });
    withInit('signals all and lives on', async (init, { job }) => {
      const waiting = await init.spawn(job(1, { does: 'wait' }));
      await init.signalAll(9);
      assert.deepEqual((await collect(waiting)).status, { signal: 9 });
      const { stdout } = await collect(
        await init.spawn(job(2, { does: 'print', stdout: 'alive', stderr: '', status: 0 })),
      );
      assert.equal(stdout.toString(), 'alive');
      return undefined;
    });
    withInit('signals nobody but whom it is told to', async (init, { job }) => {
      const [one, two] = [
        await init.spawn(job(1, { does: 'wait' })),
        await init.spawn(job(2, { does: 'wait' })),
      ];
      await init.signalJob(1, 15, true);
      assert.deepEqual((await collect(one)).status, { signal: 15 });
      assert.equal(await init.waitEmpty(50), false, 'the other one has ended too');
      await init.signalJob(2, 9, false);
      assert.deepEqual((await collect(two)).status, { signal: 9 });
      return undefined;
    });
    withInit('delivers nothing of a job whose output is discarded', async (init, { job }) => {
      const spec = job(1, { does: 'print', stdout: 'unwanted', stderr: 'unwanted', status: 3 });
      const one = await init.spawn({ ...spec, discardOutput: true });
      assert.equal(one.discardOutput, true);
      const { stdout, stderr, status } = await collect(one);
      assert.deepEqual([stdout.length, stderr.length, status], [0, 0, { exitCode: 3 }]);
      return undefined;
    });
    withInit('rejects what waits when its connection is lost', async (init, { driver, job }, spec) => {
      const one = await init.spawn(job(1, { does: 'wait' }));
      one.stdout.close();
      one.stderr.close();
      const lost = assertWardenError(() => one.exited, ['UNAVAILABLE']);
      init.disconnect();
      init.disconnect();
      await lost;
      await init.closed;
      return (await driver.connect(spec.directory))!;
    });
    withInit('forgets ended jobs when it is told to', async (init, { restart, job }, spec) => {
      for (const id of [1, 2])
        await collect(await init.spawn(job(id, { does: 'print', stdout: 'x', stderr: '', status: id })));
      init.forget(1);
      await init.waitEmpty(5_000); // an answer, so that what came before it has arrived
      init.disconnect();
      await init.closed;
      const again = (await restart().connect(spec.directory))!;
      assert.deepEqual(
        again.recoveredJobs.map(({ id }) => id),
        [2],
      );
      assert.deepEqual((await collect(again.recoveredJobs[0]!)).status, { exitCode: 2 });
      return again;
    });
    withInit('hands jobs over after the daemon was away', async (init, { restart, job }, spec) => {
      const ended = await init.spawn(job(1, { does: 'print-later', text: 'while away', afterMs: 30 }));
      const alive = await init.spawn(job(2, { does: 'wait' }));
      for (const one of [ended, alive]) {
        one.exited.catch(() => {});
        one.stdout.close();
        one.stderr.close();
      }
      init.disconnect();
      await init.closed;
      await new Promise((resolve) => setTimeout(resolve, 300));
      const again = await restart().connect(spec.directory);
      assert.ok(again, 'the init is gone');
      assert.equal(again.pid, init.pid);
      assert.deepEqual(again.recoveredJobs.map(({ id }) => id).sort(), [1, 2]);
      const [first, second] = [1, 2].map((id) => again.recoveredJobs.find((one) => one.id === id)!);
      const { stdout, status } = await collect(first!);
      assert.deepEqual([stdout.toString(), status], ['while away', { exitCode: 0 }]);
      await again.signalJob(2, 9, false);
      assert.deepEqual((await collect(second!)).status, { signal: 9 });
      return again;
    });
    withInit('keeps what it handed over until that is acknowledged', async (init, { driver, job }, spec) => {
      const one = await init.spawn(job(1, { does: 'print-later', text: 'kept', afterMs: 30 }));
      one.exited.catch(() => {});
      let last = init;
      const reconnect = async (): Promise<InitJob> => {
        last.disconnect();
        await last.closed;
        await new Promise((resolve) => setTimeout(resolve, 200));
        last = (await driver.connect(spec.directory))!;
        return last.recoveredJobs[0]!;
      };
      await reconnect();
      let second = await reconnect();
      // on a busy machine it prints later still
      for (const until = Date.now() + 20_000; second.stdout.kept.length === 0 && Date.now() < until; )
        second = await reconnect();
      assert.deepEqual(second.stdout.kept, { position: 0n, length: 4, lost: 0n });
      assert.equal((await collect(second)).stdout.toString(), 'kept');
      last.acknowledge();
      const third = await reconnect();
      assert.deepEqual(third.stdout.kept, { position: 4n, length: 0, lost: 0n });
      assert.deepEqual((await collect(third)).status, { exitCode: 0 });
      return last;
    });
    withInit('puts output into a file before it delivers it', async (init, { job }) => {
      const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-compliance-'));
      const descriptor = fs.openSync(path.join(directory, 'output'), 'w+');
      try {
        const one = await init.spawn(job(1, { does: 'print', stdout: 'in the file', stderr: '', status: 0 }));
        const file = { descriptor, offset: 3, onFailure: (error: unknown) => assert.ifError(error) };
        one.stdout.pause();
        one.stdout.keepIn(file);
        const collected = collect(one, () =>
          assert.equal(fs.readFileSync(path.join(directory, 'output'), 'latin1'), '\0\0\0in the file'),
        );
        await new Promise<void>((resolve) => one.stdout.onceReadable(() => resolve()));
        one.stdout.resume();
        assert.equal((await collected).stdout.toString(), 'in the file');
        assert.equal(file.offset, 14);
      } finally {
        fs.closeSync(descriptor);
        fs.rmSync(directory, { recursive: true });
      }
    });
    withInit('copies a file and a tree in and out, with their modes', async (init, { depot }, spec) => {
      const at = (name: string): string => path.join(depot, name);
      fs.mkdirSync(at('tree/sub'), { recursive: true });
      fs.writeFileSync(at('tree/sub/file'), 'content', { mode: 0o640 });
      const request = { user: spec.user.name, owner: '', forbidden: [] };
      const copy = async (direction: 'in' | 'out', hostPath: string, containerPath: string): Promise<void> =>
        (await init.copy({ ...request, direction, hostPath, containerPath })).ended;
      await copy('in', at('tree'), '/tmp');
      await copy('out', at('back'), '/tmp/tree/');
      await copy('out', at('one'), '/tmp/tree/sub/file');
      for (const name of ['back/sub/file', 'one']) {
        assert.equal(fs.readFileSync(at(name), 'utf8'), 'content');
        assert.equal(fs.statSync(at(name)).mode & 0o7777, 0o640);
      }
      return undefined;
    });
    withInit('tells what of a copy failed', async (init, { depot }, spec) => {
      for (const direction of ['in', 'out'] as const) {
        await assertWardenError(async () => {
          const { ended } = await init.copy({
            direction,
            hostPath: path.join(depot, 'missing'),
            containerPath: '/tmp/missing',
            user: spec.user.name,
            owner: '',
            forbidden: [],
          });
          await ended;
        }, ['INVALID_SPEC']);
      }
      return undefined;
    });
    withInit('ends its copies when it is killed', async (init, { depot }, spec) => {
      fs.writeFileSync(path.join(depot, 'file'), 'content');
      const copies = await Promise.all(
        [1, 2, 3].map((number) =>
          init.copy({
            direction: 'in',
            hostPath: path.join(depot, 'file'),
            containerPath: `/tmp/${number}`,
            user: spec.user.name,
            owner: '',
            forbidden: [],
          }),
        ),
      );
      copies[0]!.abort();
      copies[0]!.abort();
      await init.kill();
      await Promise.allSettled(copies.map(({ ended }) => ended));
      return undefined;
    });
    withInit('fails what is asked after the end', async (init, { job }) => {
      await init.kill();
      await assertWardenError(() => init.spawn(job(1, { does: 'wait' })), ['UNAVAILABLE']);
    });
  });
}

/** The kernel ends what was killed in its own time; ten seconds at most. */
async function eventually(check: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

interface Collected {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly status: WaitStatus;
}

async function collect(job: InitJob, onChunk: () => void = () => {}): Promise<Collected> {
  const [stdout, stderr, status] = await Promise.all([
    readAll(job.stdout, onChunk),
    readAll(job.stderr, onChunk),
    job.exited,
  ]);
  return { stdout, stderr, status };
}

function readAll(source: ByteSource, onChunk: () => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    source.start(
      (chunk) => {
        chunks.push(chunk);
        onChunk();
      },
      () => resolve(Buffer.concat(chunks)),
    );
  });
}
