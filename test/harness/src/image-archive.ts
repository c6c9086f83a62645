/** Images for tests, from directories of this host: docker-archives, as simple as they can be. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;

/** Archives each directory as a layer, the lowest first, and all of them as an image in `file`. */
export function archiveImage(file: string, tag: string, ...layers: readonly string[]): void {
  const work = fs.mkdtempSync(`${file}.work-`);
  try {
    const names = layers.map((layer, at) => {
      pack(layer, path.join(work, `layer${at}.tar`), '.');
      return `layer${at}.tar`;
    });
    const diffIds = names.map((name) => `sha256:${sha256(fs.readFileSync(path.join(work, name)))}`);
    const config = JSON.stringify({
      architecture: ARCHITECTURE,
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: diffIds },
    });
    fs.writeFileSync(path.join(work, `${sha256(config)}.json`), config);
    fs.writeFileSync(
      path.join(work, 'manifest.json'),
      JSON.stringify([{ Config: `${sha256(config)}.json`, RepoTags: [tag], Layers: names }]),
    );
    pack(work, file, ...fs.readdirSync(work));
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

function pack(directory: string, file: string, ...names: readonly string[]): void {
  const { status, stderr } = spawnSync('tar', ['--numeric-owner', '-C', directory, '-cf', file, ...names], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`tar: ${stderr}`);
}

function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
