/**
 * A daemon is killed while root of a container has taken what init needs for the next one: that container is
 * not removed, and is there again when the storm is over.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describeWith, makePlace, startDaemon, type TestPlace } from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeImage } from './image.ts';

const KILLS = process.env.WARDEN_STORMS_SHORT ? 1 : 2;
/** What is counted by user is not to be counted for containers of other daemons. */
const OWN_IDS = { security: { subordinate_ids: 1_200_000_000 } };

describeWith(['root', 'isolated', 'overlayfs'], 'a daemon that is killed in a storm', () => {
  let place: TestPlace;
  beforeAll(async () => {
    place = await makePlace();
    return () => place.remove();
  });

  it('descriptors on their way, more than init may send: the container lives on, set aside, and is back afterwards [SECURITY R]', async () => {
    const image = path.join(place.directory, 'image');
    makeImage(image);
    let daemon = await startDaemon({ place, config: OWN_IDS });
    afterAll(() => daemon.kill());
    const warden = await daemon.connect();
    const box = await warden.create({ handle: 'box', rootfs: image });
    await warden.create({ handle: 'other', rootfs: image });
    const job = await box.spawn('read line; echo "$line"; exit 3', { stdin: 'pipe' });
    const pid = Number(fs.readFileSync(path.join((await box.info()).containerPath!, 'run/wshd.pid'), 'utf8'));
    const storm = await box.spawn('exec abuse-probe storm rights 3600', {
      privileged: true,
      rlimits: { nofile: limitOf(pid) },
    });
    for await (const { data } of storm.stream())
      if (/ETOOMANYREFS held/.test(String(Buffer.from(data)))) break;
    const raging = childOf(pid, 'abuse-probe');
    for (let kill = 0; kill < KILLS; kill++) {
      await daemon.kill('SIGKILL');
      daemon = await startDaemon({ place, config: OWN_IDS, readyWithinMs: 60_000 });
      const next = await daemon.connect();
      expect(await next.list()).toEqual(['other']);
      expect((await next.container('other').run('exit 5')).exitStatus).toBe(5);
      expect(lives(pid), 'its init lives').toBe(true);
    }
    process.kill(raging, 'SIGKILL');
    await expect.poll(() => lives(raging), { timeout: 60_000 }).toBe(false);
    await daemon.kill('SIGKILL');
    daemon = await startDaemon({ place, config: OWN_IDS });
    const last = await daemon.connect();
    expect(await last.list()).toEqual(['box', 'other']);
    const again = last.container('box').job(job.id);
    await again.write('still there\n');
    expect(await again.link()).toMatchObject({ exitStatus: 3, stdoutText: 'still there\n' });
    await daemon.stop();
  });
});

/** And has not ended without anybody having been told. */
function lives(pid: number): boolean {
  return fs.existsSync(`/proc/${pid}/fd/0`);
}

/** As many descriptors as a process may have open. */
function limitOf(pid: number): bigint {
  const limits = fs.readFileSync(`/proc/${pid}/limits`, 'utf8');
  return BigInt(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)![1]!);
}

function childOf(pid: number, name: string): number {
  const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  return children.find((child) => fs.readFileSync(`/proc/${child}/comm`, 'utf8').startsWith(name))!;
}
