// Packs the packages for use outside of the checkout, for this host: `npm run pack -- [--output DIRECTORY]`,
// then `npm install` of the tarballs elsewhere. A release does the same for all hosts, and publishes them.
//
// pnpm puts versions for `workspace:`. The platform package of this host gets what was built here; no other
// is packed, nor named by what is: npm would ask its registry for them.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { outputFlag } from './output-flag.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const libc = process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
/** Platform package of this host, by the package that takes it; where that has what was built, and where it belongs. */
const PLATFORMS = {
  native: { platform: `native-linux-${process.arch}-${libc}`, place: '.' },
  wshd: { platform: `wshd-linux-${process.arch}`, place: 'bin' },
};

function must(command, args, cwd = root) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stdout + stderr}`);
}

const readJson = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));
const tarballOf = (directory, name) => {
  const { version } = readJson(path.join(root, 'packages', name, 'package.json'));
  return path.join(directory, `warden-${name}-${version}.tgz`);
};

/**
 * Takes the tarball apart, lets `change` have its way, and puts it together again: to the same bytes for the
 * same content, with npm's time, since a lock file elsewhere holds the digest.
 */
function repack(file, change) {
  const scratch = fs.mkdtempSync(path.join(path.dirname(file), '.package-'));
  must('tar', ['-xzf', file, '-C', scratch]);
  change(path.join(scratch, 'package'));
  const always = ['--sort=name', '--mtime=1985-10-26 08:15:00Z', '--owner=0', '--group=0', '--numeric-owner'];
  must('tar', ['-czf', file, ...always, '-C', scratch, 'package']);
  fs.rmSync(scratch, { recursive: true });
}

function onlyThisHost(directory) {
  for (const [name, { platform, place }] of Object.entries(PLATFORMS)) {
    const built = path.join(root, 'packages', name, `prebuilt/linux-${process.arch}`);
    const own = tarballOf(directory, platform);
    if (!fs.existsSync(own)) throw new Error(`there is no package for this host: @warden/${platform}`);
    repack(own, (at) => fs.cpSync(built, path.join(at, place), { recursive: true }));
    repack(tarballOf(directory, name), (at) => {
      const file = path.join(at, 'package.json');
      const manifest = readJson(file);
      const key = `@warden/${platform}`;
      manifest.optionalDependencies = { [key]: manifest.optionalDependencies[key] };
      fs.writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`);
    });
  }
  const own = new Set(Object.values(PLATFORMS).map(({ platform }) => tarballOf(directory, platform)));
  for (const name of fs.readdirSync(path.join(root, 'packages'))) {
    if (!name.includes('-linux-')) continue;
    const file = tarballOf(directory, name);
    if (!own.has(file)) fs.rmSync(file);
  }
}

/** Answers how many. */
function pack(output) {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-pack-'));
  try {
    must(process.execPath, [path.join(root, 'scripts/pack-packages.mjs'), scratch]);
    onlyThisHost(scratch);
    fs.mkdirSync(output, { recursive: true });
    const files = fs.readdirSync(scratch);
    for (const file of files) fs.copyFileSync(path.join(scratch, file), path.join(output, file));
    return files.length;
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

const given = outputFlag('pack');
try {
  const output = given ?? path.join(root, 'reports/packages');
  // of another version
  if (given === undefined) fs.rmSync(output, { recursive: true, force: true });
  const count = pack(output);
  process.stdout.write(`${count} packages for this host; elsewhere: npm install ${output}/*.tgz\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
