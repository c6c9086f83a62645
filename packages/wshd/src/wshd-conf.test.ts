import { type InitSpec, UNCONFINED } from '@warden/interface';
import { expect, test } from 'vitest';
import { renderWshdConf } from './wshd-conf.ts';

const spec = (confinement: Partial<InitSpec['confinement']>): InitSpec =>
  ({
    hostname: 'h',
    nice: 0,
    cgroupJoinFiles: [],
    network: undefined,
    user: { name: 'vcap', uid: 10_000, gid: 10_000, home: '/home/vcap', shell: '/bin/sh' },
    confinement: { ...UNCONFINED, ...confinement },
  }) as never;

test('each container gets its own covered paths, although most have the same', () => {
  const covered = (maskedPaths: readonly string[], readonlyPaths: readonly string[]): string[] =>
    renderWshdConf(spec({ maskedPaths, readonlyPaths }))
      .split('\n')
      .filter((line) => /^(mask|readonly) /.test(line));
  const masked = ['/proc/kcore'];
  expect(covered(masked, ['/proc/sys'])).toEqual(['mask /proc/kcore', 'readonly /proc/sys']);
  expect(covered(masked, ['/proc/irq'])).toEqual(['mask /proc/kcore', 'readonly /proc/irq']);
  expect(covered(['/proc/keys', '/proc/a b'], ['/proc/irq'])).toEqual([
    'mask /proc/keys',
    'mask /proc/a\\040b',
    'readonly /proc/irq',
  ]);
});
