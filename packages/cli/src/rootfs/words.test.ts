import { describe, expect, it } from 'vitest';
import { CommandError } from '../command-error.ts';
import { parseRootfsWords } from './words.ts';

describe('parseRootfsWords', () => {
  const none = { force: false, json: false, mirrorFromHost: false, help: false, include: [] };

  it.each([
    [['build', '/d'], { directory: '/d' }],
    [['build', '--force', '/d', '--json'], { directory: '/d', force: true, json: true }],
    [
      ['build', '--suite', 'trixie', '--include=a,b', '--mirror', 'http://m.example/debian', '/d'],
      { directory: '/d', suite: 'trixie', include: ['a', 'b'], mirror: 'http://m.example/debian' },
    ],
    [['build', '--mirror_from_host', '--config', '/c.yml'], { mirrorFromHost: true, config: '/c.yml' }],
    [['build', '--help'], { help: true }],
    [['--help'], { help: true }],
  ])('reads %j [linux-container 23]', (words, expected) => {
    expect(parseRootfsWords(words)).toEqual({ ...none, ...expected });
  });

  it.each([
    [[], "rootfs: the word 'build' is missing"],
    [['destroy'], "rootfs: unknown action 'destroy', expected 'build'"],
    [['build', '/a', '/b'], "rootfs build: more than one directory: '/b'"],
    [['build', ''], 'rootfs build: the directory is an empty word'],
    [['build', '--nope', '/a'], 'invalid option: --nope'],
    [['build', '--force=1', '/a'], 'invalid option: --force=1'],
    [['build', '/a', '--suite'], 'missing argument: --suite'],
    [['build', '/a', '--config', '/c'], 'rootfs build: give either a directory or --config'],
    [
      ['build', '/a', '--mirror-from-host', '--mirror', 'http://x'],
      'rootfs build: give either --mirror or --mirror-from-host',
    ],
    [['build', '/a', '--mirror', '--foreign'], "rootfs build: no mirror: '--foreign'"],
    [['build', '/a', '--suite', '--foreign'], "rootfs build: no suite: '--foreign'"],
    [['build', '/a', '--suite', '../x'], "rootfs build: no suite: '../x'"],
    [['build', '/a', '--include', 'a,-b'], "rootfs build: no package name: '-b'"],
    [['build', '/a', '--include', 'a, b'], "rootfs build: no package name: ' b'"],
  ])('refuses %j [linux-container 23]', (words, text) => {
    expect(() => parseRootfsWords(words)).toThrow(new CommandError(text));
  });
});
