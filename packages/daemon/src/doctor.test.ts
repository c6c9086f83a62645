import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Warden, WardenHost } from '@warden/interface';
import { wardenServer } from '@warden/server';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkConfiguration } from './config.ts';
import { INSECURE } from './config-schema.ts';
import { diagnose } from './doctor.ts';
import type { Finding } from './survey.ts';

let directory: string;
let socket: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-doctor-'));
  socket = path.join(directory, 'warden.sock');
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

/** Where a socket lies that nobody listens on any more. */
async function boundSocket(): Promise<string> {
  const place = `${socket}.bound`;
  const server = net.createServer().listen(place);
  await once(server, 'listening');
  fs.renameSync(place, `${place}.kept`); // a server that is closed removes its path
  server.close();
  await once(server, 'close');
  return `${place}.kept`;
}

const findingOfSocket = async (
  environment: Record<string, string> = {},
  hasRights = true,
): Promise<Finding | undefined> => {
  const server = { container_klass: INSECURE, unix_domain_path: socket, container_depot_path: directory };
  const { configuration } = await diagnose(checkConfiguration({ server }), environment, hasRights);
  return configuration.find(({ subject }) => subject === `socket ${socket}`);
};

describe('the doctor, of the socket [operations health]', () => {
  it('tells a daemon that answers', async () => {
    const session = { ping: async () => {}, close: async () => {} } as unknown as Warden;
    const host: WardenHost = { openSession: () => session };
    const server = wardenServer({ host, path: socket });
    await server.listen();
    try {
      expect(await findingOfSocket()).toMatchObject({ ok: true, found: 'a daemon listens and answers' });
    } finally {
      await server.close();
    }
  });

  it('tells somebody who listens and does not answer, as a service manager whose daemon has not begun', async () => {
    const server = net.createServer().listen(socket);
    await once(server, 'listening');
    try {
      const finding = await findingOfSocket();
      expect(finding).toMatchObject({ ok: false, found: expect.stringContaining('answers no ping') });
      expect(finding?.advice).toContain('containers go on');
    } finally {
      server.close();
    }
  });

  it('tells what a daemon has left', async () => {
    fs.renameSync(await boundSocket(), socket);
    expect(await findingOfSocket()).toMatchObject({ ok: true, found: 'left by a daemon that has ended' });
  });

  it('does not take a daemon for dead that it may not connect to, as for users who are not in its group', async () => {
    fs.renameSync(await boundSocket(), socket);
    vi.spyOn(net, 'connect').mockImplementation(() => {
      const connection = new net.Socket();
      const error = Object.assign(new Error(`connect EACCES ${socket}`), { code: 'EACCES' });
      setImmediate(() => connection.emit('error', error));
      return connection;
    });
    try {
      expect(await findingOfSocket({}, false)).toEqual({
        subject: `socket ${socket}`,
        ok: false,
        found: `not looked at: connect EACCES ${socket}`,
        advice: 'run wardend doctor as root to look',
      });
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('tells whose setting it looks by, where clients are told another place', async () => {
    expect(await findingOfSocket({ WARDEN_SOCKET: '/run/other.sock' })).toMatchObject({
      ok: true,
      found:
        'free (looked at by server.unix_domain_path; WARDEN_SOCKET is for clients, --socket /run/other.sock looks there)',
    });
    for (const same of [socket, path.relative('.', socket), ''])
      expect(await findingOfSocket({ WARDEN_SOCKET: same })).toMatchObject({ found: 'free' });
  });
});

describe('the doctor, of a depot that it cannot look into', () => {
  it('says that it may not write there', async () => {
    vi.spyOn(fs, 'accessSync').mockImplementation(() => {
      throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    });
    try {
      expect(await findings(directory, false)).toContainEqual({
        subject: `depot ${directory}`,
        ok: false,
        found: 'there, and not to be written to',
        advice: 'root may write there as a rule: run wardend doctor as root to look',
        isNeeded: true,
      });
    } finally {
      vi.restoreAllMocks();
    }
  });

  const findings = async (depot: string, hasRights: boolean): Promise<readonly Finding[]> => {
    const server = { container_klass: INSECURE, unix_domain_path: socket, container_depot_path: depot };
    return (await diagnose(checkConfiguration({ server }), {}, hasRights)).configuration;
  };

  it('goes on, as for users who are not root', async () => {
    vi.spyOn(fs, 'readdirSync').mockImplementation(() => {
      throw Object.assign(new Error("EACCES: permission denied, scandir '/depot'"), { code: 'EACCES' });
    });
    try {
      expect(await findings(directory, false)).toContainEqual({
        subject: `containers set aside in ${directory}`,
        ok: false,
        found: "not looked at: EACCES: permission denied, scandir '/depot'",
        advice: 'run wardend doctor as root to look',
      });
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('goes on when it is no directory', async () => {
    const file = path.join(directory, 'file');
    fs.writeFileSync(file, '');
    expect(await findings(file, true)).toContainEqual({
      subject: `containers set aside in ${file}`,
      ok: false,
      found: expect.stringContaining('not looked at: ENOTDIR'),
      advice: 'set server.container_depot_path to a directory that can be read',
    });
  });
});
