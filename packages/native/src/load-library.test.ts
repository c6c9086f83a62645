import { existsSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { libraryPath } from './load-library.ts';

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
