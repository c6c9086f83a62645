/**
 * What a release publishes: each tarball's files, manifest, entry points and types.
 *
 * Platform packages hold their binaries only after `npm run build:platforms`; the rehearsal and the release
 * set WARDEN_TEST_PLATFORMS=all, and then each must be there.
 */
import fs from 'node:fs';
import path from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isPlatform, type Manifest, packageNames, ROOT, sourceManifest, Tarballs } from './packing.ts';

const ALWAYS = ['LICENSE', 'README.md', 'package.json'];
const LIBRARY = 'libwarden_native.so';
const PROGRAMS = ['bin/warden-copy', 'bin/warden-unpack', 'bin/wsh', 'bin/wshd'];
const ELF_MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
const names = packageNames();
const libraries = names.filter((name) => !isPlatform(name));
const platforms = names.filter(isPlatform);

let tarballs: Tarballs;
beforeAll(() => {
  tarballs = new Tarballs();
}, 300_000);
afterAll(() => tarballs.remove());

function filesBelow(directory: string): readonly string[] {
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)));
}

/** A source file is published as code, types, and a map that holds the source. */
function published(name: string): readonly string[] {
  const base = path.join(ROOT, 'packages', name);
  const modules = filesBelow(path.join(base, 'src'))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .flatMap((file) => ['.js', '.js.map', '.d.ts'].map((end) => `dist/${file.slice(0, -3)}${end}`));
  const programs = Object.values(sourceManifest(name).bin ?? {}).map((file) => path.normalize(file));
  if (programs.length > 0) programs.push('bin/package.json'); // they are CommonJS
  // rolled together from modules of many packages: scripts/bundle.mjs
  const rolled = fs.existsSync(path.join(base, 'dist/program'))
    ? filesBelow(path.join(base, 'dist/program'))
        .filter((file) => !file.endsWith('.cache')) // what a start has compiled
        .map((file) => `dist/program/${file}`)
    : [];
  for (const program of Object.keys(sourceManifest(name).bin ?? {}))
    expect(rolled).toContain(`dist/program/${program}.cjs`);
  const units = name === 'daemon' ? ['systemd/warden.service', 'systemd/warden.socket'] : [];
  const skeleton =
    name === 'wshd' ? filesBelow(path.join(ROOT, 'skeleton')).map((file) => `skeleton/${file}`) : [];
  const assets = name === 'page' ? filesBelow(path.join(base, 'assets')).map((file) => `assets/${file}`) : [];
  const manual = name === 'cli' ? filesBelow(path.join(base, 'man')).map((file) => `man/${file}`) : [];
  return [...ALWAYS, ...modules, ...programs, ...rolled, ...units, ...skeleton, ...assets, ...manual];
}

function packedManifest(name: string): Manifest {
  const directory = fs.mkdtempSync(path.join(path.dirname(tarballs.file(name)), 'unpacked-'));
  tarballs.unpack(name, directory);
  return JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8')) as Manifest;
}

describe('the files of a package', () => {
  it.each(libraries)(
    '@warden/%s holds its modules, README, licence and declared files, and nothing else',
    (name) => {
      expect([...tarballs.list(name).keys()].sort()).toEqual([...published(name)].sort());
    },
  );

  it.each(libraries)('@warden/%s names no map that it does not hold', (name) => {
    const directory = fs.mkdtempSync(path.join(path.dirname(tarballs.file(name)), 'unpacked-'));
    tarballs.unpack(name, directory);
    const named = filesBelow(directory)
      .filter((file) => /\.(js|cjs|d\.ts)$/.test(file))
      .flatMap((file) => {
        const map = /^\/\/# sourceMappingURL=(.+)$/m.exec(
          fs.readFileSync(path.join(directory, file), 'utf8'),
        );
        return map === null ? [] : [path.join(path.dirname(file), map[1]!)];
      });
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((map) => !fs.existsSync(path.join(directory, map)))).toEqual([]);
  });

  it.each(platforms)('@warden/%s holds what was built for it, with the right to be executed', (name) => {
    const built = name.startsWith('native') ? [LIBRARY] : PROGRAMS;
    const base = path.join(ROOT, 'packages', name);
    const present = built.filter((file) => fs.existsSync(path.join(base, file)));
    if (process.env.WARDEN_TEST_PLATFORMS === 'all') expect(present).toEqual(built);
    const listed = tarballs.list(name);
    expect([...listed.keys()].sort()).toEqual([...ALWAYS, ...present].sort());
    for (const file of present) {
      const head = fs.readFileSync(path.join(base, file)).subarray(0, 20);
      expect(head.readUInt16LE(18), `${file} is for the processor`).toBe(
        ELF_MACHINES[sourceManifest(name).cpu![0]!],
      );
      expect(listed.get(file), `${file} can be executed`).toBe(file !== LIBRARY);
    }
  });
});

describe('the manifest of a package', () => {
  const home = (JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as Manifest).repository!
    .url;

  it.each(names)(
    '@warden/%s says where it comes from, under which licence, and is published with provenance',
    (name) => {
      const manifest = packedManifest(name);
      const page = home.replace(/^git\+|\.git$/g, '');
      expect(manifest).toMatchObject({
        name: `@warden/${name}`,
        license: 'Apache-2.0',
        homepage: `${page}/tree/main/packages/${name}#readme`,
        bugs: { url: `${page}/issues` },
        repository: { type: 'git', url: home, directory: `packages/${name}` },
        engines: { node: '>=20.19' },
        publishConfig: { access: 'public', provenance: true },
      });
      expect(manifest.description).toMatch(/^\S.{20,}[^.]$/);
      expect(manifest.keywords).toContain('warden');
    },
  );

  it.each(names)(
    '@warden/%s runs nothing when it is installed and depends on published versions only',
    (name) => {
      const { scripts, dependencies, optionalDependencies } = packedManifest(name);
      expect(Object.keys(scripts ?? {}).filter((key) => /install|prepare/.test(key))).toEqual([]);
      for (const [dependency, range] of Object.entries({ ...dependencies, ...optionalDependencies }))
        expect(`${dependency} ${range}`).toMatch(/ \^?\d+\.\d+\.\d+$/);
    },
  );

  it.each(['native', 'wshd'])('@warden/%s takes exactly its own version of its platform packages', (name) => {
    const { version, optionalDependencies } = packedManifest(name);
    const expected = platforms.filter((platform) => platform.startsWith(`${name}-`));
    expect(optionalDependencies).toEqual(
      Object.fromEntries(expected.map((platform) => [`@warden/${platform}`, version])),
    );
  });

  it.each(platforms)('@warden/%s names its system in its name and in its manifest alike', (name) => {
    const [, , cpu, libc] = name.split('-');
    expect(sourceManifest(name)).toMatchObject({
      os: ['linux'],
      cpu: [cpu],
      ...(libc ? { libc: [libc] } : {}),
    });
  });
});

describe('a bundle for a program', () => {
  // what these hold is free of effects, and says so
  it.each([
    ['client', 'shellQuote'],
    ['interface', 'isContainerId'],
    ['protocol', 'toBytes'],
  ])('takes from @warden/%s what %s needs, and nothing else', async (name, value) => {
    const file = path.join(ROOT, 'test/repository', `bundled-${name}.mjs`);
    const { output } = await build({
      input: 'program',
      write: false,
      platform: 'node',
      plugins: [
        {
          name: 'program',
          resolveId: (id) => (id === 'program' ? file : null),
          load: (id) =>
            id === file
              ? `import { ${value} } from '${path.join(ROOT, 'packages', name, 'dist/index.js')}'; console.log(${value});`
              : null,
        },
      ],
    });
    const modules = Object.keys(output[0].modules).filter((id) => id !== file);
    expect(modules.length).toBeLessThanOrEqual(2);
    expect(output[0].code).toContain('console.log');
  });
});

describe('the entry points of a package', () => {
  it.each(names)('publint finds nothing to say about @warden/%s', async (name) => {
    const { buffer } = tarballs.bytes(name);
    const { messages, pkg } = await publint({ pack: { tarball: buffer as ArrayBuffer }, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg!, { color: false }))).toEqual([]);
  });

  it.each(libraries)('the types of @warden/%s are right for everyone who can import it', async (name) => {
    const answer = await checkPackage(createPackageFromTarballData(tarballs.bytes(name)));
    if (answer.types === false) throw new Error('there are no types');
    // what is published are modules: neither CommonJS nor the resolution from before `exports` can take them
    const problems = answer.problems.filter(
      (problem) =>
        !('resolutionKind' in problem && ['node10', 'node16-cjs'].includes(problem.resolutionKind)),
    );
    expect(problems).toEqual([]);
  });
});
