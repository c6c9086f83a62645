/** The fake holds to what a daemon holds to, and does what only a fake can. */
import { isWardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { CLIENT_CONTRACT, fakeWarden } from './index.ts';

describe('the client against the fake', () => {
  for (const { title, run } of CLIENT_CONTRACT) {
    it(title, async () => {
      await using fake = fakeWarden();
      await run(fake);
    });
  }
});

describe('the fake', () => {
  it('runs the programs of the test, with input, variables and files', async () => {
    await using fake = fakeWarden({
      programs: {
        compile: async ({ argv, environment, stdin, files, write }) => {
          let source = '';
          for await (const piece of stdin) source += new TextDecoder().decode(piece);
          write('stderr', `${environment.LEVEL} ${argv[1]}\n`);
          files.write('/tmp/out', new TextEncoder().encode(source.toUpperCase()));
          return 2;
        },
      },
    });
    await using warden = await fake.connect();
    await using box = await warden.create();
    const result = await box.exec(['/usr/bin/compile', '-O'], { input: 'code', environment: { LEVEL: '3' } });
    expect([result.exitStatus, result.stderrText]).toEqual([2, '3 -O\n']);
    expect(await box.files.readText('/tmp/out')).toBe('CODE');
    expect((await box.exec(['nothing'])).stderrText).toContain('No such file');
    expect((await box.run('echo "a b"; compile x && echo never; nothing')).exitStatus).toBe(127);
  });

  it('has terminals whose size a program sees', async () => {
    await using fake = fakeWarden({
      programs: {
        size: async (job) => {
          for await (const _ of job.stdin)
            job.write('stderr', `${job.terminal?.rows}x${job.terminal?.columns} `);
          return 0;
        },
      },
    });
    await using warden = await fake.connect();
    await using box = await warden.create();
    const job = await box.spawn('', { argv: ['size'], terminal: { rows: 24, columns: 80 } });
    const output = job.output[Symbol.asyncIterator]();
    await job.write('?');
    expect(Buffer.from((await output.next()).value!.data).toString()).toBe('24x80 ');
    await job.resize({ rows: 50, columns: 132 });
    await job.write('?');
    expect(Buffer.from((await output.next()).value!.data).toString()).toBe('50x132 ');
    await job.kill();
  });

  it('keeps a container of nobody for its grace time, however long that is', async () => {
    await using fake = fakeWarden();
    const maker = await fake.connect();
    const [month, nothing] = [
      await maker.create({ graceTime: 30 * 86_400 }),
      await maker.create({ graceTime: 0 }),
    ];
    await maker.close();
    await new Promise((resolve) => setTimeout(resolve, 30));
    await using warden = await fake.connect();
    expect(await warden.list()).toEqual([month.handle]);
    expect(nothing.handle).not.toBe(month.handle);
  });

  it('drops the oldest events of who does not read, and says how many', async () => {
    await using fake = fakeWarden();
    await using warden = await fake.connect();
    const events = await warden.events({ types: ['properties'] });
    const box = await warden.create();
    for (let at = 0; at < 1_030; at += 1) await box.setProperties({ at: String(at) });
    const first = await events.next();
    expect(first.value?.lost).toBe(6);
    expect((await events.next()).value?.lost).toBe(0);
    await events.return?.();
  });

  it('rejects what waits when its session is closed', async () => {
    await using fake = fakeWarden();
    const warden = await fake.connect();
    const box = await warden.create();
    const waiting = box.exec(['sleep', '1000']).catch((error: unknown) => error);
    await warden.ping();
    await warden.close();
    expect(isWardenError(await waiting, 'UNAVAILABLE')).toBe(true);
    expect(isWardenError(await box.info().catch((error: unknown) => error), 'UNAVAILABLE')).toBe(true);
  });
});
