/** Process limits of jobs (spec behaviour.md 14). */
import { describeWith, withDaemon } from '@warden/test-harness';
import { describe, expect, it } from 'vitest';
import { text } from './text.ts';

const NAMES: Readonly<Record<string, string>> = {
  'Max address space': 'as',
  'Max core file size': 'core',
  'Max cpu time': 'cpu',
  'Max data size': 'data',
  'Max file size': 'fsize',
  'Max file locks': 'locks',
  'Max locked memory': 'memlock',
  'Max msgqueue size': 'msgqueue',
  'Max nice priority': 'nice',
  'Max open files': 'nofile',
  'Max processes': 'nproc',
  'Max resident set': 'rss',
  'Max realtime priority': 'rtprio',
  'Max pending signals': 'sigpending',
  'Max stack size': 'stack',
};

const DEFAULTS = {
  as: 'unlimited',
  core: '0',
  cpu: 'unlimited',
  data: 'unlimited',
  fsize: 'unlimited',
  locks: 'unlimited',
  memlock: '65536',
  msgqueue: '819200',
  nice: '0',
  nofile: '1024',
  nproc: '1024',
  rss: 'unlimited',
  rtprio: '0',
  sigpending: '1024',
  stack: '8388608',
};

/** `name → soft`, where soft and hard are equal; both otherwise. */
function limitsIn(output: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of output.split('\n')) {
    const [, title = '', soft = '', hard = ''] = /^(.{26})(\S+)\s+(\S+)/.exec(line) ?? [];
    const name = NAMES[title.trim()];
    if (name !== undefined) found[name] = soft === hard ? soft : `${soft} below ${hard}`;
  }
  return found;
}

const SHOW = 'cat /proc/self/limits';

describeWith(['root', 'isolated', 'overlayfs'], 'process limits', () => {
  const suite = withDaemon();

  it.each([false, true])(
    'of a job are the built-in ones, soft and hard, privileged: %s [behaviour 14]',
    async (privileged) => {
      await using box = await (await suite.daemon.connect()).create();
      expect(limitsIn(text((await box.run(SHOW, { privileged })).stdout))).toEqual(DEFAULTS);
    },
  );

  it.each([false, true])(
    'are those of the request, all fifteen, privileged: %s [behaviour 14] [linux-container 25 rlimits]',
    async (privileged) => {
      await using box = await (await suite.daemon.connect()).create();
      // none above what every host lets its root have; the stack below the address space, or nothing could be run
      const wanted: Record<string, bigint> = {
        ...{
          as: 4n << 32n,
          core: 1n,
          cpu: 90n,
          data: 3n << 32n,
          fsize: 2n << 32n,
          locks: 5n,
          memlock: 32_768n,
        },
        ...{
          msgqueue: 4_096n,
          nice: 0n,
          nofile: 123n,
          nproc: 77n,
          rss: 1n << 32n,
          rtprio: 0n,
          sigpending: 66n,
        },
        stack: 4n << 20n,
      };
      const { stdout, stderr } = await box.run(SHOW, { privileged, rlimits: wanted });
      expect(limitsIn(text(stdout)), text(stderr)).toEqual(
        Object.fromEntries(Object.entries(wanted).map(([name, value]) => [name, String(value)])),
      );
      // the original's own test
      const files = await box.run('ulimit -n', { privileged, rlimits: { nofile: 1_234n } });
      expect(text(files.stdout)).toBe('1234\n');
    },
  );

  it('of one job are not those of a later one [behaviour 20 row 21]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const odd = { nofile: 77n, nproc: 33n, core: 5n, stack: 1n << 20n, memlock: 0n };
    expect(limitsIn(text((await box.run(SHOW, { rlimits: odd })).stdout))).toMatchObject({
      nofile: '77',
      nproc: '33',
      memlock: '0',
    });
    expect(limitsIn(text((await box.run(SHOW)).stdout))).toEqual(DEFAULTS);
  });

  it('of 2^64-1 are none [behaviour 14]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const { stdout } = await box.run(SHOW, { rlimits: { core: 0xffff_ffff_ffff_ffffn } });
    expect(limitsIn(text(stdout)).core).toBe('unlimited');
  });

  it.each([false, true])(
    'that the kernel refuses end the job with 255 and a text, and nothing runs, privileged: %s [behaviour 14]',
    async (privileged) => {
      await using box = await (await suite.daemon.connect()).create();
      // more than fs.nr_open, which nobody may have
      const refused = await box.run('echo it ran', { privileged, rlimits: { nofile: 1n << 40n } });
      expect([refused.exitStatus, text(refused.stdout)]).toEqual([255, '']);
      expect(text(refused.stderr)).toMatch(/limit/);
      expect((await box.run('exit 3', { privileged })).exitStatus).toBe(3);
    },
  );

  it('hold: open files cannot be had beyond them [behaviour 14]', async () => {
    await using box = await (await suite.daemon.connect()).create();
    const files = await box.run('for i in $(seq 3 40); do eval "exec $i</dev/null" || exit 9; done', {
      rlimits: { nofile: 20n },
    });
    expect(files.exitStatus).not.toBe(0);
    expect(text(files.stderr)).toMatch(/Too many open files|Bad file descriptor/);
  });
});

describe('configured process limits', () => {
  describeWith(['root', 'isolated', 'overlayfs'], 'of the daemon', () => {
    const suite = withDaemon({
      config: { server: { container_rlimits: { nofile: 500, core: 4_096, nproc: 512, as: 4_294_967_296 } } },
    });

    it('stand over the built-in ones and below those of the request [behaviour 14] [config 2 server]', async () => {
      await using box = await (await suite.daemon.connect()).create();
      const configured = { ...DEFAULTS, nofile: '500', core: '4096', nproc: '512', as: '4294967296' };
      expect(limitsIn(text((await box.run(SHOW)).stdout))).toEqual(configured);
      const { stdout } = await box.run(SHOW, { rlimits: { nofile: 600n, core: 0n } });
      expect(limitsIn(text(stdout))).toEqual({ ...configured, nofile: '600', core: '0' });
    });
  });
});

describe('process limits above those of the daemon', () => {
  describeWith(
    ['root', 'isolated', 'overlayfs', 'cap-sys-resource'],
    'on a host that lets its root raise them',
    () => {
      const suite = withDaemon();

      it.each([false, true])(
        'are raised before the user is switched, privileged: %s [behaviour 14]',
        async (privileged) => {
          await using box = await (await suite.daemon.connect()).create();
          const wanted = {
            memlock: 1n << 40n,
            nice: 20n,
            rtprio: 5n,
            msgqueue: 1n << 30n,
            sigpending: 1n << 20n,
          };
          const { stdout, stderr } = await box.run(SHOW, { privileged, rlimits: wanted });
          expect(limitsIn(text(stdout)), text(stderr)).toMatchObject(
            Object.fromEntries(Object.entries(wanted).map(([name, value]) => [name, String(value)])),
          );
        },
      );
    },
  );
});
