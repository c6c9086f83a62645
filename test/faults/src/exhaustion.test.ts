/** What there is only so much of: descriptors of the daemon, its pools, one handle for many. */
import fs from 'node:fs';
import { describeWith, patience } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { withBench } from './place-suite.ts';

const MANY = 64;
/** Jobs inherit the daemon's ceiling: they must not want more. */
const SCARCE_FOR_JOBS = { config: { server: { container_rlimits: { nofile: 100 } } } };
const SCARCE = { ...SCARCE_FOR_JOBS, wrapper: ['prlimit', '--nofile=128:128', '--'] };

describeWith(['root', 'isolated', 'overlayfs'], 'what there is only so much of', () => {
  it(
    'descriptors of the daemon: the request that finds none says so, others go on, and when some are back it works',
    () =>
      withBench(SCARCE, async ({ daemon }) => {
        const warden = await daemon.connect();
        const box = await warden.create({ handle: 'box' });
        const made: string[] = [];
        let refusal: unknown;
        // each holds some: its init, the socket to it, what watches over it
        for (let at = 0; at < MANY && refusal === undefined; at++) {
          const handle = `many-${at}`;
          await warden.create({ handle }).then(
            () => made.push(handle),
            (error: unknown) => {
              refusal = error;
            },
          );
        }
        expect(String((refusal as Error)?.message), 'the refusal').toMatch(/EMFILE|too many open files/i);
        expect(refusal).not.toMatchObject({ code: 'INTERNAL' });
        expect([...(await warden.list())].sort()).toEqual(['box', ...made].sort());
        expect((await box.info()).state).toBe('active');
        // a create holds several for a moment, and those of the destroyed are closed a little after the answer
        for (let at = 0; at < 6; at++) await warden.container(made.pop()!).destroy();
        expect((await box.run('exit 4')).exitStatus).toBe(4);
        await using again = await warden.create({ handle: 'again' });
        expect((await again.run('exit 5')).exitStatus).toBe(5);
        // one after the other: all at once would need what there is not
        for (const handle of made) await warden.container(handle).destroy();
      }),
    300_000,
  );

  it(
    'descriptors for what earlier jobs print: the next daemon sets their containers aside, and the one after it has them all',
    () =>
      withBench(SCARCE_FOR_JOBS, async (bench) => {
        const first = await bench.daemon.connect();
        const handles = ['one', 'two', 'three', 'four'];
        for (const handle of handles) {
          const box = await first.create({ handle });
          for (let at = 0; at < 10; at++) await box.spawn('sleep 1000');
        }
        // whether it starts at all, with what is left to it, is not the question
        const scarce = { wrapper: ['prlimit', '--nofile=100:100', '--'] };
        await bench.restart(scarce).catch((error: unknown) => expect(String(error)).toContain('EMFILE'));
        expect(fs.readFileSync(bench.place.log, 'utf8')).toContain(
          'as many descriptors open as it may (EMFILE)',
        );
        const next = await (await bench.restart()).connect();
        expect([...(await next.list())].sort()).toEqual([...handles].sort());
        for (const handle of handles) expect((await next.container(handle).info()).jobIds).toHaveLength(10);
      }),
    120_000,
  );

  it('networks and users: the error names the pool, what is used and the limit, and what comes back can be had', async () => {
    const pools = { network: { pool_network: '10.254.0.0/29', release_delay: 0 }, user: { pool_size: 3 } };
    await withBench({ config: pools }, async ({ daemon }) => {
      const warden = await daemon.connect();
      const boxes = [await warden.create(), await warden.create()];
      await expect(warden.create()).rejects.toMatchObject({
        code: 'POOL_EXHAUSTED',
        message: 'Could not acquire network',
        fields: { pool: 'network', used: 2, limit: 2 },
      });
      await boxes[0]!.destroy();
      await warden.create();
    });
    const users = { network: { pool_network: '10.254.0.0/24', release_delay: 0 }, user: { pool_size: 2 } };
    await withBench({ config: users }, async ({ daemon }) => {
      const warden = await daemon.connect();
      const boxes = [await warden.create(), await warden.create()];
      await expect(warden.create()).rejects.toMatchObject({
        code: 'POOL_EXHAUSTED',
        message: 'no uid available',
        fields: { pool: 'uid', used: 2, limit: 2 },
      });
      await boxes[1]!.destroy();
      await warden.create();
    });
  }, 120_000);

  it(
    'ports: the error names the pool, what is used and the limit, and a destruction gives back',
    () =>
      withBench({ config: { port: { pool_start_port: 61_001, pool_size: 1_000 } } }, async ({ daemon }) => {
        const warden = await daemon.connect();
        const [box, other] = [await warden.create(), await warden.create()];
        const given = new Set<number>();
        for (let at = 0; at < 1_000; at++) given.add((await box.netIn()).hostPort);
        expect(given.size).toBe(1_000);
        await expect(other.netIn()).rejects.toMatchObject({
          code: 'POOL_EXHAUSTED',
          message: 'no port available',
          fields: { pool: 'port', used: 1_000, limit: 1_000 },
        });
        await box.destroy();
        expect(given).toContain((await other.netIn()).hostPort);
      }),
    300_000,
  );

  it(
    'one handle for 64 who ask at the same time: one has it, 63 are told, and nothing is left',
    () =>
      withBench({}, async ({ daemon }) => {
        const clients = await Promise.all(Array.from({ length: MANY }, () => daemon.connect()));
        const outcomes = await Promise.allSettled(
          clients.map((client) => client.create({ handle: 'wanted' })),
        );
        expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
        const codes = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []));
        expect(codes).toEqual(Array.from({ length: MANY - 1 }, () => 'ALREADY_EXISTS'));
        const [first] = clients as [(typeof clients)[number]];
        expect(await first.list()).toEqual(['wanted']);
        const box = first.container('wanted');
        expect((await box.run('exit 3')).exitStatus).toBe(3);
        await box.destroy();
        // and again, all at once, with as many handles as there are networks for
        const begun = performance.now();
        await Promise.all(clients.map((client, at) => client.create({ handle: `own-${at}` })));
        expect(await first.list()).toHaveLength(MANY);
        await Promise.all(clients.map((client, at) => client.container(`own-${at}`).destroy()));
        expect(performance.now() - begun).toBeLessThan(patience(60_000));
      }),
    180_000,
  );
});
