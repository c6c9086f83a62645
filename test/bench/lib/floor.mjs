// The floor program: built when its sources are newer, started, and asked by lines.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('../floor/', import.meta.url));
const FLAGS = '-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Wno-format-truncation -static'.split(' ');

function build(program) {
  const sources = fs.readdirSync(SOURCES).map((name) => path.join(SOURCES, name));
  const newest = Math.max(...sources.map((file) => fs.statSync(file).mtimeMs));
  if ((fs.statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0) > newest) return;
  fs.mkdirSync(path.dirname(program), { recursive: true });
  const fresh = `${program}.${process.pid}`;
  execFileSync('gcc', [...FLAGS, '-o', fresh, ...sources.filter((file) => file.endsWith('.c'))]);
  fs.renameSync(fresh, program);
}

/**
 * Starts the program; `enter` puts words before its command. Every answer is what it measured itself:
 * microseconds, cycles per second, or gigabytes per second.
 */
export async function startFloor({ directory, rootfs, cache, enter = (command) => command }) {
  const program = path.join(cache, 'warden-bench-floor');
  build(program);
  const own = path.join(directory, 'floor');
  fs.mkdirSync(own, { mode: 0o755 });
  const [first, ...words] = enter([program, own, rootfs, `floor-${process.pid}`]);
  const child = spawn(first, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the floor program has ended; its last words are above');
    return value;
  };
  const [word, groups] = (await next()).split(' ');
  if (word !== 'ready') throw new Error(`the floor program said ${word}`);
  let number = 0;
  const ask = async (...words) => {
    child.stdin.write(`${words.join(' ')}\n`);
    return Number(await next());
  };
  return {
    groups: Number(groups),
    /** Numbers are not used again: the kernel takes a link away some time after its container. */
    nextNumber: () => number++,
    ask,
    /** Cycles of creating and destroying per second with that many creators at once. */
    cycles: (creators, seconds) => ask('cycles', creators, seconds, 2_048),
    stop: async () => {
      if (child.exitCode !== null) return;
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}
