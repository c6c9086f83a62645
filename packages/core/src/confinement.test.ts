import fs from 'node:fs';
import { afterEach, expect, it, vi } from 'vitest';
import { confinementOf } from './confinement.ts';
import type { CoreOptions } from './options.ts';

afterEach(() => vi.restoreAllMocks());

const OPTIONS = {
  allowNested: false,
  drivers: { init: { supports: { isolation: true } } },
  security: { capabilities: 0n, noNewPrivileges: true, seccomp: true },
} as unknown as CoreOptions;

/** What the kernel says of /proc/sys/kernel/core_pattern: its content, or an errno. */
function coreDumps(answer: { readonly content: string } | { readonly code: string }): boolean {
  vi.spyOn(fs, 'readFileSync').mockImplementation((() => {
    if ('content' in answer) return answer.content;
    throw Object.assign(new Error(answer.code), answer);
  }) as never);
  return confinementOf(OPTIONS, 10_000).coreDumps;
}

it.each([
  [{ content: 'core\n' }, true],
  [{ content: '|/usr/lib/handler %p\n' }, false],
  [{ content: '@socket\n' }, false],
  [{ code: 'ENOENT' }, true],
  // nobody knows where they would go
  [{ code: 'EMFILE' }, false],
  [{ code: 'EIO' }, false],
])('core files where the pattern is %o: %s', (answer, expected) => {
  expect(coreDumps(answer)).toBe(expected);
});
