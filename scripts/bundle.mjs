// Rolls a program of a package into a few files: `node ../../scripts/bundle.mjs NAME`, called by the
// package's build, writes `dist/program/NAME.cjs`.
//
// Node takes about a millisecond to find, read and link a module, and the daemon has some 300: they were more
// than half of its start. What a start needs is one file here; what words of the command line or settings ask
// for later is loaded when it is asked for, as in the sources. Who imports the packages as libraries gets
// their own modules; nothing of this is seen there. The files are CommonJS, since Node keeps what it has
// compiled of a script, but not of a module (scripts/load-program.cjs).
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { parseAst } from 'rolldown/parseAst';

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const directory = process.cwd();
const target = path.join(directory, 'dist/program');
const name = process.argv[2];
if (name === undefined) throw new Error('usage: node scripts/bundle.mjs NAME, in the directory of a package');

const PLACES = '\0places';

/** Where a file of a package lies, wherever the package was installed, and what the package itself can load. */
const PLACES_SOURCE = `
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const { resolve } = createRequire(import.meta.url);
const directories = new Map();
// where Node looks, without what makes its own look take a millisecond: the manifests, and what they export
const directoryOf = (name) =>
  resolve
    .paths(name)
    .map((modules) => path.join(modules, name))
    .find((place) => fs.existsSync(path.join(place, 'package.json'))) ??
  path.dirname(resolve(\`\${name}/package.json\`));
export const placeOf = (name, file) => {
  const known = directories.get(name) ?? fs.realpathSync(directoryOf(name)); // nobody has followed links on the way
  directories.set(name, known);
  return pathToFileURL(path.join(known, file)).href;
};
`;

/** Modules look for files beside themselves, which stay where they are. */
const places = {
  name: 'places',
  resolveId(id) {
    return id === PLACES ? id : undefined;
  },
  load(id) {
    return id === PLACES ? PLACES_SOURCE : undefined;
  },
  transform(code, id) {
    const [, owner, module] = /\/packages\/([^/]+)\/src\/(.+)\.ts$/.exec(id) ?? [];
    if (owner === undefined || !code.includes('import.meta')) return undefined;
    const own = `__placeOf('@warden/${owner}', 'dist/${module}.js')`; // a name that no module has for something of its own
    // in front of everything on the first line, so that lines stay what they are
    const from = `import { placeOf as __placeOf } from ${JSON.stringify(PLACES)};`;
    const text = `${from} ${code.replaceAll('import.meta.url', own)}`;
    if (text.includes('import.meta')) throw new Error(`${id}: of import.meta only url is known here`);
    return { code: text, map: null };
  },
};

/** What comes from elsewhere is passed on with its licence. */
function licences({ moduleIds }) {
  const foreign = moduleIds.map((id) => /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id)?.slice(0, 2));
  const byName = new Map(foreign.filter((one) => one !== undefined).map(([at, owner]) => [owner, at]));
  return [...byName]
    .map(([owner, at]) => `/*! ${owner}\n${fs.readFileSync(path.join(at, 'LICENSE'), 'utf8').trim()}\n*/`)
    .join('\n');
}

/** What is done to each file as a whole. */
const rewriting = (name, change) => ({
  name,
  generateBundle(_options, files) {
    for (const file of Object.values(files)) if (file.type === 'chunk') file.code = change(file.code);
  },
});

/**
 * One character beyond Latin-1 makes V8 hold, read and scan the whole file with two bytes for each of its
 * characters. What is written as an escape is the same to it everywhere but in a raw template, and in
 * comments, where it does not matter.
 */
const plainAscii = rewriting('plain-ascii', (code) => {
  if (code.includes('String.raw'))
    throw new Error('a raw template is not what it was when its characters are escaped');
  return code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
});

/**
 * A module of Node's as a namespace: its members, and itself as the default. Rolldown makes an object with a
 * function for each member, a hundred for fs alone, through which each use then goes.
 */
const namespaces = rewriting('namespaces', (code) =>
  code.replace(/require_rolldown_runtime\.__toESM\((node_\w+)(?:, 1)?\)/g, '{ __proto__: $1, default: $1 }'),
);

/**
 * What is loaded at run time by a name that is not a file of the program's. A script that was compiled
 * earlier cannot import; what lies beside it can.
 */
const imports = rewriting('imports', (code) => {
  let text = code;
  for (const at of importsIn(parseAst(code)).sort((a, b) => b - a))
    text = `${text.slice(0, at)}require("./load.cjs").importModule${text.slice(at + 'import'.length)}`;
  return text;
});
function importsIn(node) {
  if (node === null || typeof node !== 'object') return [];
  const below = Object.values(node).flatMap(importsIn);
  return node.type === 'ImportExpression' ? [node.start, ...below] : below;
}

fs.rmSync(target, { recursive: true, force: true });
const bundle = await rolldown({
  input: { [name]: path.join(directory, 'src/main.ts') },
  platform: 'node',
  external: /^node:/,
  transform: { target: 'es2023' }, // as in tsconfig.base.json
  resolve: { conditionNames: ['source', 'import', 'node', 'default'] },
  plugins: [places, plainAscii, namespaces, imports],
  checks: { pluginTimings: false }, // a build on a busy machine is no worse
  onLog(level, log) {
    if (level === 'warn') throw new Error(`${path.relative(repository, directory)}: ${log.message}`);
  },
});
await bundle.write({
  dir: target,
  format: 'cjs',
  strict: true, // as modules are
  sourcemap: true,
  comments: { legal: true, annotation: false, jsdoc: false },
  banner: licences,
  entryFileNames: '[name].cjs',
  chunkFileNames: '[name].cjs',
  // what words and settings load later uses much of the same: that is one file too, and not one for each set of users
  codeSplitting: {
    groups: [{ name: 'shared', tags: ['$initial'], test: (id) => !id.endsWith('/src/main.ts') }],
  },
});
await bundle.close();
for (const file of fs.readdirSync(target).filter((one) => one.endsWith('.cjs')))
  if (/[^\0-\x7f]/.test(fs.readFileSync(path.join(target, file), 'utf8')))
    throw new Error(`${file}: load.cjs takes each byte for a character, and not all of them are ASCII`);
fs.copyFileSync(path.join(repository, 'scripts/load-program.cjs'), path.join(target, 'load.cjs'));
