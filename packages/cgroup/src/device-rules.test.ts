import { describe, expect, it } from 'vitest';
import { DEVICE_RULES, formatRule } from './device-rules.ts';

describe('the device rules', () => {
  it('are the list of the specification and full (linux-container.md 9.2, drivers.md 2.7)', () => {
    expect(DEVICE_RULES.map(formatRule)).toEqual([
      'c 1:3 rw',
      'c 1:5 rw',
      'c 1:7 rw',
      'c 1:8 rw',
      'c 1:9 rw',
      'c 5:0 rw',
      'c 5:2 rw',
      'c 136:* rw',
      'c 10:229 rw',
    ]);
  });
});
