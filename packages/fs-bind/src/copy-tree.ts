/** Copies a directory as it is, without a program: owner, mode, times, links. Devices, pipes and sockets stay behind. */
import fs from 'node:fs';
import path from 'node:path';

const TYPE = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMLINK = 0o120000;

/** Copies `source` to `target`, which must not exist. Symbolic links are copied, never followed; hard links within the tree stay linked. */
export function copyTree(source: string, target: string): void {
  copyEntry(source, target, new Map());
}

/** `linked` knows where the first name of a file with several names went. */
function copyEntry(source: string, target: string, linked: Map<string, string>): void {
  const facts = fs.lstatSync(source);
  switch (facts.mode & TYPE) {
    case SYMLINK:
      fs.symlinkSync(fs.readlinkSync(source), target);
      fs.lchownSync(target, facts.uid, facts.gid);
      fs.lutimesSync(target, facts.atime, facts.mtime);
      return;
    case REGULAR: {
      const identity = `${facts.dev}:${facts.ino}`;
      const first = facts.nlink > 1 ? linked.get(identity) : undefined;
      if (first !== undefined) {
        fs.linkSync(first, target);
        return;
      }
      linked.set(identity, target);
      fs.copyFileSync(source, target, fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE);
      break;
    }
    case DIRECTORY:
      fs.mkdirSync(target);
      for (const name of fs.readdirSync(source))
        copyEntry(path.join(source, name), path.join(target, name), linked);
      break;
    default:
      return;
  }
  fs.chownSync(target, facts.uid, facts.gid);
  fs.chmodSync(target, facts.mode & 0o7777); // after chown, which clears set-id bits
  fs.utimesSync(target, facts.atime, facts.mtime);
}
