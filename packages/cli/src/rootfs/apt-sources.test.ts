import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chooseSource, readAptSources, sourcesOfSuite } from './apt-sources.ts';

let apt: string;
beforeEach(() => {
  apt = mkdtempSync(path.join(os.tmpdir(), 'warden-apt-'));
  mkdirSync(path.join(apt, 'sources.list.d'));
});
afterEach(() => rmSync(apt, { recursive: true }));

const write = (name: string, ...lines: string[]): void =>
  writeFileSync(path.join(apt, name), `${lines.join('\n')}\n`);

describe('readAptSources', () => {
  it('reads one-line sources with options, and no comments, sources of source code or discs [linux-container 23]', () => {
    write(
      'sources.list',
      '# deb http://commented.example/debian stable main',
      'deb-src http://one.example/debian stable main',
      'deb cdrom:[Debian]/ stable main',
      'deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian stable main contrib # words',
      '  deb file:/srv/mirror stable-updates main',
      'deb http://flat.example/ ./',
    );
    expect(readAptSources(apt)).toEqual([
      {
        uri: 'http://one.example/debian',
        suite: 'stable',
        components: ['main', 'contrib'],
        keyring: '/k.gpg',
      },
      { uri: 'file:/srv/mirror', suite: 'stable-updates', components: ['main'] },
    ]);
  });

  it('reads stanzas, each combination of their archives and suites, and no disabled one [linux-container 23]', () => {
    write(
      'sources.list.d/a.sources',
      'Types: deb deb-src',
      '# a comment',
      'URIs: http://one.example/debian',
      '  https://two.example/debian',
      'Suites: stable stable-updates',
      'Components: main',
      'Signed-By: /usr/share/keyrings/k.gpg',
      '',
      'Types: deb',
      'URIs: http://off.example/debian',
      'Suites: stable',
      'Components: main',
      'Enabled: no',
      '',
      'Types: deb',
      'URIs: http://inline.example/debian',
      'Suites: stable',
      'Components: main',
      'Signed-By:',
      ' -----BEGIN PGP PUBLIC KEY BLOCK-----',
      ' .',
      ' mQ/x',
    );
    const sources = readAptSources(apt);
    expect(sources.map(({ uri, suite }) => `${uri} ${suite}`)).toEqual([
      'http://one.example/debian stable',
      'http://one.example/debian stable-updates',
      'https://two.example/debian stable',
      'https://two.example/debian stable-updates',
      'http://inline.example/debian stable',
    ]);
    expect(sources[0]!.keyring).toBe('/usr/share/keyrings/k.gpg');
    expect(sources[4]!.keyring).toBeUndefined();
  });

  it('reads files in their order, only those apt reads, and nothing where nothing is', () => {
    write('sources.list.d/b.list', 'deb http://b.example/debian stable main');
    write('sources.list.d/a.list', 'deb http://a.example/debian stable main');
    write('sources.list.d/c.list.save', 'deb http://c.example/debian stable main');
    expect(readAptSources(apt).map(({ uri }) => uri)).toEqual([
      'http://a.example/debian',
      'http://b.example/debian',
    ]);
    expect(readAptSources(path.join(apt, 'absent'))).toEqual([]);
  });
});

describe('the source of a build', () => {
  const source = (uri: string, suite: string, components = ['main']) => ({ uri, suite, components });
  const sources = [
    source('vendor', 'bookworm', ['stable']),
    source('own', 'bookworm'),
    source('other', 'trixie'),
    source('security', 'bookworm-security'),
    source('updates', 'bookworm-updates'),
  ];

  it('is one of the suite, else the archive the host came from [linux-container 23]', () => {
    expect(chooseSource(sources, 'trixie', 'bookworm')?.uri).toBe('other');
    expect(chooseSource(sources, 'sid', 'bookworm')?.uri).toBe('own');
    expect(chooseSource(sources, 'sid', 'noble')).toBeUndefined();
  });

  it('is accompanied by updates and security fixes in the new root [linux-container 23]', () => {
    expect(sourcesOfSuite(sources, 'bookworm').map(({ uri }) => uri)).toEqual(['own', 'security', 'updates']);
  });
});
