import { expect, it } from 'vitest';
import { nearest } from './suggest.ts';

it.each([
  ['pss', 'ps'],
  ['sp', 'ps'],
  ['insepct', 'inspect'],
  ['insp', 'inspect'],
  ['evnets', 'events'],
  ['fsh', 'fish'],
  ['--confg', '--config'],
  ['x', undefined],
  ['frobnicate', undefined],
  ['', undefined],
  [`events${'x'.repeat(100_000)}`, undefined],
])('for %s it is %s', (word, expected) => {
  expect(nearest(word, ['ps', 'inspect', 'events', 'run', 'zsh', 'fish', '--bonfg', '--config'])).toBe(
    expected,
  );
});
