/**
 * Archives in the form an initramfs has (cpio "newc": kernel,
 * Documentation/driver-api/early-userspace/buffer-format.rst).
 */
import fs from 'node:fs';
import path from 'node:path';

const MAGIC = '070701';
const DIRECTORY = 0o040755;
const LINK = 0o120777;
const FILE = 0o100755;

/** Entries in the order they are added; directories above them come by themselves. */
export class Archive {
  #parts = [];
  #known = new Set();
  #serial = 1;

  directory(name) {
    if (name === '.' || name === '' || this.#known.has(name)) return;
    this.directory(path.dirname(name));
    this.#add(name, DIRECTORY, Buffer.alloc(0));
  }

  link(name, target) {
    this.directory(path.dirname(name));
    this.#add(name, LINK, Buffer.from(target));
  }

  file(name, content) {
    this.directory(path.dirname(name));
    this.#add(name, FILE, content);
  }

  /** Everything below a directory of this host. */
  tree(name, source) {
    for (const entry of fs.readdirSync(source, { withFileTypes: true })) {
      const [inside, outside] = [`${name}/${entry.name}`, path.join(source, entry.name)];
      if (entry.isDirectory()) this.tree(inside, outside);
      else if (entry.isFile()) this.file(inside, fs.readFileSync(outside));
    }
  }

  end() {
    this.#add('TRAILER!!!', 0, Buffer.alloc(0));
    return Buffer.concat(this.#parts);
  }

  #add(name, mode, content) {
    this.#known.add(name);
    const path = Buffer.from(`${name}\0`);
    const inode = this.#serial++;
    const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, path.length, 0];
    const header = Buffer.from(MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join(''));
    this.#parts.push(header, path, padding(header.length + path.length), content, padding(content.length));
  }
}

/** Names and contents begin at multiples of four bytes. */
function padding(length) {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
