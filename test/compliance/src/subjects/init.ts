/** The init driver `wshd` on this host. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { InitSubject, JobKind } from '@warden/driver-compliance';
import { type Confinement, type InitSpec, silentLogger, UNCONFINED } from '@warden/interface';
import { ownMounts } from '@warden/test-harness';
import { type WshdOptions, wshd } from '@warden/wshd';
import { makeSmallRoot } from './small-root.ts';

/** One container on a small root. */
export async function initSubject(
  options: WshdOptions = {},
  confinement: Confinement = UNCONFINED,
): Promise<InitSubject> {
  const id = ownId();
  const directory = fs.mkdtempSync('/tmp/warden-kit-');
  const depot = path.join(directory, 'depot');
  fs.mkdirSync(depot);
  const root = path.join(directory, 'root');
  await makeSmallRoot(root);
  return {
    driver: wshd(options)({ logger: silentLogger }),
    restart: () => wshd(options)({ logger: silentLogger }),
    depot,
    spec: (broken = false): InitSpec => ({
      id,
      directory: path.join(depot, id),
      hostname: 'box',
      config: [['id', id]],
      hookEnvironment: { id },
      mounts: [
        {
          type: 'none',
          source: broken ? path.join(directory, 'missing') : root,
          target: '/',
          options: ['bind', 'rw'],
        },
      ],
      bindMounts: [],
      network: undefined,
      cgroupJoinFiles: [],
      user: { name: 'vcap', uid: 10_000, gid: 10_000, home: '/home/vcap', shell: '/bin/bash' },
      hosts: '127.0.0.1 localhost\n',
      resolvConf: '',
      confinement,
      nice: 0,
    }),
    job: (jobId, kind) => ({
      id: jobId,
      argv: ['/bin/bash', '-c', script(kind)],
      user: 'vcap',
      stdin: kind.does === 'copy' ? kind.input : new Uint8Array(),
      environment: {},
      rlimits: [],
      discardOutput: false,
      trackTree: false,
    }),
    inventory: async () => [...processes(directory, id), ...ownMounts({ directory })],
    close: async () => fs.rmSync(directory, { recursive: true, force: true }),
  };
}

/**
 * No other's: whoever runs the same suite on this host at the same time has processes with titles of this
 * kind, too.
 */
function ownId(): string {
  return Array.from(randomBytes(11), (byte) => (byte % 32).toString(32)).join('');
}

function script(kind: JobKind): string {
  switch (kind.does) {
    case 'print':
      return `printf %s '${kind.stdout}'; printf %s '${kind.stderr}' >&2; exit ${kind.status}`;
    case 'copy':
      return 'exec cat';
    case 'wait':
      return 'exec sleep 600';
    case 'print-later':
      return `sleep ${kind.afterMs / 1_000}; printf %s '${kind.text}'`;
  }
}

/** Processes whose title or command line names the container or the directory. */
function processes(directory: string, id: string): string[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .map((pid) => {
      try {
        return `${pid} ${fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`;
      } catch {
        return ''; // it ended meanwhile
      }
    })
    .filter((line) => line.includes(`wshd: ${id}`) || line.includes(directory));
}
