import fs from 'node:fs';
import path from 'node:path';
import { type Logger, silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CgroupViewOptions, makeCgroupView } from './view.ts';

const STRANGER = 54_321;
let directory: string;
let view: string;
let options: CgroupViewOptions;
let reasons: unknown[];

beforeEach(() => {
  directory = fs.mkdtempSync('/tmp/warden-view-');
  view = path.join(directory, 'outer/view');
  const mountInfo = path.join(directory, 'mountinfo');
  const mounts = ['cpu,cpuacct', 'devices', 'memory', 'pids'];
  const lines = mounts.map(
    (name, at) => `${30 + at} 20 0:${at} / ${directory}/cgroup/${name} rw - cgroup cgroup rw,${name}`,
  );
  fs.writeFileSync(mountInfo, `${lines.join('\n')}\n`);
  fs.writeFileSync(path.join(directory, 'own'), '4:memory:/\n');
  for (const mount of mounts) {
    for (const prefix of ['warden', 'other'])
      fs.mkdirSync(path.join(directory, 'cgroup', mount, prefix, 'instance-0123456789a'), {
        recursive: true,
      });
  }
  reasons = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (_event, fields) => reasons.push(fields?.reason ?? fields?.error),
  };
  options = {
    directory: view,
    prefix: 'warden',
    logger,
    sources: { mountInfo, ownGroups: path.join(directory, 'own') },
    owner: process.getuid!(),
  };
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

function targets(): Record<string, string> {
  return Object.fromEntries(
    fs
      .readdirSync(view)
      .map((name) => [
        name,
        path.relative(path.join(directory, 'cgroup'), fs.realpathSync(path.join(view, name))),
      ]),
  );
}

const OWN = {
  cpu: 'cpu,cpuacct/warden',
  cpuacct: 'cpu,cpuacct/warden',
  devices: 'devices/warden',
  memory: 'memory/warden',
};

describe('the view of control groups', () => {
  it('leads by subsystem to the groups of the daemon, made as often as one likes [behaviour 15.3]', () => {
    expect([makeCgroupView(options), makeCgroupView(options)]).toEqual([true, true]);
    expect(targets()).toEqual(OWN);
    expect(fs.existsSync(path.join(view, 'memory/instance-0123456789a'))).toBe(true);
    expect(fs.statSync(view).mode & 0o777).toBe(0o755);
    expect(reasons).toEqual([]);
  });

  it('stays with the daemon that has it, whole', () => {
    makeCgroupView(options);
    fs.rmSync(path.join(view, 'memory'));
    expect(makeCgroupView({ ...options, prefix: 'other' })).toBe(false);
    expect(reasons).toEqual([expect.stringMatching(/cpu leads to .*warden: another daemon has the view/)]);
    expect(fs.readdirSync(view).sort()).toEqual(['cpu', 'cpuacct', 'devices']);
    expect(makeCgroupView(options)).toBe(true);
    expect(targets()).toEqual(OWN);
  });

  it('is taken over from a daemon whose groups are gone', () => {
    makeCgroupView({ ...options, prefix: 'other' });
    for (const mount of fs.readdirSync(path.join(directory, 'cgroup')))
      fs.rmSync(path.join(directory, 'cgroup', mount, 'other'), { recursive: true });
    expect(makeCgroupView(options)).toBe(true);
    expect(targets()).toEqual(OWN);
  });

  it('leaves alone what the original has mounted there', () => {
    fs.mkdirSync(path.join(view, 'devices'), { recursive: true });
    expect(makeCgroupView(options)).toBe(false);
    expect(fs.readdirSync(view)).toEqual(['devices']);
    expect(reasons).toEqual([expect.stringContaining('is there and no link of ours')]);
  });

  it('follows no symbolic link on the way', () => {
    fs.mkdirSync(path.join(directory, 'elsewhere'));
    fs.symlinkSync(path.join(directory, 'elsewhere'), path.join(directory, 'outer'));
    expect(makeCgroupView(options)).toBe(false);
    expect(fs.readdirSync(path.join(directory, 'elsewhere'))).toEqual([]);
    expect(reasons).toEqual([`${directory}/outer is a symbolic link`]);
  });

  it.each([
    ['outer', 0o777, 'can be written by others'],
    ['outer', 0o775, 'can be written by others'],
    ['outer/view', 0o1777, 'can be written by others'],
  ])('is not made where others may write: %s with mode %o', (name, mode, reason) => {
    fs.mkdirSync(view, { recursive: true });
    fs.chmodSync(path.join(directory, name), mode);
    expect(makeCgroupView(options)).toBe(false);
    expect(reasons).toEqual([`${path.join(directory, name)} ${reason}`]);
    expect(fs.readdirSync(view)).toEqual([]);
  });

  it('is made below a sticky directory that belongs to root, as /tmp does', () => {
    fs.mkdirSync(path.join(directory, 'outer'));
    fs.chmodSync(path.join(directory, 'outer'), 0o1777);
    expect(makeCgroupView(options)).toBe(true);
    expect(targets()).toEqual(OWN);
  });

  it.runIf(process.getuid?.() === 0)('is not made in what a user made there first [needs: root]', () => {
    fs.mkdirSync(view, { recursive: true });
    fs.chownSync(path.join(directory, 'outer'), STRANGER, STRANGER);
    expect(makeCgroupView(options)).toBe(false);
    fs.chownSync(path.join(directory, 'outer'), 0, 0);
    fs.chownSync(view, STRANGER, STRANGER);
    expect(makeCgroupView(options)).toBe(false);
    expect(reasons).toEqual([`${directory}/outer belongs to user 54321`, `${view} belongs to user 54321`]);
    expect(fs.readdirSync(view)).toEqual([]);
  });

  it('has an absolute path', () => {
    expect(makeCgroupView({ ...options, directory: 'relative' })).toBe(false);
    expect(reasons).toEqual(['relative is no absolute path']);
    expect(fs.existsSync('relative')).toBe(false);
  });

  it('is not made over a file, and a failure is a warning', () => {
    fs.writeFileSync(path.join(directory, 'outer'), '');
    expect(makeCgroupView(options)).toBe(false);
    expect(reasons).toEqual([`${directory}/outer is no directory`]);
  });

  it('shows nothing on a host with cgroup v2', () => {
    const mountInfo = path.join(directory, 'v2');
    fs.writeFileSync(mountInfo, `30 20 0:1 / ${directory}/cgroup rw - cgroup2 cgroup2 rw\n`);
    expect(makeCgroupView({ ...options, sources: { ...options.sources, mountInfo } })).toBe(false);
    expect(fs.existsSync(view)).toBe(false);
  });
});
