import { describe, expect, it } from 'vitest';
import { DEVICE_RULES, devicesOf, formatRule } from './device-rules.ts';

describe('the device rules', () => {
  it('are the list of the specification and full, without fuse (linux-container.md 9.2, drivers.md 2.7)', () => {
    expect(DEVICE_RULES.map(formatRule)).toEqual([
      'c 1:3 rw',
      'c 1:5 rw',
      'c 1:7 rw',
      'c 1:8 rw',
      'c 1:9 rw',
      'c 5:0 rw',
      'c 5:2 rw',
      'c 136:* rw',
    ]);
  });

  it('take fuse in by opt-in alone, and everything for a nested warden', () => {
    const spec = { id: '0123456789a', allowAllDevices: false, pidsLimit: undefined };
    expect(devicesOf(spec)).toBe(DEVICE_RULES);
    const withFuse = devicesOf({ ...spec, allowFuse: true });
    expect(withFuse).not.toBe('all');
    expect(withFuse.slice(DEVICE_RULES.length)).toEqual([{ type: 'c', major: 10, minor: 229, access: 'rw' }]);
    expect(devicesOf({ ...spec, allowAllDevices: true, allowFuse: true })).toBe('all');
  });
});
