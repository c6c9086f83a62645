// The texts of the Debian package about itself.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

/** Debian's names of processors. */
const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' };
/** Who makes a package of his own says so, as Debian's tools have it. */
const MAINTAINER = `${process.env.DEBFULLNAME ?? 'Warden maintainers'} <${process.env.DEBEMAIL ?? 'maintainers@warden.invalid'}>`;

export function architecture() {
  const name = ARCHITECTURES[process.arch];
  if (name === undefined) throw new Error(`there is no native part for ${process.arch}`);
  return name;
}

/** `1.2.0-next.3` is before `1.2.0`, which Debian writes with a tilde. */
export function debianVersion(version) {
  return `${version.replace('-', '~')}-1`;
}

export function control({ version, homepage, installedSize }) {
  return `Package: warden
Version: ${debianVersion(version)}
Architecture: ${architecture()}
Maintainer: ${MAINTAINER}
Installed-Size: ${installedSize}
Depends: nodejs (>= 20.19), libc6 (>= 2.34), adduser, init-system-helpers (>= 1.54~)
Recommends: e2fsprogs, busybox-static, bash-static
Suggests: debootstrap
Section: admin
Priority: optional
Homepage: ${homepage.replace('#readme', '')}
Description: container daemon with jobs, limits and published ports
 Warden runs containers for programs: a daemon that creates them, runs jobs
 in them, limits what they use and keeps them apart from the host, from each
 other and from the network, by a protocol over a unix socket. It is a
 successor of the container daemon of the same name and answers its clients.
 .
 This package has the daemon (wardend), the command (warden), the static
 programs that serve in containers, and units for systemd. Containers and
 their jobs go on while the daemon is restarted or upgraded.
`;
}

/** RFC 5322, in UTC: whoever builds it again somewhere else gets the same. */
function mailDate(seconds) {
  return new Date(seconds * 1_000).toUTCString().replace('GMT', '+0000');
}

export function changelog({ version, epoch }) {
  return `warden (${debianVersion(version)}) unstable; urgency=medium

  * Version ${version}. What has changed is told by the packages' own
    changelogs in the repository.

 -- ${MAINTAINER}  ${mailDate(epoch)}
`;
}

const FOREIGN = [
  { files: 'usr/lib/warden/node_modules/koffi/*', of: 'koffi' },
  { files: `usr/lib/warden/node_modules/@koromix/koffi-linux-${process.arch}/*`, of: 'koffi' },
  { files: 'usr/lib/warden/node_modules/yaml/*', of: 'yaml' },
];

/** Machine-readable (DEP 5), with the texts that the foreign packages bring. */
export function copyright(tree, { homepage }) {
  const modules = path.join(tree, 'usr/lib/warden/node_modules');
  const stanzas = FOREIGN.map(({ files, of }) => {
    const directory = path.join(modules, of);
    const file = ['LICENSE', 'LICENSE.txt']
      .map((name) => path.join(directory, name))
      .find((one) => fs.existsSync(one));
    const text = fs.readFileSync(file, 'utf8');
    const holders = [...text.matchAll(/^.*copyright.*\d{4}.*$/gim)].map(([line]) => line.trim());
    const { license } = JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8'));
    return `Files: ${files}\nCopyright: ${holders.join('\n ') || 'see the text below'}\nLicense: ${license}-${of}\n${indented(text)}\n`;
  });
  return `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: warden
Source: ${homepage.replace('#readme', '')}

Files: *
Copyright: the authors of warden
License: Apache-2.0
 On Debian systems the full text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.

${stanzas.join('\n')}
Files: usr/lib/warden/node_modules/@warden/wshd/prebuilt/*
Copyright: the authors of warden; parts of musl, which is linked in: 2005-2020 Rich Felker, et al.
License: Apache-2.0 and Expat
 The musl C library is under the licence of MIT (Expat):
 .
 Permission is hereby granted, free of charge, to any person obtaining
 a copy of this software and associated documentation files (the
 "Software"), to deal in the Software without restriction, including
 without limitation the rights to use, copy, modify, merge, publish,
 distribute, sublicense, and/or sell copies of the Software, and to
 permit persons to whom the Software is furnished to do so, subject to
 the following conditions:
 .
 The above copyright notice and this permission notice shall be
 included in all copies or substantial portions of the Software.
 .
 THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
 EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
 MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT.
 IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
 CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT,
 TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
 SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`;
}

function indented(text) {
  return text
    .trim()
    .split(/\r?\n/)
    .map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`))
    .join('\n');
}

/** What a tree holds, in order: `DEBIAN` is not part of it. */
function filesOf(tree) {
  return fs
    .readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(tree, path.join(entry.parentPath, entry.name)))
    .filter((file) => !file.startsWith('DEBIAN/'))
    .sort();
}

export function md5sums(tree) {
  return filesOf(tree)
    .filter((file) => !file.startsWith('etc/'))
    .map((file) => {
      const sum = crypto
        .createHash('md5')
        .update(fs.readFileSync(path.join(tree, file)))
        .digest('hex');
      return `${sum}  ${file}\n`;
    })
    .join('');
}

/** KiB, as Debian rounds them: each file up, each directory one. */
export function installedSize(tree) {
  return fs
    .readdirSync(tree, { recursive: true, withFileTypes: true })
    .reduce(
      (sum, entry) =>
        sum +
        (entry.isFile() ? Math.ceil(fs.statSync(path.join(entry.parentPath, entry.name)).size / 1_024) : 1),
      0,
    );
}
