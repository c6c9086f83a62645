// What the Debian package puts on a host: the daemon and the command as they were built, with the packages
// they ask for, in one directory of modules.
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { completions, daemonManual } from './derived.mjs';

const MODULES = 'usr/lib/warden/node_modules';
const DOCUMENTS = 'usr/share/doc/warden';
/** What people on the host may want to read; the rest is for those who work on it. */
const DOCS = [
  'command-line',
  'configuration',
  'egress',
  'errors',
  'from-docker',
  'from-warden',
  'glossary',
  'hooks',
  'images',
  'operations',
  'page',
  'protocol-extensions',
  'reliability',
  'troubleshooting',
  'writing-a-driver',
];
const REPOSITORY = 'https://github.com/warden-containers/warden/blob/main/';
/** Of packages from elsewhere: what runs. Their sources, documents and builds for other systems stay out. */
const FOREIGN = {
  koffi: ['index.js', 'index.cjs', 'indirect.js', 'indirect.cjs', 'src/koffi', 'LICENSE.txt'],
  yaml: ['dist', 'LICENSE'],
};

/** Copies files and directories; `isWanted` is asked for each file. */
function copy(from, to, isWanted = () => true) {
  if (fs.statSync(from).isDirectory()) {
    for (const name of fs.readdirSync(from).sort())
      copy(path.join(from, name), path.join(to, name), isWanted);
    return;
  }
  if (!isWanted(from)) return;
  fs.mkdirSync(path.dirname(to), { recursive: true });
  fs.copyFileSync(from, to);
}

/** Types and maps are for those who write programs, by npm; what a start has compiled is for the Node it ran in. */
const isForeignRun = (file) => /\.[cm]?js$|\/LICENSE[^/]*$/.test(file);
const isRun = (file) => !/\.(d\.[cm]?ts|map|tsbuildinfo|cache)$/.test(file) && !/\.test\.js$/.test(file);

function readManifest(directory) {
  return JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8'));
}

/** Only what Node reads, and versions: no script that an installer would run, no ranges of a workspace. */
function writeManifest(manifest, to) {
  const { name, version, description, license, type, main, bin, exports, imports } = manifest;
  const kept = { name, version, description, license, type, main, bin, exports, imports };
  fs.mkdirSync(to, { recursive: true });
  fs.writeFileSync(path.join(to, 'package.json'), `${JSON.stringify(kept, null, 2)}\n`);
}

/** `@warden/name` and all it asks for at run time. Answers the foreign packages, by name to directory. */
function copyOwn(root, tree) {
  const done = new Set();
  const foreign = new Map();
  const waiting = ['daemon', 'cli'];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (done.has(name)) continue;
    done.add(name);
    const directory = path.join(root, 'packages', name);
    const manifest = readManifest(directory);
    const target = path.join(tree, MODULES, '@warden', name);
    writeManifest({ ...manifest, exports: manifest.publishConfig.exports }, target);
    for (const part of ['dist', 'bin', 'assets']) {
      const from = path.join(directory, part);
      if (fs.existsSync(from)) copy(from, path.join(target, part), isRun);
    }
    const built = path.join(directory, 'prebuilt', `linux-${process.arch}`);
    if (fs.existsSync(built)) copy(built, path.join(target, 'prebuilt', `linux-${process.arch}`));
    else if (name === 'native' || name === 'wshd')
      throw new Error(`${built} is missing: npm run build makes it`);
    for (const dependency of Object.keys(manifest.dependencies ?? {})) {
      if (dependency.startsWith('@warden/')) waiting.push(dependency.slice('@warden/'.length));
      else foreign.set(dependency, fs.realpathSync(path.join(directory, 'node_modules', dependency)));
    }
  }
  copy(path.join(root, 'skeleton'), path.join(tree, MODULES, '@warden/wshd/skeleton'));
  return foreign;
}

function copyForeign(foreign, tree) {
  for (const [name, directory] of foreign) {
    const parts = FOREIGN[name];
    if (parts === undefined)
      throw new Error(
        `${name} is a new dependency: say in scripts/deb/tree.mjs what of it runs, and under which licence it is in control.mjs`,
      );
    for (const part of parts)
      copy(path.join(directory, part), path.join(tree, MODULES, name, part), isForeignRun);
    writeManifest(readManifest(directory), path.join(tree, MODULES, name));
  }
  // the part of koffi that is built, beside it in the store
  const name = `@koromix/koffi-linux-${process.arch}`;
  const built = path.join(path.dirname(foreign.get('koffi')), name);
  const target = path.join(tree, MODULES, name);
  for (const part of ['index.js', `linux_${process.arch}`])
    copy(path.join(built, part), path.join(target, part));
  writeManifest(readManifest(built), target);
}

function writeCompressed(text, to) {
  fs.mkdirSync(path.dirname(to), { recursive: true });
  fs.writeFileSync(to, zlib.gzipSync(text, { level: 9 }));
}

function writeManuals(root, tree, version) {
  const directory = path.join(root, 'packages/cli/man');
  const pages = fs
    .readdirSync(directory)
    .filter((file) => /\.\d$/.test(file))
    .map((file) => ({ file, text: fs.readFileSync(path.join(directory, file)) }));
  pages.push({ file: 'wardend.8', text: daemonManual(root, version) });
  for (const { file, text } of pages)
    writeCompressed(text, path.join(tree, `usr/share/man/man${file.at(-1)}`, `${file}.gz`));
}

function writeCompletions(root, tree) {
  for (const { file, text } of completions(root)) {
    fs.mkdirSync(path.dirname(path.join(tree, file)), { recursive: true });
    fs.writeFileSync(path.join(tree, file), text);
  }
}

/** A link to a page that the package does not have leads to the repository. */
function writeDocument(root, tree, name) {
  const text = fs.readFileSync(path.join(root, 'docs', `${name}.md`), 'utf8');
  const linked = text.replaceAll(/\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)/g, (link, target, part = '') =>
    DOCS.includes(target.replace(/\.md$/, ''))
      ? link
      : `](${REPOSITORY}${path.posix.join('docs', target)}${part})`,
  );
  fs.writeFileSync(path.join(tree, DOCUMENTS, `${name}.md`), linked);
}

/** Makes the tree, without the control files and what is told of licences. Errors: what is not built. */
export function makeTree(root, tree, { version, changelog }) {
  const files = path.join(root, 'scripts/deb/files');
  copyForeign(copyOwn(root, tree), tree);
  for (const name of ['warden', 'wardend']) {
    copy(path.join(files, name), path.join(tree, 'usr/bin', name));
    fs.chmodSync(path.join(tree, 'usr/bin', name), 0o755);
  }
  copy(path.join(files, 'wardend.yml'), path.join(tree, 'etc/warden/wardend.yml'));
  copy(path.join(root, 'packages/daemon/systemd'), path.join(tree, 'usr/lib/systemd/system'));
  fs.mkdirSync(path.join(tree, DOCUMENTS), { recursive: true });
  for (const name of DOCS) writeDocument(root, tree, name);
  writeManuals(root, tree, version);
  writeCompletions(root, tree);
  copy(path.join(files, 'lintian-overrides'), path.join(tree, 'usr/share/lintian/overrides/warden'));
  writeCompressed(changelog, path.join(tree, DOCUMENTS, 'changelog.Debian.gz'));
}
