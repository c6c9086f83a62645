/**
 * Each package alone: its tarball and what that asks for, in an otherwise empty project, with the example of
 * its README checked by the compiler against the published types and then run by Node.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describeWith, withDaemon } from '@warden/test-harness';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isPlatform, packageNames, ROOT, readManifest, sourceManifest, Tarballs } from './packing.ts';

const run = promisify(execFile);
/** What an example prints; those that need a daemon or rights stand below. */
const ANYWHERE: Readonly<Record<string, RegExp>> = {
  core: /exitStatus: 3/,
  daemon: /^\/.+ \[\]\n$/,
  'driver-compliance': /^# pass [1-9]\d*\n# fail 0$/m,
  'fs-aufs': /ok: (true|false)[\s\S]+type: 'aufs'/,
  'fs-bind': /target: '\/'/,
  images: /^\[\]\n$/,
  interface: /^UNKNOWN_HANDLE mine\n$/,
  native: /^hello\n\{ exitCode: 3 \}\n$/,
  page: /200 text\/html[\s\S]+403/,
  protocol: /handle: 'box'/,
  quota: /(project|image|none)/,
  server: /\[ 'one', 'two' \]/,
};
const AS_ROOT: Readonly<Record<string, RegExp>> = {
  cgroup: /instance-0123456789a/,
  'fs-overlayfs': /type: 'overlay'/,
  'net-nftables': /ok: true[\s\S]+w-0123456789a-1/,
  wshd: /bin\/wshd/,
};
const names = packageNames().filter((name) => !isPlatform(name));

let place: string;
let tarballs: Tarballs;

/** Names of packages from anywhere that a text imports. */
function imported(code: string): readonly string[] {
  return [...code.matchAll(/from '(@warden\/[\w-]+)'/g)].map(([, name]) => name!.replace('@warden/', ''));
}

function examplesOf(name: string): readonly string[] {
  const readme = fs.readFileSync(path.join(ROOT, 'packages', name, 'README.md'), 'utf8');
  return [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!);
}

/** The first, which is also run. */
function exampleOf(name: string): string {
  return examplesOf(name)[0] ?? '';
}

/** A foreign dependency as it lies in the checkout: its own dependencies are beside its real place. */
function linkForeign(name: string, dependency: string, modules: string): void {
  const target = path.join(modules, dependency);
  if (fs.existsSync(target)) return;
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.symlinkSync(fs.realpathSync(path.join(ROOT, 'packages', name, 'node_modules', dependency)), target);
}

/** The platform package as a release fills it; what was built for this host in the checkout is the same code. */
function installPlatform(name: string, modules: string): void {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  const libc = header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
  const platform = `${name}-linux-${process.arch}${name === 'native' ? `-${libc}` : ''}`;
  const target = path.join(modules, '@warden', platform);
  tarballs.unpack(platform, target);
  const built = path.join(ROOT, 'packages', name, `prebuilt/linux-${process.arch}`);
  fs.cpSync(built, name === 'native' ? target : path.join(target, 'bin'), { recursive: true });
}

function install(name: string, modules: string): void {
  const target = path.join(modules, '@warden', name);
  if (fs.existsSync(target)) return;
  tarballs.unpack(name, target);
  const { dependencies, optionalDependencies } = readManifest(target);
  for (const dependency of Object.keys(dependencies ?? {}))
    if (dependency.startsWith('@warden/')) install(dependency.replace('@warden/', ''), modules);
    else linkForeign(name, dependency, modules);
  if (optionalDependencies) installPlatform(name, modules);
}

function project(name: string): string {
  return path.join(place, name);
}

/** An empty project with the package, and those its example names. */
function makeProject(name: string): void {
  const code = exampleOf(name);
  const directory = project(name);
  fs.mkdirSync(path.join(directory, 'node_modules'), { recursive: true });
  fs.writeFileSync(path.join(directory, 'package.json'), '{ "type": "module" }');
  for (const each of new Set([name, ...imported(code)])) install(each, path.join(directory, 'node_modules'));
  // directories for trying: short ones, for paths of sockets are bounded
  const here = code.replaceAll("'/tmp/", `'${place}/`);
  fs.writeFileSync(path.join(directory, 'example.ts'), `${here}\nexport {};\n`);
}

/** What else a program can copy is compiled too; other packages' later examples are parts of a driver. */
function addClientExamples(): void {
  for (const [index, code] of examplesOf('client').entries())
    fs.writeFileSync(path.join(project('client'), `copied-${index}.ts`), `${code}\nexport {};\n`);
}

function compile(): void {
  const options = {
    target: 'es2022',
    lib: ['es2023'],
    module: 'nodenext',
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmitOnError: true,
    types: ['node'],
    typeRoots: [path.join(ROOT, 'node_modules/@types')],
  };
  const file = path.join(place, 'tsconfig.json');
  fs.writeFileSync(
    file,
    JSON.stringify({ compilerOptions: options, include: ['*/example.ts', '*/copied-*.ts'] }),
  );
  const compiler = path.join(ROOT, 'node_modules/typescript/bin/tsc');
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', file], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`an example does not compile:\n${stdout}`);
}

async function runExample(name: string, ...wrapper: readonly string[]): Promise<string> {
  const [command, ...args] = [...wrapper, process.execPath, path.join(project(name), 'example.js')];
  // what node:test says without being asked is TAP up to Node 22 only
  const env = { PATH: process.env.PATH, NODE_OPTIONS: '--test-reporter=tap' };
  const { stdout } = await run(command!, args, { cwd: project(name), env });
  return stdout;
}

beforeAll(() => {
  place = fs.mkdtempSync('/tmp/we-');
  tarballs = new Tarballs();
  for (const name of names) makeProject(name);
  addClientExamples();
  compile();
}, 300_000);
afterAll(() => {
  fs.rmSync(place, { recursive: true, force: true });
  tarballs.remove();
});

describe('the example in the README', () => {
  it.each(names.filter((name) => name !== 'cli'))('of @warden/%s is there, and short', (name) => {
    const lines = exampleOf(name).split('\n');
    expect(imported(exampleOf(name))).toContain(name);
    expect(lines.filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(10);
    expect(
      fs.readFileSync(path.join(ROOT, 'packages', name, 'README.md'), 'utf8').split('\n').length,
    ).toBeLessThan(110);
  });

  it('is run here for each package', () =>
    expect([...Object.keys(ANYWHERE), ...Object.keys(AS_ROOT), 'cli', 'client'].sort()).toEqual(
      [...names].sort(),
    ));

  it.each(Object.entries(ANYWHERE))('of @warden/%s works alone', async (name, expected) => {
    expect(await runExample(name)).toMatch(expected);
  });
});

// without rights the doctor has nothing to load
describeWith(['root'], 'an install without the optional dependencies', () => {
  it('has programs that start, and say what to install', () => {
    const directory = project('without-optional');
    const modules = path.join(directory, 'node_modules');
    fs.mkdirSync(modules, { recursive: true });
    install('daemon', modules);
    for (const name of fs.readdirSync(path.join(modules, '@warden')))
      if (isPlatform(name)) fs.rmSync(path.join(modules, '@warden', name), { recursive: true });
    // a copy has no compiled part beside it
    const koffi = path.join(modules, 'koffi');
    const linked = fs.realpathSync(koffi);
    fs.rmSync(koffi);
    fs.cpSync(linked, koffi, { recursive: true });
    const wardend = (...words: readonly string[]) => {
      const program = path.join(modules, '@warden/daemon', sourceManifest('daemon').bin!.wardend!);
      return spawnSync(process.execPath, [program, ...words], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH },
      });
    };
    const { version } = sourceManifest('daemon');
    expect(wardend('--version')).toMatchObject({ status: 0, stdout: `wardend ${version}\n`, stderr: '' });
    expect(wardend('doctor').stderr).toMatch(
      /^wardend doctor: load-library koffi: .+; install the optional dependencies .+ \(UNSUPPORTED\)\n$/,
    );
    fs.rmSync(koffi, { recursive: true });
    fs.symlinkSync(linked, koffi);
    expect(wardend('doctor').stderr).toMatch(
      /^wardend doctor: load-library libwarden_native\.so: .+; install the optional dependencies, .+ \(UNSUPPORTED\)\n$/,
    );
  });
});

describeWith(['root', 'isolated'], 'the example in the README, as root', () => {
  it.each(Object.entries(AS_ROOT))('of @warden/%s works alone', async (name, expected) => {
    // links and rules go with the namespace
    expect(await runExample(name, 'unshare', '--net', '--')).toMatch(expected);
  });
});

describeWith(['root', 'isolated', 'overlayfs'], 'the example in the README, with a daemon', () => {
  const suite = withDaemon();

  it('of @warden/client works alone', async () => {
    const file = path.join(project('client'), 'example.js');
    const code = fs.readFileSync(file, 'utf8').replaceAll(`${place}/warden.sock`, suite.daemon.place.socket);
    fs.writeFileSync(file, code);
    expect(await runExample('client')).toBe('1\n2\n3\n');
    expect(await (await suite.daemon.connect()).list()).toEqual([]);
  });

  it('of @warden/cli works alone', () => {
    const readme = fs.readFileSync(path.join(ROOT, 'packages/cli/README.md'), 'utf8');
    const line = readme.split('\n').find((one) => one.includes('| warden'))!;
    const bin = path.join(project('cli'), 'node_modules/@warden/cli', sourceManifest('cli').bin!.warden!);
    const words = `exec "$NODE" "$BIN" --socket "$SOCKET" "$@"`;
    const program = path.join(project('cli'), 'warden');
    fs.writeFileSync(program, `#!/bin/sh\n${words}\n`, { mode: 0o755 });
    const output = execFileSync('sh', ['-c', line], {
      cwd: project('cli'),
      encoding: 'utf8',
      env: {
        PATH: `${project('cli')}:${process.env.PATH}`,
        NODE: process.execPath,
        BIN: bin,
        SOCKET: suite.daemon.place.socket,
        HOME: place,
      },
    });
    expect(output).toMatch(/^\+ create --handle h\n[\s\S]*\+ list\n[\s\S]*\bh\b/);
  });
});
