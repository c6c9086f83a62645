// Writes the API reference into docs/api/reference from the docstrings of every package. Called by `pnpm run docs:api`.
import fs from 'node:fs';
import path from 'node:path';
import { Application } from 'typedoc';

const here = import.meta.dirname;
const root = path.resolve(here, '../..');
const packages = fs
  .readdirSync(path.join(root, 'packages'))
  .map((name) => path.join(root, 'packages', name))
  .filter((directory) => fs.existsSync(path.join(directory, 'src/index.ts')));

const application = await Application.bootstrapWithPlugins({
  name: 'warden',
  entryPointStrategy: 'packages',
  entryPoints: packages,
  packageOptions: { entryPoints: ['src/index.ts'], readme: 'README.md', excludeExternals: true },
  readme: path.join(root, 'README.md'),
  disableGit: true,
  sourceLinkTemplate: '{path}',
  disableSources: true,
  treatValidationWarningsAsErrors: false,
});
const project = await application.convert();
if (project === undefined) process.exit(1);
const out = path.join(here, 'reference');
fs.rmSync(out, { recursive: true, force: true });
await application.generateOutputs(project).catch(() => {});
await application.generateDocs(project, out);
process.stdout.write(`the API reference of ${packages.length} packages is in ${path.relative(root, out)}\n`);
process.exit(application.logger.hasErrors() ? 1 : 0);
