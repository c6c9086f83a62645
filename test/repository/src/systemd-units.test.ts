/** The units that are shipped, as systemd itself reads them. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeWith } from '@warden/test-harness';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const REPOSITORY = path.resolve(import.meta.dirname, '../../..');
const UNITS = path.join(REPOSITORY, 'packages/daemon/systemd');
const NAMES = ['warden.service', 'warden.socket'];

const valuesOf = (name: string): ReadonlyMap<string, string> =>
  new Map(
    fs
      .readFileSync(path.join(UNITS, name), 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
        return key === undefined ? [] : [[key, value!] as const];
      }),
  );

describe('the systemd units', () => {
  it('leave containers alone when the service ends, and start it again [operations systemd]', () => {
    const service = valuesOf('warden.service');
    expect(Object.fromEntries(service)).toMatchObject({
      Type: 'notify',
      NotifyAccess: 'main',
      KillMode: 'process',
      Delegate: 'yes',
      OOMPolicy: 'continue',
      Restart: 'on-failure',
      // a socket whose service may not be started any more is closed
      StartLimitIntervalSec: '0',
    });
    // each of them gives a service mounts of its own, which end with it
    const ownMounts = /^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|Bind|Temporary|RootDirectory|Mount)/;
    expect([...service.keys()].filter((key) => ownMounts.test(key))).toEqual([]);
  });

  it('open the socket for the group only [operations socket activation]', () => {
    expect(Object.fromEntries(valuesOf('warden.socket'))).toMatchObject({
      ListenStream: '/run/warden/warden.sock',
      SocketMode: '0660',
      SocketGroup: 'warden',
    });
  });
});

describe('the script that the Debian package runs at its end', () => {
  const STARTS = ['deb-systemd-invoke start warden.socket', 'deb-systemd-invoke restart warden.service'];

  it.each([
    ['configure', STARTS],
    ['abort-upgrade', STARTS],
    ['abort-remove', STARTS],
    ['abort-deconfigure', STARTS],
    ['triggered', []],
  ])('called with %s starts what is to run', (why, starts) => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-postinst-'));
    try {
      const names = ['getent', 'addgroup', 'deb-systemd-helper', 'deb-systemd-invoke', 'systemctl'];
      for (const name of names) {
        const program = `#!/bin/sh\necho "${name} $*" >> ${directory}/calls\n`;
        fs.writeFileSync(path.join(directory, name), program, { mode: 0o755 });
      }
      fs.writeFileSync(path.join(directory, 'calls'), '');
      const script = fs.readFileSync(path.join(REPOSITORY, 'scripts/deb/files/postinst'), 'utf8');
      // as if systemd ran here
      const here = script.replace('/run/systemd/system', directory);
      expect(here).not.toBe(script);
      const { status, stderr } = spawnSync('/bin/sh', ['-c', here, 'postinst', why, '1.0'], {
        encoding: 'utf8',
        env: { PATH: directory },
      });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      const calls = fs.readFileSync(path.join(directory, 'calls'), 'utf8').split('\n');
      expect(calls.filter((call) => call.startsWith('deb-systemd-invoke'))).toEqual(starts);
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  });
});

describeWith(['systemd-analyze'], 'systemd', () => {
  let directory: string;
  beforeAll(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-units-'));
    for (const name of NAMES) {
      // the program is where this checkout has it
      const text = fs.readFileSync(path.join(UNITS, name), 'utf8');
      const program = path.join(REPOSITORY, 'packages/daemon/bin/wardend.js');
      fs.writeFileSync(path.join(directory, name), text.replace('/usr/bin/wardend', program));
    }
  });
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

  it('has nothing to say against the units [operations systemd]', () => {
    const files = NAMES.map((name) => path.join(directory, name));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...files], {
      encoding: 'utf8',
    });
    // units of the host that it meets on the way are the host's
    const ours = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('warden'));
    expect([status, ours]).toEqual([0, []]);
  });

  it('would have something to say against a unit that is wrong', () => {
    const wrong = path.join(directory, 'wrong.service');
    const text = fs.readFileSync(path.join(directory, NAMES[0]!), 'utf8');
    fs.writeFileSync(wrong, text.replace('KillMode=process', 'KillMode=containers'));
    const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', wrong], {
      encoding: 'utf8',
    });
    expect(`${stdout}${stderr}`).toMatch(/kill mode/);
  });
});
