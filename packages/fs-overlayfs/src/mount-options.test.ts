import { describe, expect, it } from 'vitest';
import { optionWords } from './mount-options.ts';

describe('the options', () => {
  it('are volatile where the kernel has it, unless somebody says otherwise', () => {
    expect(optionWords({}, '5.9.16')).toEqual([]);
    expect(optionWords({}, '5.10.0-8-amd64')).toEqual(['volatile']);
    expect(optionWords({}, '6.1')).toEqual(['volatile']);
    expect(optionWords({ volatile: false }, '6.1')).toEqual([]);
    expect(optionWords({ volatile: true }, '4.19')).toEqual(['volatile']);
  });

  it('become words, each once', () => {
    const all = {
      redirectDir: 'on',
      metacopy: true,
      index: false,
      xino: 'auto',
      mountOptions: ['volatile', 'nfs_export=off'],
    } as const;
    expect(optionWords(all, '6.1')).toEqual([
      'volatile',
      'redirect_dir=on',
      'metacopy=on',
      'index=off',
      'xino=auto',
      'nfs_export=off',
    ]);
    expect(optionWords({ userxattr: true, metacopy: false, volatile: false })).toEqual([
      'userxattr',
      'metacopy=off',
    ]);
  });

  it('are refused when they exclude each other', () => {
    for (const options of [
      { userxattr: true, metacopy: true },
      { userxattr: true, redirectDir: 'on' },
      { metacopy: true, redirectDir: 'off' },
      { metacopy: true, redirectDir: 'nofollow' },
    ] as const)
      expect(() => optionWords(options)).toThrow(TypeError);
  });
});
