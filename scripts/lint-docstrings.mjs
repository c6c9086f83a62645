// Every symbol that a package exports has a docstring: the API reference is made from them. Follows
// `export … from './file.ts'` of each package's index to the declaration.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(process.argv[2] ?? path.join(path.dirname(fileURLToPath(import.meta.url)), '..'));
const problems = [];
let count = 0;

function lintIndex(index) {
  const text = fs.readFileSync(index, 'utf8');
  const say = (name, why) => problems.push(`${path.relative(root, index)}: ${name} ${why}`);
  if (!/^\/\*\*[\s\S]*?@packageDocumentation/.test(text))
    say('the package', 'has no @packageDocumentation comment');
  for (const [, list, from] of text.matchAll(/^export (?:type )?(\*|\{[^}]*\}) from '(\.[^']+)'/gm)) {
    const file = path.resolve(path.dirname(index), from);
    const source = fs.readFileSync(file, 'utf8');
    const names = list === '*' ? exportsOf(source) : namesIn(list);
    for (const name of names) {
      const why = lackOf(source, name, file);
      count += 1;
      if (why) say(name, `${why} (${path.relative(root, file)})`);
    }
  }
}

const namesIn = (list) =>
  list
    .slice(1, -1)
    .split(',')
    .map(
      (one) =>
        one
          .trim()
          .replace(/^type /, '')
          .split(' as ')[0],
    )
    .filter((one) => one !== '');

const DECLARATION =
  '(?:declare )?(?:abstract )?(?:async )?(?:function\\*?|class|const|let|interface|type|enum)';

const exportsOf = (source) =>
  [...source.matchAll(new RegExp(`^export ${DECLARATION} (\\w+)`, 'gm'))].map(([, name]) => name);

/** What is missing, in words. Overloads and lines of one docstring may stand between. */
function lackOf(source, name, file) {
  const at = source.search(new RegExp(`^export ${DECLARATION} ${name}\\b`, 'm'));
  if (at < 0) {
    const again = new RegExp(`export (?:type )?\\{[^}]*\\b${name}\\b[^}]*\\} from '(\\.[^']+)'`).exec(source);
    if (!again) return 'is not declared where its index says';
    const inner = path.resolve(path.dirname(file), again[1]);
    return lackOf(fs.readFileSync(inner, 'utf8'), name, inner);
  }
  return /\*\/\s*$/.test(source.slice(0, at)) ? undefined : 'has no docstring';
}

for (const name of fs.readdirSync(path.join(root, 'packages'))) {
  const index = path.join(root, 'packages', name, 'src/index.ts');
  if (fs.existsSync(index)) lintIndex(index);
}
if (problems.length > 0) {
  process.stderr.write(
    `${problems.join('\n')}\n${problems.length} of ${count} exported symbols without docstring\n`,
  );
  process.exit(1);
}
process.stdout.write(`${count} exported symbols have docstrings\n`);
