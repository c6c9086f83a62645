// The same trees by the daemon, by `cp -a` and by rsync, in turn.
//
// What one copy leaves behind, the next one must not pay for, whoever it is:
// - ext4 without a journal gives no inode away that was removed during the last one to six minutes, and looks
//   at every such inode of a group again for each new file: 20,000 files where as many have just been removed
//   take several times as long, by any program. So no small tree is removed before the end; each goes into a
//   directory, or a container, of its own, and these lie in different parts of the disk
//   (`spreadDirectories`).
// - What was written goes to the disk before the next copy begins.
// - A virtual machine may give memory back to its host that has been free for two seconds, and a gigabyte
//   that has to be got again takes longer than the copy of one. So a large file goes right before the next
//   one is made, which finds the memory that it had. The two seconds begin when the first memory becomes
//   free, whoever had it, and what has become free meanwhile goes, too: so before that nobody does anything
//   for so long (`GIVING_BACK`).
// - In four rounds everybody is first, last and right behind each of the others once (`ORDER`).
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { spreadDirectories } from '@warden/native';
import { startDaemon } from '../lib/daemon.mjs';
import { run, whyNot } from '../lib/programs.mjs';
import { settle } from '../lib/settle.mjs';

/** Milliseconds after which what was free is back with the host, and what becomes free then stays for two seconds. */
export const GIVING_BACK = 2_500;

/** Who comes when in the first round; in the next one everybody's successor in the list does. */
const ORDER = [0, 1, 3, 2];

/** In a container, before it is destroyed: a daemon that is ended does not wait for what is left of those. */
const REMOVAL = 'rm -rf /tmp/tree';

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
    fs.mkdirSync(host);
    spreadDirectories(host);
    for (const tree of Object.values(trees(isShort)))
      await measureTree({
        samples,
        client: daemon.client,
        host,
        tree,
        isShort,
        hasRsync: rsync === undefined,
      });
  } finally {
    await daemon.stop();
    fs.rmSync(host, { recursive: true, force: true });
  }
}

async function measureTree({ samples, client, host, tree, isShort, hasRsync }) {
  const source = path.join(newDirectory(host), 'tree');
  makeTree(source, tree);
  const full = await client.create();
  await full.copyIn(source, '/tmp');
  const boxes = [full];
  const removals = [() => full.run(REMOVAL)];
  const isLarge = tree.bytes !== undefined;
  if (isLarge) {
    const { copy, remove } = byProgram('cp', source, host);
    await copy();
    removals.push(remove);
  }
  for (let round = 0; round < rounds({ isShort, isLarge }); round++) {
    const box = await client.create();
    boxes.push(box);
    for (const { name, copy, remove } of copiesOf({ round, source, host, box, full, hasRsync })) {
      await settle(source);
      if (isLarge && !isShort) await delay(GIVING_BACK);
      if (isLarge) await removals.pop()();
      await samples.time(`${name} ${tree.label}`, copy);
      removals.push(remove);
    }
  }
  for (const remove of removals) await remove();
  for (const box of boxes) await box.destroy();
}

/** A large file is copied in a second: the more often, the surer. */
function rounds({ isShort, isLarge }) {
  if (isShort) return 3;
  return isLarge ? 2 * ORDER.length : 5;
}

/** What the four do in a round, in its order, each with how to take it away again. */
function copiesOf({ round, source, host, box, full, hasRsync }) {
  const back = newDirectory(host);
  const copies = [
    { name: 'copy_in', copy: () => box.copyIn(source, '/tmp'), remove: () => box.run(REMOVAL) },
    byProgram('cp', source, host),
    { name: 'copy_out', copy: () => full.copyOut('/tmp/tree', `${back}/`), remove: () => removeTree(back) },
    byProgram('rsync', source, host),
  ];
  const inOrder = ORDER.map((at) => copies[(at + round) % copies.length]);
  return inOrder.filter(({ name }) => hasRsync || name !== 'rsync -a');
}

function byProgram(program, source, host) {
  const target = newDirectory(host);
  const copy = () => run(program, ['-a', source, `${target}/`]);
  return { name: `${program} -a`, copy, remove: () => removeTree(target) };
}

function removeTree(directory) {
  fs.rmSync(directory, { recursive: true });
}

/**
 * The kernel chooses the part of the disk by the name, so one that was used before would lead to where the
 * last bench has removed its files.
 */
export function newDirectory(host) {
  return fs.mkdtempSync(`${host}/`);
}

export function makeTree(source, { bytes, files }) {
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
