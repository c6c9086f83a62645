// Starts what scripts/bundle.mjs has rolled, and lies beside it as `load.cjs`.
//
// Most of a start is V8 compiling a megabyte of JavaScript, and then each function when it is first called.
// What one start has compiled is kept beside the program for the next ones, like Python's __pycache__. It is
// code: it is taken from nobody but those who could replace the program itself, and only for exactly this
// program in exactly this Node. Where it cannot be kept or is not the right one, everything is compiled as
// ever.
'use strict';
const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { isatty } = require('node:tty');
const vm = require('node:vm');
const zlib = require('node:zlib');

/** That of `engines` in every manifest, of which npm only warns. Debian 12 has Node 18. */
const OLDEST_NODE = [20, 19];
const FORMAT = 1;
/**
 * What the compiled code belongs to stands before it, filled up with spaces: V8 copies what does not begin at
 * a whole word.
 */
const HEADER_BYTES = 256;

/**
 * Loads `NAME.cjs` beside this file, with `shared.cjs`, which holds nearly all of it. `keep`, which is there
 * if the next start would gain by it, takes some 15 ms: it is called once, when what a start needs has been
 * called. It never throws.
 */
exports.load = (name) => {
  refuseOldNode(name);
  letTerminalsGo();
  const file = path.join(__dirname, 'shared.cjs');
  // stacks that lead back to the sources, and counts of what was run, only come with files that Node itself has loaded
  const isPlain = process.sourceMapsEnabled || process.env.NODE_V8_COVERAGE !== undefined;
  const keep = isPlain ? undefined : loadCompiled(file);
  return { program: require(`./${name}.cjs`), keep };
};

/** What an older one lacks would otherwise show anywhere, as a function that is none. */
function refuseOldNode(name) {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  const text = `${name}: Node ${OLDEST_NODE.join('.')} or newer is needed, this is ${process.versions.node} (${process.execPath})\n`;
  fs.writeSync(2, text);
  process.exit(1);
}

/**
 * At its end Node sets the terminals of descriptors 0 to 2 as it has found them. It aborts (SIGABRT, with a
 * core file) when one of them is gone since, because a window or a connection was closed, and with it goes
 * the exit status. What no longer leads to the same file it leaves alone.
 */
function letTerminalsGo() {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  if (terminals.length === 0) return;
  process.once('exit', () => {
    for (const descriptor of terminals) {
      if (isatty(descriptor)) continue;
      fs.closeSync(descriptor);
      fs.openSync('/dev/null', 'r+'); // the lowest that is free: the one that was closed just now
    }
  });
}

/** For the program, whose own files cannot: V8 does not keep, with what it has compiled, who is to be asked. */
exports.importModule = (specifier) => import(specifier);

function loadCompiled(file) {
  const { text, sum, memory } = readSource(file);
  const cache = path.join(__dirname, 'shared.cache');
  const isPrivate = isOurs(fs.statSync(__dirname));
  const cachedData = isPrivate ? readCompiled(cache, sum, memory) : undefined;
  const script = new vm.Script(text, { filename: file, cachedData });
  const module = new Module(file);
  module.filename = file;
  require.cache[file] = module;
  script.runInThisContext()(module.exports, Module.createRequire(file), module, file, __dirname);
  module.loaded = true;
  if (!isPrivate || (cachedData !== undefined && !script.cachedDataRejected)) return undefined;
  return () => {
    try {
      fs.accessSync(__dirname, fs.constants.W_OK);
      writeCompiled(cache, sum, script.createCachedData());
    } catch {
      // a file system that is full or cannot be written: the next start compiles as this one did
    }
  };
}

/**
 * The program as a function of what each module has, made in one piece of memory that is used again for what
 * was compiled: each megabyte that is touched for the first time takes a millisecond or more. The program is
 * ASCII (scripts/bundle.mjs), so that its text is a copy of the bytes.
 */
function readSource(file) {
  const descriptor = fs.openSync(file, fs.constants.O_RDONLY);
  try {
    const [head, tail] = Module.wrapper;
    const { size } = fs.fstatSync(descriptor);
    const memory = Buffer.allocUnsafeSlow(2 * size + HEADER_BYTES); // what is never touched takes none
    const start = memory.write(head, 'latin1');
    const end = start + readInto(descriptor, memory.subarray(start, start + size));
    const text = memory.toString('latin1', 0, end + memory.write(tail, end, 'latin1'));
    return { text, sum: zlib.crc32(memory.subarray(start, end)), memory };
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Answers how many bytes there were. */
function readInto(descriptor, memory) {
  let length = 0;
  for (let got = 1; got > 0 && length < memory.length; length += got)
    got = fs.readSync(descriptor, memory, length, memory.length - length);
  return length;
}

/** Root's, or of who runs this, and nobody else may write there. */
function isOurs({ uid, mode }) {
  return (uid === 0 || uid === process.geteuid()) && (mode & 0o022) === 0;
}

/**
 * In `memory`, which it overwrites. `undefined`, too, when it was made by another Node, from another source, or
 * was not written to its end.
 */
function readCompiled(cache, sum, memory) {
  let descriptor;
  try {
    descriptor = fs.openSync(cache, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
    const facts = fs.fstatSync(descriptor);
    if (!facts.isFile() || !isOurs(facts)) return undefined;
    const room =
      facts.size > memory.length ? Buffer.allocUnsafeSlow(facts.size) : memory.subarray(0, facts.size);
    const bytes = room.subarray(0, readInto(descriptor, room));
    const data = bytes.subarray(HEADER_BYTES);
    return bytes.subarray(0, HEADER_BYTES).equals(headerOf(sum, data)) ? data : undefined;
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}

/**
 * V8 itself compares its version, its flags and the length of the source. Two builds of one version of Node
 * are two here.
 */
function headerOf(sum, data) {
  const { size, mtimeMs } = fs.statSync(process.execPath);
  const node = [process.version, process.arch, size, mtimeMs];
  const text = ['warden', FORMAT, ...node, sum, data.length, zlib.crc32(data)].join(' ');
  return Buffer.from(`${text.padEnd(HEADER_BYTES - 1)}\n`);
}

function writeCompiled(cache, sum, data) {
  const fresh = `${cache}.new`;
  fs.rmSync(fresh, { force: true }); // of one that was killed here, or of one at work, whose file the sums then refuse
  const descriptor = fs.openSync(fresh, 'wx', 0o644);
  try {
    fs.fchmodSync(descriptor, 0o644); // whatever the umask: all who run the program gain by it
    fs.writeFileSync(descriptor, Buffer.concat([headerOf(sum, data), data]));
  } finally {
    fs.closeSync(descriptor);
  }
  fs.renameSync(fresh, cache);
}
