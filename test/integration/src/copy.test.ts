/**
 * Copies between host and container: rsync's meaning of paths, owners, modes, errors, states, and that
 * nothing is left behind.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';
import { describeWith, withDaemon } from '@warden/test-harness';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { copyHelpers } from './copy-helpers.ts';
import { text } from './text.ts';

describeWith(['root', 'isolated', 'overlayfs'], 'copy', () => {
  const suite = withDaemon({ config: { network: { release_delay: 0 } } });
  /** Of the host, new for each test. */
  let host: string;
  let counter = 0;
  beforeEach(() => {
    host = path.join(suite.daemon.place.directory, `files-${counter++}`);
    fs.mkdirSync(host);
  });
  afterEach(() => fs.rmSync(host, { recursive: true, force: true }));

  const file = (name: string): string => path.join(host, name);
  async function out(box: ClientContainer, script: string, privileged = false): Promise<string> {
    const { exitStatus, stdout, stderr } = await box.run(script, { privileged });
    if (exitStatus !== 0) throw new Error(`script ended with ${exitStatus}: ${text(stderr)}`);
    return text(stdout);
  }
  async function withBox(body: (box: ClientContainer) => Promise<void>): Promise<void> {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await body(box as ClientContainer);
  }
  const helpers = (): number[] => copyHelpers(suite.daemon.place);

  it('copies a file in under a new name, owned by the unprivileged user, with its mode [behaviour 5 CopyIn]', () =>
    withBox(async (box) => {
      fs.writeFileSync(file('source'), 'content', { mode: 0o640 });
      await box.copyIn(file('source'), '/tmp/target');
      expect(await out(box, 'stat -c "%a %U" /tmp/target; cat /tmp/target')).toBe('640 vcap\ncontent');
    }));

  it('copies out and in again without a change: names, modes, links, a large file', () =>
    withBox(async (box) => {
      const tree = file('tree');
      fs.mkdirSync(path.join(tree, 'sub/empty'), { recursive: true });
      fs.writeFileSync(path.join(tree, 'sub/run'), '#!/bin/sh\n', { mode: 0o755 });
      fs.writeFileSync(path.join(tree, 'large'), Buffer.alloc(5_000_000, 'abcdefg'));
      fs.writeFileSync(path.join(tree, 'odd\n name*'), 'odd');
      fs.symlinkSync('/etc/passwd', path.join(tree, 'absolute'));
      fs.symlinkSync('no/where', path.join(tree, 'dangling'));
      fs.chmodSync(path.join(tree, 'sub'), 0o711);
      await box.copyIn(tree, '/tmp');
      await box.copyOut('/tmp/tree', file('back/'));
      expect(describeTree(file('back/tree'))).toEqual(describeTree(tree));
    }));

  it('a slash at the end of the source copies the contents, none the directory itself [behaviour 5 CopyIn]', () =>
    withBox(async (box) => {
      fs.mkdirSync(file('dir'));
      fs.writeFileSync(file('dir/x'), '');
      await box.copyIn(file('dir'), '/tmp/a');
      await box.copyIn(file('dir/'), '/tmp/b');
      expect(await out(box, 'cd /tmp; ls -d a/dir/x b/x')).toBe('a/dir/x\nb/x\n');
      await box.copyOut('/tmp/a/dir', file('c'));
      await box.copyOut('/tmp/a/dir/', file('d'));
      expect([fs.readdirSync(file('c')), fs.readdirSync(file('d'))]).toEqual([['dir'], ['x']]);
    }));

  it('makes only the last component of the destination [behaviour 5 CopyIn destination]', () =>
    withBox(async (box) => {
      fs.writeFileSync(file('x'), '');
      await expect(box.copyIn(file('x'), '/tmp/no/where')).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        message: expect.stringMatching(
          /^command exited with failure: open destination \/tmp\/no\/where in the container: ENOENT/,
        ),
        fields: { operation: 'copy in', object: '/tmp/no/where', errno: 'ENOENT' },
      });
      await expect(box.copyOut('/etc/passwd', file('no/where'))).rejects.toMatchObject({
        fields: { errno: 'ENOENT' },
      });
    }));

  it('links stay links, hard links become files, devices and pipes stay behind [behaviour 5 CopyOut semantics]', () =>
    withBox(async (box) => {
      await out(
        box,
        'mkdir /tmp/d; cd /tmp/d; echo x > a; ln a b; ln -s /etc/shadow link; mkfifo pipe; mknod null c 1 3; chmod 777 .',
        true,
      );
      await box.copyOut('/tmp/d/', file('d'));
      expect(fs.readdirSync(file('d')).sort()).toEqual(['a', 'b', 'link']);
      expect(fs.statSync(file('d/a')).ino).not.toBe(fs.statSync(file('d/b')).ino);
      expect([fs.statSync(file('d/b')).nlink, fs.readlinkSync(file('d/link'))]).toEqual([1, '/etc/shadow']);
    }));

  it('set-user-id and set-group-id bits do not leave the container [SECURITY F09]', () =>
    withBox(async (box) => {
      await out(
        box,
        'mkdir /tmp/s; cd /tmp/s; echo > u; echo > g; chmod 4755 u; chmod 2755 g; chmod 2777 .',
        true,
      );
      await box.copyOut('/tmp/s', host);
      expect(['s', 's/u', 's/g'].map((name) => fs.statSync(file(name)).mode & 0o7777)).toEqual([
        0o777, 0o755, 0o755,
      ]);
    }));

  it('copy_in keeps permissions as they are, set-id and sticky bits among them [behaviour 5 CopyIn]', () =>
    withBox(async (box) => {
      fs.mkdirSync(file('bits'));
      for (const name of ['u', 'g']) fs.writeFileSync(file(`bits/${name}`), '');
      for (const [name, mode] of [
        ['u', 0o4755],
        ['g', 0o2711],
        ['.', 0o3777],
      ] as const)
        fs.chmodSync(file(`bits/${name}`), mode);
      await box.copyIn(file('bits'), '/tmp');
      expect(await out(box, 'cd /tmp/bits; stat -c %a . u g')).toBe('3777\n4755\n2711\n');
    }));

  it('what is copied out belongs to the daemon, or to owner, and nothing else changes hands [behaviour 5 CopyOut]', () =>
    withBox(async (box) => {
      await out(box, 'mkdir /tmp/o; echo > /tmp/o/file; ln -s file /tmp/o/link');
      fs.mkdirSync(file('to/o'), { recursive: true });
      fs.writeFileSync(file('to/mine'), '');
      fs.writeFileSync(file('to/o/mine'), '');
      await box.copyOut('/tmp/o', file('to'));
      const owners = (): string[] =>
        ['to', 'to/mine', 'to/o/mine', 'to/o', 'to/o/file', 'to/o/link'].map((name) => {
          const { uid, gid } = fs.lstatSync(file(name));
          return `${uid}:${gid}`;
        });
      expect(owners()).toEqual(Array(6).fill('0:0'));
      await box.copyOut('/tmp/o', file('to'), '4242:4343');
      expect(owners()).toEqual(['0:0', '0:0', '0:0', '4242:4343', '4242:4343', '4242:4343']);
      await box.copyOut('/tmp/o', file('to'), '5151'); // as the DEA: its numeric uid
      expect(owners().slice(3)).toEqual(['5151:4343', '5151:0', '5151:0']);
      await box.copyOut('/tmp/o', file('to'), ':17');
      expect(owners().slice(3)).toEqual(['5151:17', '0:17', '0:17']);
    }));

  it.each(['no-such-user', 'root;id', '-1', '4294967295', '99999999999', 'a:b:c', 'root:no-such-group'])(
    'an owner %j is refused before anything is copied [SECURITY F22]',
    (owner) =>
      withBox(async (box) => {
        await expect(box.copyOut('/etc/passwd', file('x'), owner)).rejects.toMatchObject({
          code: 'INVALID_SPEC',
          message: expect.stringMatching(/^command exited with failure: find owner /),
          fields: { object: owner },
        });
        expect(fs.readdirSync(host)).toEqual([]);
      }),
  );

  it('failures name what failed and the rest is copied [behaviour 5 CopyOut failure]', () =>
    withBox(async (box) => {
      await out(
        box,
        'mkdir -p /tmp/f; cd /tmp/f; for i in 1 2 3; do echo $i > $i; done; chmod 0 2; chown root:root 2; chmod 755 .; ln -s /tmp/f ~vcap/f',
        true,
      );
      await expect(box.copyOut('/tmp/f', host)).rejects.toMatchObject({
        code: 'FORBIDDEN',
        message: 'command exited with failure: open /tmp/f/2 in the container: EACCES',
        fields: { operation: 'copy out', object: '/tmp/f/2', errno: 'EACCES', failures: 1 },
      });
      expect(fs.readdirSync(file('f')).sort()).toEqual(['1', '3']);
      // named by itself, it is in no directory that was walked
      for (const source of ['/tmp/f/2', 'f/2'])
        await expect(box.copyOut(source, file('one'))).rejects.toMatchObject({
          code: 'FORBIDDEN',
          message: `command exited with failure: open ${source} in the container: EACCES`,
          fields: { object: source },
        });
      await expect(box.copyOut('/tmp/missing', host)).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        fields: { errno: 'ENOENT' },
      });
      await expect(box.copyIn(file('missing'), '/tmp')).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        fields: { errno: 'ENOENT' },
      });
      fs.writeFileSync(file('x'), '');
      await expect(box.copyIn(file('x'), '/etc/x')).rejects.toMatchObject({
        code: 'FORBIDDEN',
        message: 'command exited with failure: create file /etc/x in the container: EACCES',
        fields: { object: '/etc/x', errno: 'EACCES' },
      });
    }));

  it('a relative path of the host is refused: it would begin where the daemon runs', () =>
    withBox(async (box) => {
      for (const copying of [box.copyIn('relative', '/tmp'), box.copyOut('/etc/passwd', './relative')])
        await expect(copying).rejects.toMatchObject({
          code: 'INVALID_SPEC',
          message: expect.stringMatching(
            /^command exited with failure: the host path must be absolute: (\.\/)?relative$/,
          ),
          fields: {
            operation: expect.stringMatching(/^copy (in|out)$/),
            object: expect.stringContaining('relative'),
            advice: expect.stringContaining('write it from / on'),
          },
        });
      expect(fs.existsSync('relative')).toBe(false);
    }));

  it.each(['', 'a\0b'])('a path %j is refused', (bad) =>
    withBox(async (box) => {
      const refused = {
        code: 'INVALID_SPEC',
        message: expect.stringMatching(/^command exited with failure: /),
      };
      await Promise.all(
        [
          box.copyIn(bad, '/tmp'),
          box.copyIn(host, bad),
          box.copyOut(bad, host),
          box.copyOut('/tmp', bad),
        ].map((attempt) => expect(attempt).rejects.toMatchObject(refused)),
      );
    }),
  );

  it.each(['/proc/self/root/etc/passwd', '/proc/1/root/etc/passwd', '/dev/fd/3', '/dev/stdin'])(
    'a magic link leads nowhere: %s [SECURITY F03]',
    (source) =>
      withBox(async (box) => {
        await box.copyOut(source, file('x')).catch(() => {});
        expect(fs.lstatSync(file('x'), { throwIfNoEntry: false })?.isFile() ?? false).toBe(false);
      }),
  );

  it('.. and absolute links stay inside the container [SECURITY F03]', () =>
    withBox(async (box) => {
      fs.writeFileSync(file('sentinel'), 'of the host');
      await out(box, `ln -s ${host} /tmp/host; ln -s / /tmp/root`);
      await expect(box.copyOut('/tmp/host/sentinel', file('x'))).rejects.toMatchObject({
        fields: { errno: 'ENOENT' },
      });
      await expect(box.copyOut(`/../../../..${host}/sentinel`, file('x'))).rejects.toMatchObject({
        fields: { errno: 'ENOENT' },
      });
      await box.copyOut('/tmp/root/etc/passwd', file('passwd'));
      expect(fs.readFileSync(file('passwd'), 'utf8')).toBe(await out(box, 'cat /etc/passwd'));
    }));

  it('is admitted in its states only; a stopped container still gives its files out [behaviour 4]', () =>
    withBox(async (box) => {
      await out(box, 'echo kept > ~/file');
      await box.stop();
      await box.copyOut('/home/vcap/file', file('x'));
      expect(fs.readFileSync(file('x'), 'utf8')).toBe('kept\n');
      await expect(box.copyIn(file('x'), '/tmp')).rejects.toMatchObject({
        code: 'BAD_STATE',
        message: "Container state must be one of 'active', current state is 'stopped'",
      });
    }));

  it('refuses to write into the depot [SECURITY F21]', () =>
    withBox(async (box) => {
      const { depot } = suite.daemon.place;
      fs.symlinkSync(depot, file('link'));
      for (const target of [`${depot}/x`, `${depot}/`, file('link/x')])
        await expect(box.copyOut('/etc/passwd', target)).rejects.toMatchObject({
          code: 'INVALID_SPEC',
          fields: { errno: 'EPERM' },
        });
      expect(fs.readdirSync(depot)).not.toContain('x');
    }));

  it('several copies of one container run at once [behaviour 5 CopyIn concurrency]', () =>
    withBox(async (box) => {
      fs.writeFileSync(file('big'), Buffer.alloc(3_000_000, 'x'));
      await Promise.all(Array.from({ length: 12 }, (_, at) => box.copyIn(file('big'), `/tmp/in-${at}`)));
      await Promise.all(
        Array.from({ length: 12 }, (_, at) => box.copyOut(`/tmp/in-${at}`, file(`out-${at}`))),
      );
      for (let at = 0; at < 12; at++) expect(fs.statSync(file(`out-${at}`)).size).toBe(3_000_000);
      expect(helpers()).toEqual([]);
    }));

  it('a destroy ends a copy and leaves no process, no temporary file [SECURITY F17]', async () => {
    const warden = await suite.daemon.connect();
    const box = await warden.create();
    await box.run(
      'mkfifo /tmp/p; mkdir /tmp/d; for i in $(seq 1 2000); do echo $i > /tmp/d/$i; done; truncate -s 3G /tmp/d/z; dd if=/dev/zero of=/tmp/d/zz bs=1M count=200 2>/dev/null',
    );
    const copies = Array.from({ length: 4 }, (_, at) => box.copyOut('/tmp/d', file(`to-${at}/`)));
    const settled = Promise.allSettled(copies);
    await box.destroy();
    for (const result of await settled)
      if (result.status === 'rejected')
        expect(result.reason).toMatchObject({
          code: expect.stringMatching(/^(COMMAND_FAILED|ABORTED|UNKNOWN_HANDLE)$/),
        });
    expect(helpers()).toEqual([]);
    expect(
      fs.readdirSync(host, { recursive: true }).filter((name) => String(name).includes('.warden-copy.')),
    ).toEqual([]);
  });
});

/** Names, types, modes and contents. */
function describeTree(root: string): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const name of ['', ...fs.readdirSync(root, { recursive: true }).map(String)]) {
    const at = path.join(root, name);
    const { mode } = fs.lstatSync(at);
    const kind = fs.lstatSync(at);
    const content = kind.isSymbolicLink()
      ? fs.readlinkSync(at)
      : kind.isFile()
        ? String(fs.readFileSync(at).length)
        : '';
    tree[name] = `${mode.toString(8)} ${content}`;
  }
  return tree;
}
