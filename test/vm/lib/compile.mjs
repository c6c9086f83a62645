/**
 * What the guest runs, prepared here: loading a module costs it tens of milliseconds, vitest's own program
 * minutes. So vitest's functions, assertions and runner are one file in the place of its package, each test
 * file is one file of JavaScript, and so is the program that tests start and that is not rolled anyway. The
 * packages in them are as they were built.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const ENTRY = `
export * from 'vitest';
export { startTests } from '@vitest/runner';
`;
/**
 * Deadlines that a test gives as numbers, for itself or for `expect.poll`, are stretched as `patience`
 * stretches others.
 */
const STRETCH = 'Number(process.env.WARDEN_TEST_PATIENCE ?? 1)';
const DEADLINES = [
  [
    'function withTimeout(fn, timeout, isHook = false, stackTraceError, onTimeout) {',
    `function withTimeout(fn, given, isHook = false, stackTraceError, onTimeout) {
      const timeout = given * ${STRETCH};`,
  ],
  [
    'timeout = defaults.timeout ?? 1e3, message } = options;',
    `timeout: given = defaults.timeout ?? 1e3, message } = options;
      const timeout = given * ${STRETCH};`,
  ],
];
/** Started by tests; each is put in its own place. */
const PROGRAMS = ['test/compliance/src/driver-process.mjs'];

/**
 * Writes all of it below `target`, `js` being laid over the repository; answers where vitest is. `files` are
 * relative to the repository.
 */
export async function compile(repository, files, target) {
  const manifest = createRequire(path.join(repository, 'package.json')).resolve('vitest/package.json');
  const vitest = fs.realpathSync(path.dirname(manifest));
  const vite = await import(
    pathToFileURL(createRequire(path.join(vitest, 'package.json')).resolve('vite')).href
  );
  await rollVitest(vite, vitest, path.join(target, 'vitest'));
  const translated = path.join(target, 'translated');
  const tests = [...new Set(files)];
  translate(repository, tests, translated);
  const roots = { repository, translated };
  for (const file of [...tests, ...PROGRAMS]) await roll(vite, roots, file, path.join(target, 'js'));
  fs.rmSync(translated, { recursive: true });
  return vitest;
}

async function rollVitest(vite, vitest, target) {
  const virtual = '\0entry';
  const found = new Set();
  await build(vite, { root: vitest, entry: virtual, target: path.join(target, 'index.js') }, [
    {
      name: 'entry',
      enforce: 'pre',
      resolveId(id, importer) {
        if (id === virtual) return id;
        return importer === virtual ? this.resolve(id, path.join(vitest, 'package.json')) : undefined;
      },
      load: (id) => (id === virtual ? ENTRY : undefined),
      transform(code) {
        const here = DEADLINES.filter(([from]) => code.includes(from));
        for (const deadline of here) found.add(deadline);
        return here.reduce((text, [from, to]) => text.replace(from, () => to), code);
      },
    },
  ]);
  if (found.size < DEADLINES.length) throw new Error('vitest keeps its deadlines elsewhere: see DEADLINES');
  const manifest = { name: 'vitest', type: 'module', exports: { '.': './index.js' } };
  fs.writeFileSync(path.join(target, 'package.json'), JSON.stringify(manifest));
}

/** The files and what they import by a relative name. `await using` is too new for some Node. */
function translate(repository, files, target) {
  const options = {
    ...{ rootDir: '.', outDir: target, target: 'es2022', module: 'nodenext', types: 'node' },
    ...{ rewriteRelativeImportExtensions: true, verbatimModuleSyntax: true, erasableSyntaxOnly: true },
    ...{ noCheck: true, ignoreConfig: true },
  };
  const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const tsc = path.join(repository, 'node_modules/typescript/bin/tsc');
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, ...words, ...files], {
    cwd: repository,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the tests cannot be translated:\n${stdout}${stderr}`);
}

/** One test or program with everything it imports, except vitest and what is loaded as a library. */
async function roll(vite, { repository, translated }, file, target) {
  const script = file.replace(/\.ts$/, '.js');
  const entry = path.join(script === file ? repository : translated, script);
  /** Where a module is in the repository: translated ones are found, and find others, from there. */
  const home = (id) =>
    id.startsWith(translated) ? path.join(repository, path.relative(translated, id)) : id;
  await build(vite, { root: repository, entry, target: path.join(target, script) }, [
    {
      name: 'places',
      enforce: 'pre',
      async resolveId(id, importer) {
        if (id === 'vitest') return { id, external: true };
        if (importer === undefined || id.startsWith('node:')) return undefined;
        if (id === 'koffi') {
          const found = createRequire(importer)
            .resolve(id)
            .replace(/\.cjs$/, '.js');
          return { id: pathToFileURL(fs.realpathSync(found)).href, external: true };
        }
        // a relative name in a translated file is a translated file
        return id.startsWith('.') ? undefined : this.resolve(id, home(importer), { skipSelf: true });
      },
      /** Modules look for files beside themselves, where they are without this. */
      transform(code, id) {
        if (!code.includes('import.meta')) return undefined;
        const own = home(id);
        return code
          .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(own).href))
          .replaceAll('import.meta.dirname', JSON.stringify(path.dirname(own)));
      },
    },
  ]);
}

async function build(vite, { root, entry, target }, plugins) {
  const { dir, base } = path.parse(target);
  await vite.build({
    configFile: false,
    root,
    logLevel: 'error',
    plugins,
    ssr: { noExternal: true },
    build: {
      ssr: true,
      outDir: dir,
      emptyOutDir: false,
      minify: false,
      target: 'node20',
      rollupOptions: { input: entry, output: { entryFileNames: base, codeSplitting: false } },
    },
  });
}
