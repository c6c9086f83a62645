// Refuses to publish from a repository that the packages do not name: the registry would refuse the
// provenance, one package at a time.
import fs from 'node:fs';

const here = process.argv[2];
const { repository } = JSON.parse(fs.readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const named = repository.url.replace(/^git\+|\.git$/g, '');
if (named !== here) {
  process.stderr.write(
    `this is ${here}, but the packages name ${named}: change repository, homepage and bugs in package.json and packages/*/package.json\n`,
  );
  process.exit(1);
}
