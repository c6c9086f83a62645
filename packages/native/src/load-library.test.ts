import { existsSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { callOnThread, libraryPath } from './load-library.ts';

vi.mock(import('node:fs'), async (original) => {
  const fs = await original();
  return { ...fs, existsSync: vi.fn(fs.existsSync) };
});

const before = process.env.WARDEN_NATIVE_LIBRARY;
afterEach(() => {
  if (before === undefined) delete process.env.WARDEN_NATIVE_LIBRARY;
  else process.env.WARDEN_NATIVE_LIBRARY = before;
});

describe('libraryPath', () => {
  it('finds the library that was built', () => {
    delete process.env.WARDEN_NATIVE_LIBRARY;
    expect(libraryPath()).toMatch(/libwarden_native\.so$/);
    expect(existsSync(libraryPath())).toBe(true);
  });

  it('takes the override, and nothing else when it is wrong', () => {
    const found = libraryPath();
    process.env.WARDEN_NATIVE_LIBRARY = found;
    expect(libraryPath()).toBe(found);
    process.env.WARDEN_NATIVE_LIBRARY = '/no/such.so';
    expect(() => libraryPath()).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        fields: expect.objectContaining({ tried: ['/no/such.so'] }),
      }),
    );
  });
});

describe('the name of the platform package', () => {
  it('is found without a look at the network', () => {
    delete process.env.WARDEN_NATIVE_LIBRARY;
    const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean };
    const isExcluded: boolean[] = [];
    const get = report.getReport.bind(report);
    const getting = vi.spyOn(report, 'getReport').mockImplementation(() => {
      isExcluded.push(report.excludeNetwork);
      return get();
    });
    vi.mocked(existsSync).mockReturnValue(false);
    try {
      expect(() => libraryPath()).toThrow('not found');
      expect(isExcluded.length).toBeGreaterThan(0);
      expect(isExcluded).not.toContain(false);
      expect(report.excludeNetwork).toBe(false);
    } finally {
      getting.mockRestore();
      vi.mocked(existsSync).mockReset();
    }
  });
});

describe('callOnThread', () => {
  const name = Buffer.from('lo\0');
  const ask = (count: number): Promise<PromiseSettledResult<number>[]> =>
    Promise.allSettled(Array.from({ length: count }, () => callOnThread('warden_interface_index', name)));

  it('takes a thousand calls at once', async () => {
    const answers = await ask(1_000);
    expect(answers.filter(({ status }) => status === 'rejected')).toEqual([]);
  });

  it('refuses more than there is room for, and serves the others and whoever comes later', async () => {
    const answers = await ask(5_000);
    const refused = answers.filter((answer) => answer.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(1_000);
    expect(refused[0]!.reason).toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { operation: 'warden_interface_index', errno: 'EAGAIN' },
    });
    expect((await ask(1))[0]!.status).toBe('fulfilled');
  });
});
