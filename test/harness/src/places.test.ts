import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { makePlace } from './daemon.ts';
import { cgroupParents, processesOf, reapPlaces, registerPlace } from './places.ts';
import { describeWith } from './requires.ts';

/** A place as a run leaves it: a directory, a group, and a process in there. */
async function leave(name: string): Promise<{ directory: string; pid: number }> {
  const directory = fs.mkdtempSync('/tmp/warden-test-places-test-');
  fs.mkdirSync(path.join(directory, 'depot'));
  const mount = /^(?:\S+ ){4}(\S+) .* - cgroup\S* \S+ \S*(?:pids|nsdelegate)/m.exec(
    fs.readFileSync('/proc/self/mountinfo', 'utf8'),
  )![1]!;
  fs.mkdirSync(path.join(mount, name, 'instance-x'), { recursive: true });
  const join = `echo 0 > ${path.join(mount, name, 'instance-x', 'cgroup.procs')}; echo in; exec sleep 300`;
  const child = spawn('sh', ['-c', join], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return { directory, pid: child.pid! };
}

describeWith(['root', 'isolated', 'cgroup-v1-memory'], 'places of test daemons', () => {
  it('of a process that is no more are removed with all that lives in them; others are left alone', {
    timeout: 120_000,
  }, async () => {
    const gone = `warden-t${process.pid}-gone`;
    const kept = `warden-t${process.pid}-kept`;
    const [left, own] = [await leave(gone), await leave(kept)];
    // others, who begin at this moment, would reap what is in that of all
    const registry = fs.mkdtempSync('/tmp/warden-test-places-of-');
    const forget = registerPlace({ name: kept, directory: own.directory }, registry);
    // what a process that has ended would have written
    const { pid: ended } = spawnSync('true');
    const entry = { name: gone, directory: left.directory, pid: ended, birth: 'an earlier boot 1' };
    fs.writeFileSync(path.join(registry, `${gone}.json`), JSON.stringify(entry));
    try {
      expect(processesOf({ name: gone, depot: path.join(left.directory, 'depot') })).toEqual([
        String(left.pid),
      ]);
      const reaped = await reapPlaces(registry);
      expect(reaped).toContain(gone);
      expect(reaped).not.toContain(kept);
      expect(fs.existsSync(left.directory)).toBe(false);
      expect(cgroupParents(gone)).toEqual([]);
      expect(fs.existsSync(path.join(registry, `${gone}.json`))).toBe(false);
      expect(fs.existsSync(own.directory)).toBe(true);
      expect(cgroupParents(kept)).toHaveLength(1);
      expect(processesOf({ name: kept, depot: path.join(own.directory, 'depot') })).toEqual([
        String(own.pid),
      ]);
    } finally {
      // as if this process had ended, too
      const file = path.join(registry, `${kept}.json`);
      fs.writeFileSync(file, JSON.stringify({ ...entry, name: kept, directory: own.directory }));
      await reapPlaces(registry);
      forget();
      fs.rmSync(registry, { recursive: true });
    }
    expect(fs.existsSync(own.directory)).toBe(false);
    expect(cgroupParents(kept)).toEqual([]);
  });

  it('leave nothing when they are removed: groups within groups, and what is frozen in them', async () => {
    const place = await makePlace();
    const groups = ['pids', 'freezer'].map((name) => `/sys/fs/cgroup/${name}/${place.name}/instance-x/jobs`);
    for (const group of groups) fs.mkdirSync(group, { recursive: true });
    const join = groups.map((group) => `echo $$ > ${group}/cgroup.procs`).join(' && ');
    const child = spawn('sh', ['-c', `${join} && echo in && exec sleep 600`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    fs.writeFileSync(`${groups[1]}/freezer.state`, 'FROZEN');
    const ended = once(child, 'exit');
    await place.remove();
    expect(await ended).toEqual([null, 'SIGKILL']);
    expect(cgroupParents(place.name)).toEqual([]);
    expect(fs.existsSync(place.directory)).toBe(false);
  });
});
