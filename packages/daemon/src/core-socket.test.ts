import fs from 'node:fs';
import { silentLogger } from '@warden/interface';
import { afterEach, expect, it, vi } from 'vitest';
import { type Configuration, checkConfiguration } from './config.ts';
import { checkCoreSocket } from './core-socket.ts';
import { surveyHost } from './survey.ts';

afterEach(() => vi.restoreAllMocks());

const PATTERN = '/proc/sys/kernel/core_pattern';

function hostHas(pattern: string | undefined): void {
  const real = fs.readFileSync;
  vi.spyOn(fs, 'readFileSync').mockImplementation(((file: string, ...rest: [never]) => {
    if (file !== PATTERN) return real(file, ...rest);
    if (pattern === undefined) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' });
    return `${pattern}\n`;
  }) as never);
}

const CONFINED = checkConfiguration({ server: {} });

function told(configuration: Configuration = CONFINED): unknown[][] {
  const warn = vi.fn();
  checkCoreSocket(configuration, { ...silentLogger, warn });
  return warn.mock.calls;
}

it.each(['@/run/cores.socket', '@@/run/cores.socket'])('a socket for core files is told: %s', (pattern) => {
  hostHas(pattern);
  expect(told()).toEqual([
    ['core-files-to-a-socket', expect.objectContaining({ pattern, advice: expect.any(String) })],
  ]);
  expect(surveyHost().find(({ subject }) => subject === 'core files')).toMatchObject({
    ok: false,
    found: expect.stringContaining(pattern),
    advice: expect.stringContaining('kernel.core_pattern'),
  });
});

it.each(['core', '|/usr/lib/handler %p', '/var/cores/%p', undefined])('nothing is told of %s', (pattern) => {
  hostHas(pattern);
  expect(told()).toEqual([]);
  expect(surveyHost().find(({ subject }) => subject === 'core files')).toMatchObject({ ok: true });
});

it('nor of any where jobs are plain processes', () => {
  hostHas('@/run/cores.socket');
  const insecure = { server: { container_klass: 'Warden::Container::Insecure' } };
  expect(told(checkConfiguration(insecure))).toEqual([]);
});
