// Writes the API reference into docs/api/reference from the docstrings of every package. Called by `pnpm run docs:api`.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Application, ReflectionKind } from 'typedoc';

const here = import.meta.dirname;
const root = path.resolve(here, '../..');
const out = path.join(here, 'reference');
const packages = fs
  .readdirSync(path.join(root, 'packages'))
  .map((name) => path.join(root, 'packages', name))
  .filter((directory) => fs.existsSync(path.join(directory, 'src/index.ts')))
  .map((directory) => ({
    directory,
    entry: path.join(directory, 'src/index.ts'),
    name: JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8')).name,
  }));

const { homepage } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
const front = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'warden-api-')), 'README.md');
// what the README shows beside it is in the repository, not in the reference
fs.writeFileSync(
  front,
  fs
    .readFileSync(path.join(root, 'README.md'), 'utf8')
    .replaceAll(
      /\]\((?!\w+:|#)([^)]+)\)/g,
      (_, target) => `](${homepage.replace('#readme', '')}/blob/main/${target})`,
    ),
);
process.on('exit', () => fs.rmSync(path.dirname(front), { recursive: true }));

// One program for all packages: a program for each would read the standard library and the shared packages sixteen times.
const application = await Application.bootstrap({
  name: 'warden',
  tsconfig: path.join(here, 'tsconfig.json'),
  entryPoints: packages.map(({ entry }) => entry),
  readme: front,
  excludeExternals: true,
  excludeInternal: true,
  // the build has checked the types
  skipErrorChecking: true,
  disableGit: true,
  disableSources: true,
  // types that only an inferred signature names
  validation: { notExported: false, invalidLink: true },
  treatValidationWarningsAsErrors: true,
});
const project = await application.convert();
if (project === undefined) process.exit(1);
for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
  const found = packages.find(
    ({ directory }) => `packages/${path.basename(directory)}/src` === `packages/${module.name}`,
  );
  if (found !== undefined) module.name = found.name;
}
application.validate(project);
fs.rmSync(out, { recursive: true, force: true });
await application.generateDocs(project, out);
process.stdout.write(`the API reference of ${packages.length} packages is in ${path.relative(root, out)}\n`);
process.exit(application.logger.hasErrors() || application.logger.hasWarnings() ? 1 : 0);
