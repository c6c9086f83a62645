// Enforces who may import whom. Each rule prints its reason, so that a refusal teaches the architecture.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(process.argv[2] ?? path.join(path.dirname(fileURLToPath(import.meta.url)), '..'));

const DRIVER =
  'a driver gets frozen specs and ids: it may know the contracts and the kernel, never core or another driver';
/** Run-time imports inside the workspace, by package; the reason is what the message says. */
const ALLOWED = {
  interface: [[], 'the contracts import nothing: everybody depends on them'],
  protocol: [[], 'the codec runs anywhere and is taken alone'],
  native: [['interface'], 'the only import of koffi; it offers kernel calls and holds no policy'],
  wshd: [['interface', 'native'], DRIVER],
  core: [['interface'], 'core knows no protobuf, no kernel call and no concrete driver'],
  'fs-overlayfs': [['interface', 'native'], DRIVER],
  'fs-aufs': [['interface', 'native'], DRIVER],
  'fs-bind': [['interface', 'native'], DRIVER],
  'net-nftables': [['interface', 'native'], DRIVER],
  cgroup: [['interface', 'native'], DRIVER],
  quota: [['interface', 'native'], DRIVER],
  images: [
    ['interface', 'native'],
    'the store of images knows the contracts and the kernel, never core or a driver',
  ],
  server: [['interface', 'protocol'], 'the server turns requests into Warden calls; it knows no engine'],
  page: [['interface'], 'the page looks at an engine through the contract for onlookers alone'],
  client: [['interface', 'protocol'], 'the client must stay nearly free of dependencies'],
  cli: [
    ['client', 'interface', 'protocol'],
    'the command line talks through the client; the protocol tables are its grammar',
  ],
  daemon: ['*', 'the only place that names concrete drivers'],
  'driver-compliance': [['interface'], 'the kit must run against any driver without pulling in ours'],
};
/** The builds of native code for one processor each: files, no code. */
const PLATFORM = [[], 'a platform package is a file for one processor; it imports nothing'];
const isPlatform = (name) => /^(native|wshd)-linux-/.test(name);

const problems = [];
const say = (file, text) => problems.push(`${path.relative(root, file)}: ${text}`);

function* sources(directory) {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) yield* sources(file);
    else if (entry.name.endsWith('.ts')) yield file;
  }
}

function importsOf(file) {
  const text = fs.readFileSync(file, 'utf8');
  const found = [];
  for (const match of text.matchAll(
    /(?:^|[\s;])(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|^import\s+['"]([^'"]+)['"]/gm,
  )) {
    found.push(match[1] ?? match[2] ?? match[3]);
  }
  return found;
}

function checkImport(name, file, specifier, allowed, reason, isTest) {
  if (specifier === 'koffi' && name !== 'native')
    say(file, 'imports koffi: only @warden/native may, so that its hard rules are kept in one place');
  if (!specifier.startsWith('@warden/')) {
    const inside = path.resolve(path.dirname(file), specifier);
    const own = path.join(root, 'packages', name) + path.sep;
    if (specifier.startsWith('.') && !inside.startsWith(own))
      say(file, `reaches into another package (${specifier}): use its exports`);
    return;
  }
  const [, target, ...rest] = specifier.split('/');
  if (rest.includes('src')) say(file, `imports ${specifier}: nobody imports another package's src`);
  if (isTest || allowed === '*' || target === name || allowed.includes(target)) return;
  say(file, `@warden/${name} may not import @warden/${target}: ${reason}`);
}

const present = fs.readdirSync(path.join(root, 'packages'));
for (const name of present) {
  const rule = isPlatform(name) ? PLATFORM : ALLOWED[name];
  const base = path.join(root, 'packages', name);
  if (!rule) {
    say(base, 'is not in the table of scripts/lint-dependencies.mjs: decide what it may import');
    continue;
  }
  const [allowed, reason] = rule;
  const manifest = JSON.parse(fs.readFileSync(path.join(base, 'package.json'), 'utf8'));
  for (const dependency of Object.keys(manifest.dependencies ?? {})) {
    if (dependency.startsWith('@warden/'))
      checkImport(name, path.join(base, 'package.json'), dependency, allowed, reason, false);
  }
  if (
    name === 'client' &&
    Object.keys(manifest.dependencies ?? {}).some((one) => !one.startsWith('@warden/'))
  ) {
    say(base, 'has a dependency from outside: the client must stay nearly free of dependencies');
  }
  for (const dependency of Object.keys(manifest.optionalDependencies ?? {})) {
    if (!isPlatform(dependency.replace('@warden/', '')) || !dependency.startsWith(`@warden/${name}-linux-`))
      say(
        base,
        `has the optional dependency ${dependency}: only a package's own platform packages are optional`,
      );
  }
  if (isPlatform(name) && !fs.existsSync(path.join(base, 'src'))) continue;
  for (const file of sources(path.join(base, 'src'))) {
    for (const specifier of importsOf(file))
      checkImport(name, file, specifier, allowed, reason, file.endsWith('.test.ts'));
  }
}
for (const name of Object.keys(ALLOWED)) {
  if (!present.includes(name)) say(path.join(root, 'packages', name), 'is missing');
}

if (problems.length > 0) {
  process.stderr.write(`${problems.join('\n')}\n${problems.length} forbidden imports\n`);
  process.exit(1);
}
process.stdout.write(`dependency directions hold in ${present.length} packages\n`);
