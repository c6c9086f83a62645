// The same trees by the daemon, by `cp -a` and by rsync, in turn.
import fs from 'node:fs';
import path from 'node:path';
import { startDaemon } from '../lib/daemon.mjs';
import { run, whyNot } from '../lib/programs.mjs';

/** What is copied, by the words in the rows' names. */
export function trees(isShort) {
  const [bytes, files] = isShort ? [1 << 25, 500] : [1 << 30, 20_000];
  return { large: { label: 'a large file', bytes }, small: { label: 'small files', files } };
}

export async function measureCopies({ samples, skipped, place, isShort }) {
  const host = path.join(place.settings.directory, 'copies');
  const rsync = whyNot('rsync');
  if (rsync !== undefined) skipped.set('rsync', rsync);
  const daemon = await startDaemon(place('copies'));
  try {
    const box = await daemon.client.create();
    for (const [name, tree] of Object.entries(trees(isShort))) {
      const source = path.join(host, name);
      makeTree(source, tree);
      for (let round = 0; round < (isShort ? 3 : 5); round++)
        await oneRound({ samples, box, source, host, label: tree.label, hasRsync: rsync === undefined });
    }
    await box.destroy();
  } finally {
    await daemon.stop();
    fs.rmSync(host, { recursive: true, force: true });
  }
}

async function oneRound({ samples, box, source, host, label, hasRsync }) {
  const inside = `/tmp/${path.basename(source)}`;
  const targets = ['cp', 'rsync', 'back'].map((name) => path.join(host, name));
  const [cp, rsync, back] = targets;
  await samples.time(`copy_in ${label}`, () => box.copyIn(source, '/tmp'));
  await samples.time(`cp -a ${label}`, () => run('cp', ['-a', source, cp]));
  await samples.time(`copy_out ${label}`, () => box.copyOut(inside, `${back}/`));
  if (hasRsync) await samples.time(`rsync -a ${label}`, () => run('rsync', ['-a', `${source}/`, rsync]));
  await box.run(`rm -rf ${inside}`);
  for (const target of targets) fs.rmSync(target, { recursive: true, force: true });
}

function makeTree(source, { bytes, files }) {
  fs.mkdirSync(source, { recursive: true });
  if (bytes !== undefined) {
    const fd = fs.openSync(path.join(source, 'file'), 'w');
    for (let at = 0; at < bytes; at += 1 << 20) fs.writeSync(fd, Buffer.alloc(1 << 20, at >> 20));
    fs.closeSync(fd);
    return;
  }
  for (let at = 0; at < files; at++) {
    const directory = path.join(source, String(at % 100));
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(path.join(directory, String(at)), Buffer.alloc(1_024, at));
  }
}
