import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { ERRNO_NAMES } from './errno-names.ts';

it('agrees with the numbers of this platform', () => {
  const synonyms: Readonly<Record<string, string>> = {
    EWOULDBLOCK: 'EAGAIN',
    ENOTSUP: 'EOPNOTSUPP',
    EDEADLOCK: 'EDEADLK',
  };
  for (const [name, number] of Object.entries(constants.errno)) {
    expect(ERRNO_NAMES[number]).toBe(synonyms[name] ?? name);
  }
});
