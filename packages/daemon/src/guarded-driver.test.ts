import {
  driverFlaws,
  type FilesystemDriver,
  type Logger,
  silentLogger,
  WardenError,
} from '@warden/interface';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { guarded } from './guarded-driver.ts';

const SPEC = { id: '0123456789a', directory: '/nowhere/0123456789a', base: '/' };
const MODULE = '/opt/mine.js';

afterEach(() => vi.useRealTimers());

/** What a method of somebody's driver does, the rest being right. */
type Methods = Readonly<Record<string, (...words: never[]) => unknown>>;

function filesystem(methods: Methods): FilesystemDriver {
  const right = {
    role: 'filesystem',
    name: 'mine',
    supports: { wholeRootWritable: true, constantTimeCreate: true, nestable: true },
    probe: async () => ({ ok: true }),
    plan: () => ({ layer: 'tmp/rootfs' }),
    prepare: async () => {},
    mounts: () => [{ type: 'none', source: '/a', target: '/', options: ['bind'] }],
    release: async () => {},
  };
  return { ...right, ...methods } as never;
}

/** A guarded driver and what was logged of it. */
function guard(methods: Methods): { driver: FilesystemDriver; log: unknown[][] } {
  const log: unknown[][] = [];
  const note = (...line: unknown[]): void => void log.push(line);
  const logger: Logger = { ...silentLogger, warn: note, error: note };
  const driver = guarded(filesystem(methods), { role: 'filesystem', module: MODULE, logger });
  return { driver, log };
}

describe('a method that fails', () => {
  it.each([
    [
      'throws at once',
      () => {
        throw new TypeError('x is undefined');
      },
      'x is undefined',
    ],
    [
      'rejects',
      async () => {
        throw new TypeError('x is undefined');
      },
      'x is undefined',
    ],
    ['rejects with nothing', () => Promise.reject(undefined), 'undefined'],
  ])('%s: the error names the module and the method, the log its place', async (_, prepare, text) => {
    const { driver, log } = guard({ prepare });
    const fields = {
      operation: 'prepare',
      object: MODULE,
      role: 'filesystem',
      driver: 'mine',
      method: 'prepare',
      advice: 'a defect of the driver that drivers.filesystem names, not of warden: tell its author',
    };
    const message = `drivers.filesystem: ${MODULE} failed in prepare: ${text}`;
    await expect(driver.prepare(SPEC, {})).rejects.toMatchObject({ code: 'INTERNAL', message, fields });
    expect(log).toEqual([['driver-failed', expect.objectContaining({ method: 'prepare', error: text })]]);
  });

  it('passes an error of the contract as it is', async () => {
    const error = new WardenError('NATIVE_FAILED', 'no space', {
      fields: { operation: 'copy', errno: 'ENOSPC' },
    });
    const { driver, log } = guard({ prepare: () => Promise.reject(error) });
    await expect(driver.prepare(SPEC, {})).rejects.toBe(error);
    expect(log).toEqual([]);
  });

  it('takes an error of the kernel for what it is', async () => {
    const cause = Object.assign(new Error('ENOSPC: no space'), {
      code: 'ENOSPC',
      syscall: 'write',
      path: '/a',
    });
    const { driver } = guard({ prepare: () => Promise.reject(cause) });
    await expect(driver.prepare(SPEC, {})).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      cause,
      fields: { errno: 'ENOSPC', object: '/a', method: 'prepare' },
    });
  });

  it('gives no container up for an error of the kernel that no driver has put into words', async () => {
    const cause = Object.assign(new Error('ENODEV: no such device'), { code: 'ENODEV', syscall: 'open' });
    const network = { name: 'mine', restore: () => Promise.reject(cause) };
    const driver = guarded(network as never, { role: 'network', module: MODULE, logger: silentLogger });
    const error = await (driver as never as { restore(): Promise<void> })
      .restore()
      .catch((one: unknown) => one);
    expect(error).toMatchObject({ code: 'NATIVE_FAILED', cause });
    expect((error as WardenError).fields).not.toHaveProperty('errno');
  });
});

describe('an answer that is not what the contract says', () => {
  it.each<[string, unknown, string]>([
    ['plan', undefined, 'nothing'],
    ['plan', Promise.resolve({ layer: 'a' }), 'a promise'],
    ['plan', 'layer', '"layer"'],
    ['plan', { size: 1n }, '{"size":"1n"}'],
    ['plan', { nested: {} }, '{"nested":{}}'],
    ['plan', ['a'], '["a"]'],
    ['plan', { size: Number.NaN }, '{"size":null}'],
    ['mounts', undefined, 'nothing'],
    ['mounts', [], '[]'],
    ['mounts', [{ type: 'none', source: '/a', target: '/', options: 'bind' }], '[{'],
  ])('of %s: %s', (method, answer, words) => {
    const { driver } = guard({ [method]: () => answer });
    const call = (): unknown =>
      (driver as never as Record<string, (...all: unknown[]) => unknown>)[method]!(SPEC, {});
    expect(call).toThrow(`drivers.filesystem: ${MODULE} failed in ${method}: it answered ${words}`);
  });

  it('leaves no rejected promise behind, which would end the daemon', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    const { driver } = guard({ plan: () => Promise.reject(new Error('later')) });
    expect(() => driver.plan(SPEC)).toThrow('it answered a promise');
    await new Promise(setImmediate);
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });

  it('is looked for in what a cgroup driver supports, once it is set up', async () => {
    const cgroup = { name: 'mine', supports: { version: 3 }, setup: async () => {} };
    const driver = guarded(cgroup as never, { role: 'cgroup', module: MODULE, logger: silentLogger });
    await expect((driver as never as { setup(): Promise<void> }).setup()).rejects.toThrow(
      'failed in setup: it has left supports.version, supports.memory',
    );
  });
});

describe('a probe', () => {
  it.each<[string, () => unknown, string]>([
    [
      'throws',
      () => {
        throw new Error('no');
      },
      'no',
    ],
    ['rejects', () => Promise.reject(new Error('no')), 'no'],
    ['answers nothing', async () => undefined, 'it answered nothing'],
    ['gives no reason', async () => ({ ok: false }), 'it answered {"ok":false}'],
  ])('that %s is a driver that does not work here', async (_, probe, reason) => {
    const { ok, reason: found } = (await guard({ probe }).driver.probe('/depot')) as never as Record<
      string,
      string
    >;
    expect([ok, found]).toEqual([false, expect.stringContaining(`${MODULE} failed in probe: ${reason}`)]);
  });

  it('that does not end is one, too', async () => {
    vi.useFakeTimers();
    const answer = guard({ probe: () => new Promise(() => {}) }).driver.probe('/depot');
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await answer).toEqual({
      ok: false,
      reason: `drivers.filesystem: ${MODULE} failed in probe: it has not answered within 30 s`,
    });
  });
});

describe('a call that does not end', () => {
  it('is told of with the container, ever more seldom, and no more once it has ended', async () => {
    vi.useFakeTimers();
    let end = (): void => {};
    const prepare = (): Promise<void> =>
      new Promise((resolve) => {
        end = resolve;
      });
    const { driver, log } = guard({ prepare });
    const call = driver.prepare(SPEC, {});
    await vi.advanceTimersByTimeAsync(100_000);
    const told = { role: 'filesystem', driver: 'mine', module: MODULE, method: 'prepare', id: SPEC.id };
    expect(log).toEqual(
      [30, 90].map((seconds) => ['driver-does-not-answer', expect.objectContaining({ ...told, seconds })]),
    );
    end();
    await call;
    await vi.advanceTimersByTimeAsync(1_000_000);
    expect(log).toHaveLength(2);
  });
});

describe('a right driver', () => {
  it('is as it was: fields of its own, methods it lacks, names and answers', async () => {
    class Mine {
      readonly role = 'filesystem' as const;
      readonly name = 'mine';
      readonly #layer: string = 'tmp/rootfs';
      get supports() {
        return { wholeRootWritable: this.#layer !== '', constantTimeCreate: true, nestable: true };
      }
      async probe() {
        return { ok: true, detail: this.#layer } as const;
      }
      plan() {
        return { layer: this.#layer };
      }
      async prepare() {}
      mounts() {
        return [{ type: 'none', source: `/${this.#layer}`, target: '/', options: [] }];
      }
      async release() {}
    }
    const mine: FilesystemDriver = new Mine();
    const driver = guarded(mine, { role: 'filesystem', module: MODULE, logger: silentLogger });
    expect(driverFlaws('filesystem', mine as never)).toEqual([]);
    expect([driver.supports, driver.name, driver.writableLayer]).toEqual([mine.supports, 'mine', undefined]);
    expect([await driver.probe(''), driver.plan(SPEC)]).toEqual([await mine.probe(''), mine.plan(SPEC)]);
    expect(driver.mounts(SPEC, {})).toEqual(mine.mounts(SPEC, {}));
    expect(driver.prepare).toBe(driver.prepare);
  });
});
