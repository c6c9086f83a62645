/** Files inside, as a hostile container shows them: nothing waits, nothing leads out, nothing half is left. */
import fs from 'node:fs';
import type { ClientContainer } from '@warden/client';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it } from 'vitest';

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A tar entry of one's own making: header with the right checksum, and content. */
function entry(
  name: string,
  type: string,
  options: { content?: string; link?: string; size?: number; mode?: number; modified?: Buffer } = {},
): Buffer {
  const { content = '', link = '', size = content.length, mode = 0o644, modified } = options;
  const header = Buffer.alloc(512);
  header.write(name, 0, 100, 'latin1');
  header.write(`${mode.toString(8).padStart(7, '0')}\0`, 100, 'latin1');
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  header.write('00000000000\0', 136, 'latin1');
  modified?.copy(header, 136);
  header.write('        ', 148, 'latin1');
  header.write(type, 156, 'latin1');
  header.write(link, 157, 100, 'latin1');
  header.write('ustar\0' + '00', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  const padded = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  padded.write(content, 'latin1');
  return Buffer.concat([header, padded]);
}

const END = Buffer.alloc(1024);
const names = async (box: ClientContainer, path: string): Promise<string[]> => {
  const found: string[] = [];
  for await (const { name } of box.files.list(path)) found.push(name);
  return found.sort();
};

describeWith(['root', 'isolated', 'overlayfs'], 'files inside', () => {
  const suite = withDaemon();

  it('are told by their kinds, and only regular ones are read', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await box.sh`cd /tmp && mkdir d && cd d && mkfifo pipe && ln -s /etc/passwd link && mkdir sub && echo hi > file && chmod 4755 file`;
    const found: Record<string, unknown> = {};
    for await (const { name, type, mode, linkTarget } of box.files.list('/tmp/d'))
      found[name] = [type, mode, linkTarget];
    expect(found).toEqual({
      pipe: ['fifo', 0o644, undefined],
      link: ['symlink', 0o777, '/etc/passwd'],
      sub: ['directory', 0o755, undefined],
      file: ['file', 0o4755, undefined],
    });
    await expect(box.files.readAll('/tmp/d/pipe')).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    await expect(box.files.readAll('/dev/zero')).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    // of the container, never of the host
    expect(await box.files.readText('/tmp/d/link')).toBe((await box.run('cat /etc/passwd')).stdoutText);
    expect((await box.files.stat('/tmp/d/link')).type).toBe('symlink');
  });

  it('are opened with the rights of their user', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await box.files.write('/root/secret', 'x', { privileged: true, mode: 0o600 });
    // a permission inside is no policy of the daemon's, and the advice is about the former
    const denied = (as: string): object => ({
      code: 'FORBIDDEN',
      fields: { errno: 'EACCES', advice: expect.stringContaining(as) },
    });
    await expect(box.files.readAll('/root/secret')).rejects.toMatchObject(denied('as root inside'));
    await expect(box.files.write('/etc/new', 'x')).rejects.toMatchObject(
      denied('the permissions of the path'),
    );
    expect(await box.files.readText('/root/secret', { privileged: true })).toBe('x');
    const { stdoutText } = await box.run('id -u');
    await box.files.write('/tmp/own', 'x');
    expect(String((await box.files.stat('/tmp/own')).uid)).toBe(stdoutText.trim());
  });

  it('are replaced, where a link stands, and never through it', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await box.run('echo kept > /tmp/target; ln -s target /tmp/link', { check: true });
    await box.files.write('/tmp/link', 'new');
    expect(await box.files.readText('/tmp/target')).toBe('kept\n');
    expect((await box.files.stat('/tmp/link')).type).toBe('file');
  });

  it('of an archive are whole: names, links, modes, large ones, and without devices and pipes', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const long = 'n'.repeat(120);
    await box.sh`mkdir -p /tmp/t/${long}/sub && cd /tmp/t && echo deep > ${long}/sub/file && ln -s ${long} link && mkfifo pipe && chmod 6711 ${long}/sub/file && head -c 3000000 /dev/urandom > big && mkdir -m 0500 closed`;
    const archive = await collect(box.files.readTar('/tmp/t'));
    await box.run('chmod 700 /tmp/t/closed; mkdir /tmp/u', { check: true });
    await box.files.writeTar('/tmp/u', archive);
    expect(await names(box, '/tmp/u')).toEqual(['big', 'closed', 'link', long].sort());
    const { stdoutText } =
      await box.sh`cmp /tmp/t/big /tmp/u/big && readlink /tmp/u/link && stat -c %a /tmp/u/closed /tmp/u/${long}/sub/file`;
    // set-user-id bits do not leave
    expect(stdoutText).toBe(`${long}\n500\n711\n`);
    // and the tar of the container understands it
    await box.files.write('/tmp/a.tar', archive);
    expect((await box.run('tar tf /tmp/a.tar | sort | head -c 4')).stdoutText).toBe('big\n');
  });

  it('of an archive have its times, those before 1970 too', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    // what octal has no room for GNU's tar writes in 12 bytes, the first of which says so
    const binary = (seconds: bigint, first: number): Buffer => {
      const field = Buffer.alloc(12, seconds < 0n ? 0xff : 0);
      field.writeBigInt64BE(seconds, 4);
      field[0] = first;
      return field;
    };
    const archive = Buffer.concat([
      entry('before', '0', { content: 'x', modified: binary(-86_400n, 0xff) }),
      entry('long-before', '0', { content: 'x', modified: binary(-2_000_000_000n, 0xff) }),
      entry('behind', '0', { content: 'x', modified: binary(9_000_000_000n, 0x80) }),
      END,
    ]);
    await box.run('mkdir /tmp/times', { check: true });
    await box.files.writeTar('/tmp/times', archive);
    const { stdoutText } = await box.run('cd /tmp/times; stat -c %Y before long-before behind');
    expect(stdoutText).toBe('-86400\n-2000000000\n9000000000\n');
    for (const modified of [binary(-(2n ** 63n), 0x80), Buffer.alloc(12, 0xbf)])
      await expect(
        box.files.writeTar('/tmp/times', Buffer.concat([entry('wrong', '0', { modified }), END])),
      ).rejects.toMatchObject({ code: 'INVALID_SPEC' });
  });

  it('get no set-user-id and set-group-id bits on their way in, whoever asks; the sticky bit is kept [SECURITY F09]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const modes = (): Promise<string[]> =>
      box
        .run('cd /tmp/s; stat -c "%n %a" . * closed/*', { check: true, privileged: true })
        .then(({ stdoutText }) => stdoutText.trim().split('\n').sort());
    const archive = Buffer.concat([
      entry('u', '0', { content: 'x', mode: 0o4755 }),
      entry('g', '0', { content: 'x', mode: 0o2755 }),
      entry('d/', '5', { mode: 0o7777 }),
      entry('closed/', '5', { mode: 0o6500 }), // gets its mode at the end
      entry('closed/in', '0', { content: 'x', mode: 0o7700 }),
      END,
    ]);
    for (const privileged of [false, true]) {
      await box.run('mkdir /tmp/s', { check: true, privileged });
      await box.files.writeTar('/tmp/s', archive, { privileged });
      // one that stands there with such bits does not hand them on to what replaces it
      await box.run('cd /tmp/s; echo old > own; chmod 6755 own', { check: true, privileged });
      await box.files.write('/tmp/s/own', 'new', { privileged });
      expect(await modes()).toEqual(
        ['. 755', 'closed 500', 'd 1777', 'g 755', 'own 755', 'u 755', 'closed/in 1700'].sort(),
      );
      await expect(box.files.write('/tmp/s/new', 'x', { privileged, mode: 0o4755 })).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        message: expect.stringContaining('mode 04755'),
      });
      await box.run('rm -r /tmp/s', { check: true, privileged: true });
    }
  });

  it('of an archive never come outside, whatever it says', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await box.run('mkdir /tmp/in /tmp/out; ln -s /tmp/out /tmp/in/there', { check: true });
    const hostile: Record<string, Buffer[]> = {
      'a name that climbs': [entry('../out/evil', '0', { content: 'x' })],
      'a name that climbs later': [entry('a/../../out/evil', '0', { content: 'x' })],
      'a link that stood there': [entry('there/evil', '0', { content: 'x' })],
      'a link of its own': [entry('l', '2', { link: '/tmp/out' }), entry('l/evil', '0', { content: 'x' })],
      'a hard link out': [entry('h', '1', { link: '../out/kept' })],
      'a device': [entry('d', '3')],
      'a pipe': [entry('p', '6')],
      'a size beyond everything': [entry('s', '0', { size: 0o77777777777 })],
    };
    for (const [what, entries] of Object.entries(hostile)) {
      const error = await box.files
        .writeTar('/tmp/in', Buffer.concat([...entries, END]))
        .catch((failure: unknown) => failure);
      expect(error, what).toMatchObject({ code: expect.stringMatching(/INVALID_SPEC|FORBIDDEN/) });
    }
    expect(await names(box, '/tmp/out')).toEqual([]);
    await box.files.writeTar('/tmp/in', Buffer.concat([entry('/absolute', '0', { content: 'inside' }), END]));
    expect(await box.files.readText('/tmp/in/absolute')).toBe('inside');
    expect(fs.existsSync('/absolute')).toBe(false);
  });

  it('leave nothing half when the disk of the container, or the client, gives up', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const giveUp = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array, void, undefined> {
      for (let at = 0; ; at += 1) {
        if (at === 20) giveUp.abort();
        yield new Uint8Array(65_536);
      }
    }
    await expect(box.files.write('/tmp/half', endless(), { signal: giveUp.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    await expect.poll(() => names(box, '/tmp'), { timeout: 20_000 }).toEqual([]);
    await expect
      .poll(async () => (await box.run('ls /proc | grep -c "^[0-9]*$"')).stdoutText.trim(), {
        timeout: 20_000,
      })
      .toMatch(/^[3-6]$/);
  });

  it('are read no faster than somebody takes them', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await box.run('head -c 50000000 /dev/zero > /tmp/large', { check: true });
    let size = 0;
    for await (const piece of box.files.read('/tmp/large')) {
      size += piece.length;
      if (size > 1_000_000) break;
    }
    expect(size).toBeLessThan(3_000_000);
    expect(await box.files.readText('/tmp/large', { offset: 49_999_999n })).toBe('\0');
  });

  it('tells a watch of the names that files have, and of none that stands for a file on its way', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await box.run('mkdir /tmp/seen');
    const watch = await box.files.watch('/tmp/seen');
    for (const content of ['new', 'replaced']) await box.files.write('/tmp/seen/file', content);
    await box.run("echo x > '/tmp/seen/#12'; touch /tmp/seen/last");
    const names: string[] = [];
    for await (const { kind, name } of watch) {
      names.push(`${kind} ${name}`);
      if (name === 'last') break;
    }
    expect(names).toEqual([
      'created file',
      'created file',
      'created #12',
      'modified #12',
      'written #12',
      'created last',
    ]);
  });

  it('in great numbers of tasks are refused, not queued without end', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const watches = await Promise.all(Array.from({ length: 24 }, () => box.files.watch('/tmp')));
    await expect(box.files.stat('/tmp')).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    await watches[0]!.return?.();
    await expect.poll(() => box.files.exists('/tmp').catch(() => false), { timeout: 20_000 }).toBe(true);
    await Promise.all(watches.map((watch) => watch.return?.()));
  });
});
