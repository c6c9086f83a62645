// Builds the Debian package out of what `npm run build` has made, for this host's processor:
// `npm run deb -- [--output DIRECTORY]`. Nothing is downloaded. The same checkout gives the same bytes: every
// time in it is SOURCE_DATE_EPOCH, else that of the last commit.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { outputFlag } from '../output-flag.mjs';
import {
  architecture,
  changelog,
  control,
  copyright,
  debianVersion,
  installedSize,
  md5sums,
} from './control.mjs';
import { makeTree } from './tree.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const MAINTAINER_SCRIPTS = ['postinst', 'prerm', 'postrm'];

function sourceDate() {
  const given = process.env.SOURCE_DATE_EPOCH ?? '';
  if (given !== '') {
    if (!/^\d+$/.test(given)) throw new Error(`SOURCE_DATE_EPOCH is no number of seconds: ${given}`);
    return Number(given);
  }
  const last = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' });
  if (last.status === 0 && /^\d+\s*$/.test(last.stdout)) return Number(last.stdout);
  throw new Error('set SOURCE_DATE_EPOCH: this is no checkout of git that would tell a date');
}

function readJson(...parts) {
  return JSON.parse(fs.readFileSync(path.join(root, ...parts), 'utf8'));
}

/** One owner, plain modes, one time: whatever the umask, whoever builds. */
function settle(directory, epoch) {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) settle(file, epoch);
    else {
      fs.chmodSync(file, fs.statSync(file).mode & 0o100 ? 0o755 : 0o644);
      fs.utimesSync(file, epoch, epoch);
    }
  }
  fs.chmodSync(directory, 0o755);
  fs.utimesSync(directory, epoch, epoch);
}

function writeControl(tree, facts) {
  const directory = path.join(tree, 'DEBIAN');
  fs.mkdirSync(directory);
  const write = (name, text, mode) => fs.writeFileSync(path.join(directory, name), text, { mode });
  write('md5sums', md5sums(tree));
  write('conffiles', '/etc/warden/wardend.yml\n');
  write('control', control(facts));
  for (const name of MAINTAINER_SCRIPTS)
    write(name, fs.readFileSync(path.join(root, 'scripts/deb/files', name)), 0o755);
}

/** Answers the file. */
function buildPackage(output) {
  const { version } = readJson('packages/daemon/package.json');
  const { homepage } = readJson('package.json');
  const epoch = sourceDate();
  const tree = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-deb-'));
  try {
    makeTree(root, tree, { version, changelog: changelog({ version, epoch }) });
    const about = path.join(tree, 'usr/share/doc/warden/copyright');
    fs.writeFileSync(about, copyright(tree, { homepage }));
    writeControl(tree, { version, homepage, installedSize: installedSize(tree) });
    settle(tree, epoch);
    fs.mkdirSync(output, { recursive: true });
    const file = path.join(output, `warden_${debianVersion(version)}_${architecture()}.deb`);
    const words = ['--root-owner-group', '-Zxz', '-z6', '--threads-max=1', '--build', tree, file];
    const { status, error, stderr } = spawnSync('dpkg-deb', words, {
      encoding: 'utf8',
      env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch), LC_ALL: 'C.UTF-8' },
    });
    if (status !== 0) throw new Error(`dpkg-deb: ${error?.message ?? stderr}`);
    return file;
  } finally {
    fs.rmSync(tree, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const given = outputFlag('deb');
  try {
    const file = buildPackage(given ?? path.join(root, 'reports/deb'));
    const { size } = fs.statSync(file);
    process.stdout.write(`${file} (${(size / 1_048_576).toFixed(1)} MiB)\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}
