/**
 * What the guest runs instead of vitest's own program, which takes minutes to start there: the tests as JavaScript beside their sources,
 * and vitest's functions, assertions and runner as one file in the place of its package.
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

/** Writes both below `target`; answers where the package is. `files` are relative to the repository. */
export async function compile(repository, files, target) {
  const manifest = createRequire(path.join(repository, 'package.json')).resolve('vitest/package.json');
  const vitest = fs.realpathSync(path.dirname(manifest));
  await bundleVitest(vitest, path.join(target, 'vitest'));
  translate(repository, [...new Set(files)], path.join(target, 'js'));
  return vitest;
}

async function bundleVitest(vitest, target) {
  const vite = await import(
    pathToFileURL(createRequire(path.join(vitest, 'package.json')).resolve('vite')).href
  );
  fs.mkdirSync(target, { recursive: true });
  const virtual = '\0entry';
  await vite.build({
    configFile: false,
    root: vitest,
    logLevel: 'error',
    plugins: [
      {
        name: 'entry',
        enforce: 'pre',
        resolveId(id, importer) {
          if (id === virtual) return id;
          return importer === virtual ? this.resolve(id, path.join(vitest, 'package.json')) : undefined;
        },
        load: (id) => (id === virtual ? ENTRY : undefined),
      },
    ],
    ssr: { noExternal: true },
    build: {
      ssr: true,
      outDir: target,
      emptyOutDir: false,
      minify: true,
      rollupOptions: { input: virtual, output: { entryFileNames: 'index.js', codeSplitting: false } },
    },
  });
  const manifest = { name: 'vitest', type: 'module', exports: { '.': './index.js' } };
  fs.writeFileSync(path.join(target, 'package.json'), JSON.stringify(manifest));
}

/** The files and what they import by a relative name; packages are there as they were built. `await using` is too new for some Node. */
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
