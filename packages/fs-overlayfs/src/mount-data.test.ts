import { describe, expect, it } from 'vitest';
import { escapePath, overlayOptions } from './mount-data.ts';

describe('the option string (kernel: overlayfs.rst)', () => {
  it('escapes what would end an option or a layer', () => {
    expect(escapePath('/a,b:c\\d', 'lower')).toBe('/a\\,b\\:c\\\\d');
    expect(escapePath('/a,b:c\\d', 'upper')).toBe('/a\\,b:c\\\\d');
  });
  it('names the three directories', () => {
    expect(overlayOptions({ lower: ['/top:', '/base'], upper: '/up', work: '/work' })).toEqual([
      'lowerdir=/top\\::/base',
      'upperdir=/up',
      'workdir=/work',
    ]);
  });
});
