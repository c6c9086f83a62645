/** Takes out of a new root what only its making needed, and what belongs to this host alone. */
import fs from 'node:fs';
import path from 'node:path';
import type { AptSource } from './apt-sources.ts';

/** Files whose content is downloaded again when it is needed, logs of the making, and keys made in it. */
const NEEDLESS: readonly (readonly [directory: string, name: RegExp])[] = [
  ['var/cache/apt', /\.bin$/],
  ['var/cache/apt/archives', /\.deb$/],
  ['var/lib/apt/lists', /./],
  ['var/log', /^(bootstrap|dpkg|alternatives)\.log$/],
  ['etc/ssh', /^ssh_host_.*key/],
];

/** `root`: the new root, which nobody else knows yet. `sources`: the host's archives for its release. */
export function clearTraces(root: string, sources: readonly AptSource[]): void {
  for (const [directory, name] of NEEDLESS) {
    for (const entry of entries(path.join(root, directory))) {
      if (name.test(entry)) fs.rmSync(path.join(root, directory, entry), { recursive: true, force: true });
    }
  }
  // debootstrap copies both from the host; a container gets its own.
  fs.writeFileSync(path.join(root, 'etc/hostname'), 'localhost\n');
  fs.rmSync(path.join(root, 'etc/resolv.conf'), { force: true });
  fs.writeFileSync(path.join(root, 'etc/resolv.conf'), '');
  if (sources.length > 0)
    fs.writeFileSync(
      path.join(root, 'etc/apt/sources.list'),
      sources.map((source) => `${sourceLine(root, source)}\n`).join(''),
    );
}

function sourceLine(root: string, { uri, suite, components, keyring }: AptSource): string {
  const isThere = keyring !== undefined && fs.existsSync(path.join(root, keyring));
  return `deb ${isThere ? `[signed-by=${keyring}] ` : ''}${uri} ${suite} ${components.join(' ')}`;
}

function entries(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}
