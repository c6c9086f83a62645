/** Copies against somebody who works against them, and against sudden ends of everything that takes part. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer } from '@warden/client';
import { describeWith, startDaemon, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';
import { copyHelpers, stopCopyHelper } from './copy-helpers.ts';
import { text } from './text.ts';
import { until } from './until.ts';

/** Enough for a copy to be caught in the middle of it. */
const LARGE = 400 * 1024 * 1024;
const FAILED = /^(COMMAND_FAILED|FORBIDDEN|INVALID_SPEC|ABORTED)$/;

function writeLarge(file: string): void {
  const fd = fs.openSync(file, 'w');
  const part = Buffer.alloc(1024 * 1024, 'x');
  for (let written = 0; written < LARGE; written += part.length) fs.writeSync(fd, part);
  fs.closeSync(fd);
}

function temporaries(directory: string): string[] {
  return fs
    .readdirSync(directory, { recursive: true })
    .map(String)
    .filter((name) => name.includes('.warden-copy.'));
}

describeWith(['root', 'isolated', 'overlayfs'], 'hostile copies', () => {
  const suite = withDaemon({ config: { network: { release_delay: 0 } } });
  let counter = 0;
  const helpers = (word?: string): number[] => copyHelpers(suite.daemon.place, word);

  const stopped = (role: 'inside' | 'outside', object: string): Promise<number> =>
    stopCopyHelper(suite.daemon.place, role, object);

  async function withBox(
    body: (box: ClientContainer, host: string) => Promise<void>,
    shared = false,
  ): Promise<void> {
    const host = path.join(suite.daemon.place.directory, `hostile-${counter++}`);
    fs.mkdirSync(path.join(host, 'shared'), { recursive: true });
    const warden = await suite.daemon.connect();
    try {
      await using box = await warden.create({
        bindMounts: shared ? [{ source: path.join(host, 'shared'), target: '/shared', mode: 'rw' }] : [],
      });
      await body(box as ClientContainer, host);
    } finally {
      fs.rmSync(host, { recursive: true, force: true });
    }
  }

  it('what is named as the depot is not written there, by a copy out into a directory above it', () =>
    withBox(async (box) => {
      const { depot } = suite.daemon.place;
      const above = path.dirname(depot);
      const id = path.basename((await box.info()).containerPath!);
      const record = path.join(depot, id, 'snapshot.json');
      const before = fs.readFileSync(record, 'utf8');
      const name = path.basename(depot);
      const made = `mkdir -p /tmp/out/${name}/${id} && echo evil > /tmp/out/${name}/${id}/snapshot.json && echo good > /tmp/out/good`;
      expect((await box.run(made)).exitStatus).toBe(0);
      for (const source of ['/tmp/out/', `/tmp/out/${name}`])
        await expect(box.copyOut(source, above)).rejects.toMatchObject({
          code: 'INVALID_SPEC',
          message: expect.stringContaining('write into a directory of the daemon'),
        });
      expect(fs.readFileSync(record, 'utf8')).toBe(before);
      expect(fs.readFileSync(path.join(above, 'good'), 'utf8')).toBe('good\n');
      fs.rmSync(path.join(above, 'good'));
    }));

  it('a directory that turns into a link to the host and back never gives host content out [SECURITY F01]', () =>
    withBox(async (box, host) => {
      const secret = path.join(host, 'secret');
      fs.mkdirSync(secret);
      fs.writeFileSync(path.join(secret, 'file'), 'of the host');
      const swap = `mkdir /tmp/d; echo inside > /tmp/d/file; cd /tmp; while :; do mv d e; ln -s ${secret} d; rm d; mv e d; done`;
      const job = await box.spawn(swap);
      const seen = { inside: 0, refused: 0 };
      await until(async () => {
        const target = path.join(host, 'got');
        try {
          await box.copyOut('/tmp/d/file', target);
          expect(fs.readFileSync(target, 'utf8')).toBe('inside\n');
          seen.inside++;
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(FAILED) });
          seen.refused++;
        }
        return seen.inside > 20 && seen.refused > 20;
      });
      await job.kill();
    }));

  it('a destination that the container turns into links is never left by the side on the host [SECURITY F07]', () =>
    withBox(async (box, host) => {
      const outside = path.join(host, 'outside');
      fs.mkdirSync(outside);
      await box.run('mkdir -p ~/tree/sub; for i in $(seq 1 200); do echo $i > ~/tree/sub/$i; done');
      const job = await box.spawn(
        `cd /shared; while :; do echo >> count; mv tree/sub tree/old; ln -s ${outside} tree/sub; ln -s ${outside}/file tree/sub/7; rm tree/sub; mv tree/old tree/sub; done 2>/dev/null`,
        { privileged: true },
      );
      // by the directory that both have: a look from inside would take the processor from those who change it
      const swaps = () => fs.statSync(path.join(host, 'shared/count'), { throwIfNoEntry: false })?.size ?? 0;
      for (let round = 0; round < 30 || swaps() <= 100; round++) {
        await box.copyOut('/home/vcap/tree', path.join(host, 'shared')).catch((error: unknown) => {
          expect(error).toMatchObject({ code: expect.stringMatching(FAILED) });
        });
      }
      await job.kill();
      expect(fs.readdirSync(outside)).toEqual([]);
    }, true));

  it('files that are replaced while they are copied arrive whole, files that grow come to an end [SECURITY F04]', () =>
    withBox(async (box, host) => {
      const letters =
        'for c in a b; do head -c 300000 /dev/zero | tr "\\\\0" $c > ~/new; mv ~/new ~/d/file; done';
      const job = await box.spawn(
        `mkdir ~/d; ${letters}; echo > ~/grows; while :; do head -c 100000 /dev/zero >> ~/grows; ${letters}; done`,
      );
      await until(async () => (await box.run('test -s ~/grows -a -s ~/d/file')).exitStatus === 0);
      for (let round = 0; round < 40; round++) {
        try {
          await box.copyOut('/home/vcap/d/', path.join(host, 'got'));
        } catch (error) {
          expect(error).toMatchObject({ code: 'COMMAND_FAILED' });
          continue;
        }
        const content = fs.readFileSync(path.join(host, 'got/file'), 'utf8');
        expect(new Set(content).size).toBe(1);
      }
      await box.copyOut('/home/vcap/grows', path.join(host, 'grown'));
      expect(fs.statSync(path.join(host, 'grown')).size).toBeGreaterThan(0);
      await job.kill();
      expect(temporaries(host)).toEqual([]);
    }));

  it('a tree of pipes, sockets, devices and odd names neither blocks nor brings them along [SECURITY F13 F14]', () =>
    withBox(async (box, host) => {
      const names = [
        '-rf',
        '*',
        '$(x)',
        ' ',
        "it's",
        'new\\nline',
        '\\x1b[31m',
        '\\xff\\xfe',
        `${'n'.repeat(255)}`,
      ];
      const touch = names.map((name) => `touch -- $'${name.replaceAll("'", "\\'")}'`).join('; ');
      const { exitStatus } = await box.run(
        `mkdir /tmp/odd; cd /tmp/odd; ${touch}; mkfifo pipe; mknod zero c 1 5; mknod disk b 7 0; chmod 755 .`,
        { privileged: true },
      );
      expect(exitStatus).toBe(0);
      await box.copyOut('/tmp/odd', host);
      const arrived = fs
        .readdirSync(path.join(host, 'odd'), { encoding: 'buffer' })
        .map((name) => name.toString('latin1'));
      expect(arrived.sort()).toEqual(
        ['-rf', '*', '$(x)', ' ', "it's", 'new\nline', '\x1b[31m', '\xff\xfe', 'n'.repeat(255)].sort(),
      );
    }));

  it('the side inside cannot be looked into, stopped in its tracks or replaced by its own user [SECURITY E42]', () =>
    withBox(async (box, host) => {
      writeLarge(path.join(host, 'large'));
      const copy = box.copyIn(path.join(host, 'large'), '/tmp/large');
      const outside = await stopped('outside', host);
      const script = [
        'for p in /proc/[0-9]*; do grep -qs "^warden-copy" $p/cmdline && pid=$(basename $p); done',
        'echo "found $pid"; grep -E "^(CapEff|CapInh|CapAmb|NoNewPrivs)" /proc/$pid/status',
        'for f in mem maps environ exe fd cwd root; do { cat < /proc/$pid/$f || ls /proc/$pid/$f/; } >/dev/null 2>&1 && echo open $f; done; true',
      ].join('\n');
      const result = text((await box.run(script)).stdout);
      process.kill(outside, 'SIGCONT');
      await copy;
      expect(result).toMatch(/^found [0-9]+\n/);
      expect(result).not.toContain('open ');
      expect(result).toMatch(
        /CapInh:\s+0+\n(.*\n)*CapEff:\s+0+\n(.*\n)*CapAmb:\s+0+\n(.*\n)*NoNewPrivs:\s+1/,
      );
    }));

  it.each(['inside', 'outside'] as const)(
    'a helper that is killed %s is an error, and neither process nor half file is left [SECURITY L08]',
    (role) =>
      withBox(async (box, host) => {
        writeLarge(path.join(host, 'large'));
        await box.run('echo old > /tmp/large');
        const copy = box.copyIn(path.join(host, 'large'), '/tmp/large');
        const settled = expect(copy).rejects.toMatchObject({
          code: 'COMMAND_FAILED',
          message: expect.stringMatching(/^command exited with failure: /),
        });
        process.kill(await stopped(role, role === 'outside' ? host : '/tmp/large'), 'SIGKILL');
        await settled;
        expect(helpers()).toEqual([]);
        expect(text((await box.run('cd /tmp; ls -A; head -c 10 large')).stdout)).toBe('large\nold\n');
      }),
  );

  it('a stop ends a copy in; the old file stays [behaviour 5 Stop]', () =>
    withBox(async (box, host) => {
      writeLarge(path.join(host, 'large'));
      await box.run('echo old > ~/large');
      const copy = box.copyIn(path.join(host, 'large'), '/home/vcap/large');
      const settled = expect(copy).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
      const outside = await stopped('outside', host);
      const stop = box.stop();
      await delay(50);
      process.kill(outside, 'SIGCONT');
      await stop;
      await settled;
      await box.copyOut('/home/vcap/large', path.join(host, 'back'));
      expect(fs.readFileSync(path.join(host, 'back'), 'utf8')).toBe('old\n');
    }));

  it('a client that goes away does not end a copy, and nothing of it stays behind', () =>
    withBox(async (box, host) => {
      writeLarge(path.join(host, 'large'));
      const other = await suite.daemon.connect();
      const copy = other.container(box.handle).copyIn(path.join(host, 'large'), '/tmp/large');
      copy.catch(() => {});
      const outside = await stopped('outside', host);
      await other.close().catch(() => {});
      process.kill(outside, 'SIGCONT');
      await until(() => helpers().length === 0);
      expect(text((await box.run('stat -c %s /tmp/large; ls -A /tmp')).stdout)).toBe(`${LARGE}\nlarge\n`);
    }));
});

describeWith(['root', 'isolated', 'overlayfs'], 'copies and a killed daemon', () => {
  it('a daemon that is killed takes its copies along; the container lives on and copies again [SECURITY L03]', async () => {
    const first = await startDaemon();
    const { place } = first;
    let last = first;
    try {
      const client = await first.connect();
      const box = await client.create();
      const host = path.join(place.directory, 'files');
      fs.mkdirSync(host);
      writeLarge(path.join(host, 'large'));
      await box.copyIn(path.join(host, 'large'), '/tmp/large');
      const copies = [
        box.copyOut('/tmp/large', path.join(host, 'back')),
        box.copyIn(path.join(host, 'large'), '/tmp/again'),
      ];
      for (const copy of copies) copy.catch(() => {});
      await until(() => copyHelpers(place, 'outside').length === 2);
      await first.kill('SIGKILL');
      await until(() => copyHelpers(place).length === 0);
      expect(temporaries(host)).toEqual([]);
      last = await startDaemon({ place });
      const again = (await last.connect()).container(box.handle);
      await again.copyOut('/tmp/large', path.join(host, 'back'));
      expect(fs.statSync(path.join(host, 'back')).size).toBe(LARGE);
      const { jobIds } = await again.info();
      expect(jobIds).toEqual([]);
    } finally {
      await last.stop();
      await last.kill();
      await place.remove();
    }
  });
});
