/** The kit for init drivers against the one without isolation. */
import fs from 'node:fs';
import path from 'node:path';
import { type InitSubject, initCompliance, type JobKind } from '@warden/driver-compliance';
import { type InitSpec, silentLogger, UNCONFINED } from '@warden/interface';
import { describeWith } from '@warden/test-harness';
import { insecureInit } from '@warden/wshd';
import { describe, it } from 'vitest';

describeWith(['isolated'], 'init without isolation', () => {
  initCompliance({ describe, it }, 'insecure', subject);
});

const ID = '0123456789b';

async function subject(): Promise<InitSubject> {
  const directory = fs.mkdtempSync('/tmp/warden-kit-');
  const depot = path.join(directory, 'depot');
  fs.mkdirSync(depot);
  return {
    driver: insecureInit()({ logger: silentLogger }),
    restart: () => insecureInit()({ logger: silentLogger }),
    depot,
    spec: (broken = false): InitSpec => {
      const own = path.join(depot, ID);
      if (broken) {
        fs.mkdirSync(own);
        fs.writeFileSync(path.join(own, 'root'), 'not a directory');
      }
      return {
        id: ID,
        directory: own,
        hostname: 'box',
        config: [],
        hookEnvironment: {},
        mounts: [],
        bindMounts: [],
        network: undefined,
        cgroupJoinFiles: [],
        user: { name: 'vcap', uid: 10_000, gid: 10_000, home: '/home/vcap', shell: '/bin/bash' },
        hosts: '',
        resolvConf: '',
        nice: 0,
        confinement: UNCONFINED,
      };
    },
    job: (id, kind) => ({
      id,
      argv: ['/bin/bash', '-c', script(kind)],
      user: 'vcap',
      stdin: kind.does === 'copy' ? kind.input : new Uint8Array(),
      environment: {},
      rlimits: [],
      discardOutput: false,
      trackTree: false,
    }),
    inventory: async () => processes(directory),
    close: async () => fs.rmSync(directory, { recursive: true, force: true }),
  };
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

/** Processes that run a program from below `directory`, or work there. */
function processes(directory: string): string[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .filter((pid) => ['exe', 'cwd'].some((link) => target(`/proc/${pid}/${link}`).startsWith(directory)));
}

function target(link: string): string {
  try {
    return fs.readlinkSync(link);
  } catch {
    return ''; // it ended meanwhile
  }
}
