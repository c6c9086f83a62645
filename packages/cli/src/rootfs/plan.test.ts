import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { planBuild, requireProgram } from './plan.ts';
import { parseRootfsWords } from './words.ts';

let etc: string;
beforeEach(() => {
  etc = mkdtempSync(path.join(os.tmpdir(), 'warden-etc-'));
  mkdirSync(path.join(etc, 'apt'));
  writeFileSync(path.join(etc, 'os-release'), 'ID=debian\nVERSION_CODENAME=bookworm\n');
  writeFileSync(
    path.join(etc, 'apt/sources.list'),
    'deb [signed-by=/k.gpg] http://own.example/debian bookworm main\n',
  );
});
afterEach(() => rmSync(etc, { recursive: true }));

const plan = (words: string[], env: Record<string, string> = {}) =>
  planBuild(parseRootfsWords(['build', '/d', ...words]), env, etc);

/** `apt-config` of a host with the given values. */
function aptConfig(values: Record<string, string>): string {
  const cases = Object.entries(values).map(([key, value]) => `${key}) echo "$1='${value}'";;`);
  const bin = path.join(etc, 'bin');
  mkdirSync(bin, { recursive: true });
  const script = `#!/bin/sh\nshift\nwhile [ $# -gt 0 ]; do case "$2" in ${cases.join(' ')} esac; shift 2; done\n`;
  writeFileSync(path.join(bin, 'apt-config'), script);
  chmodSync(path.join(bin, 'apt-config'), 0o755);
  return `${bin}:/usr/bin:/bin`;
}

describe('what a build takes from the host', () => {
  it('is its release, archive and keyring [linux-container 23]', () => {
    expect(plan([])).toMatchObject({
      suite: 'bookworm',
      mirror: 'http://own.example/debian',
      keyring: '/k.gpg',
      sources: [{ uri: 'http://own.example/debian', suite: 'bookworm' }],
    });
    expect(plan(['--suite', 'trixie'])).toMatchObject({
      suite: 'trixie',
      mirror: 'http://own.example/debian',
      sources: [],
    });
  });

  it('is nothing of its archives when a mirror is given', () => {
    const { keyring, sources, mirror } = plan(['--mirror', 'http://m.example/debian']);
    expect({ keyring, sources, mirror }).toEqual({
      keyring: undefined,
      sources: [],
      mirror: 'http://m.example/debian',
    });
  });

  it('names no archive where the host has none: that is left to debootstrap, unless it was forbidden', () => {
    rmSync(path.join(etc, 'apt/sources.list'));
    expect(plan([])).not.toHaveProperty('mirror');
    expect(() => plan(['--mirror-from-host'])).toThrow(
      'no apt source of this host serves bookworm; give --mirror',
    );
    rmSync(path.join(etc, 'os-release'));
    expect(() => plan([])).toThrow('this host does not name its release; give --suite');
  });

  it('includes the proxy of apt, the one for the archive first [linux-container 23]', () => {
    const PATH = aptConfig({
      'Acquire::http::Proxy': 'http://proxy.example:1',
      'Acquire::https::Proxy': 'DIRECT',
    });
    expect(plan([], { PATH }).environment).toMatchObject({ http_proxy: 'http://proxy.example:1' });
    expect(plan([], { PATH }).environment).not.toHaveProperty('https_proxy');
    const direct = aptConfig({
      'Acquire::http::Proxy': 'http://proxy.example:1',
      'Acquire::http::Proxy::own.example': 'DIRECT',
    });
    expect(plan([], { PATH: direct }).environment).not.toHaveProperty('http_proxy');
  });

  it('asks the program that apt asks for a proxy [linux-container 23]', () => {
    const program = path.join(etc, 'detect');
    writeFileSync(program, '#!/bin/sh\necho "http://found.example:2/?$1"\n', { mode: 0o755 });
    const PATH = aptConfig({ 'Acquire::http::Proxy-Auto-Detect': program });
    expect(plan([], { PATH }).environment.http_proxy).toBe(
      'http://found.example:2/?http://own.example/debian',
    );
  });

  it('takes http_proxy of the environment before that of apt; an empty one is none [linux-container 23]', () => {
    const PATH = aptConfig({ 'Acquire::http::Proxy': 'http://proxy.example:1' });
    expect(plan([], { PATH, http_proxy: 'http://mine.example:3' }).environment.http_proxy).toBe(
      'http://mine.example:3',
    );
    expect(plan([], { PATH, http_proxy: '' }).environment).not.toHaveProperty('http_proxy');
  });
});

describe('requireProgram', () => {
  it('names the one command that installs what is missing [linux-container 23]', () => {
    expect(requireProgram('sh', '')).toMatch(/\/sh$/);
    expect(() => requireProgram('no-such-program', '/bin')).toThrow(
      'no-such-program is missing; install it with: apt-get install no-such-program',
    );
  });
});
