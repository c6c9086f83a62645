/** A step that is listed is tried: a new one without its scenario fails here. */
import { describe, expect, it } from 'vitest';
import { SCENARIOS } from './scenarios.ts';
import { listed } from './world.ts';

describe('every failpoint', () => {
  it('that wardend lists has a scenario, and every scenario a failpoint', () => {
    expect(Object.keys(SCENARIOS).sort()).toEqual(listed('wardend').sort());
  });
});
