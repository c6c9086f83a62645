import { UNCONFINED } from '@warden/interface';
import { expect, test } from 'vitest';
import { escapeField, mountLine, renderMountPlan } from './mount-plan.ts';

test('fields are escaped as getmntent(3) reads them', () => {
  expect(escapeField('/a b\tc\nd\\e\rf')).toBe('/a\\040b\\011c\\012d\\134e\\015f');
  expect(escapeField('#x#')).toBe('\\043x#');
  expect(escapeField('ü;$(x)')).toBe('ü;$(x)');
});

test('a mount is one fstab line', () => {
  const options = ['lowerdir=/base', 'upperdir=/depot/x y/tmp/rootfs'];
  expect(mountLine({ type: 'overlay', source: 'overlay', target: '/', options })).toBe(
    'overlay / overlay lowerdir=/base,upperdir=/depot/x\\040y/tmp/rootfs 0 0\n',
  );
  expect(mountLine({ type: 'tmpfs', source: 'none', target: '/t', options: [] })).toBe(
    'none /t tmpfs defaults 0 0\n',
  );
});

test('bind mounts follow the root in the order of the request and say what to create', () => {
  const plan = renderMountPlan({
    mounts: [{ type: 'none', source: '/base', target: '/', options: ['bind'] }],
    bindMounts: [
      { source: '/etc', target: '/mnt/etc', mode: 'ro' },
      { source: '/etc/passwd', target: '/p', mode: 'rw' },
    ],
    confinement: UNCONFINED,
  });
  expect(plan.split('\n')).toEqual([
    '/base / none bind 0 0',
    '/etc /mnt/etc none bind,ro,x-warden.create=dir 0 0',
    '/etc/passwd /p none bind,rw,x-warden.create=file 0 0',
    '',
  ]);
});

test('device files are dead on every mount of a confined container', () => {
  const plan = renderMountPlan({
    mounts: [
      { type: 'overlay', source: 'overlay', target: '/', options: ['lowerdir=/base'] },
      { type: 'none', source: '/base/usr', target: '/usr', options: ['bind', 'nodev', 'ro'] },
    ],
    bindMounts: [{ source: '/', target: '/host', mode: 'ro' }],
    confinement: { ...UNCONFINED, noDevices: true },
  });
  expect(plan.trimEnd().split('\n')).toEqual([
    'overlay / overlay nodev,lowerdir=/base 0 0',
    '/base/usr /usr none bind,nodev,ro 0 0',
    '/ /host none nodev,bind,ro,x-warden.create=dir 0 0',
  ]);
});

test('with a user namespace, bind mounts of the request are idmapped', () => {
  const idMap = [{ inside: 0, outside: 600_000, count: 65_536 }];
  const plan = renderMountPlan({
    mounts: [
      { type: 'overlay', source: 'overlay', target: '/', options: ['lowerdir=/base'] },
      { type: 'tmpfs', source: 'none', target: '/run', options: [] },
    ],
    bindMounts: [{ source: '/etc', target: '/e', mode: 'ro' }],
    confinement: { ...UNCONFINED, idMap },
  });
  expect(plan.split('\n')).toEqual([
    'overlay / overlay lowerdir=/base 0 0',
    'none /run tmpfs defaults 0 0',
    '/etc /e none bind,ro,x-warden.create=dir,x-warden.idmap 0 0',
    '',
  ]);
});

test('a missing bind source fails with the original text', () => {
  const bindMounts = [{ source: '/does/not/exist', target: '/x', mode: 'ro' as const }];
  expect(() => renderMountPlan({ mounts: [], bindMounts, confinement: UNCONFINED })).toThrow(
    expect.objectContaining({
      code: 'INVALID_SPEC',
      message: 'Source path for bind mount does not exist: /does/not/exist',
      fields: expect.objectContaining({ errno: 'ENOENT' }),
    }),
  );
});
