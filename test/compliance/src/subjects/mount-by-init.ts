/** The mounts of a file-system driver, performed by a container's init with all of its confinement. */
import fs from 'node:fs';
import path from 'node:path';
import { type ByteSource, type InitSpec, silentLogger } from '@warden/interface';
import { wshd } from '@warden/wshd';
import { CONFINED } from './confined.ts';
import type { MountRoot } from './filesystem.ts';

const ID = 'ccccccccccc';

/** See the file's head. Scripts are run by a job as root inside. */
export const mountByInit: MountRoot = async (mounts, root) => {
  const depot = `${root}-depot`;
  fs.mkdirSync(depot, { recursive: true });
  const driver = wshd()({ logger: silentLogger });
  await driver.setup(depot);
  const spec: InitSpec = {
    id: ID,
    directory: path.join(depot, ID),
    hostname: 'box',
    config: [],
    hookEnvironment: {},
    mounts,
    bindMounts: [],
    network: undefined,
    cgroupJoinFiles: [],
    user: { name: 'vcap', uid: 10_000, gid: 10_000, home: '/home/vcap', shell: '/bin/sh' },
    hosts: '',
    resolvConf: '',
    confinement: CONFINED,
    nice: 0,
  };
  await driver.prepare(spec);
  const init = await (await driver.launch(spec)).proceed();
  let jobs = 0;
  return {
    run: async (script) => {
      const job = await init.spawn({
        id: ++jobs,
        argv: ['/bin/sh', '-c', script],
        user: 'root',
        stdin: new Uint8Array(),
        environment: {},
        rlimits: [],
        discardOutput: false,
        trackTree: false,
      });
      const [stdout, , status] = await Promise.all([read(job.stdout), read(job.stderr), job.exited]);
      return { status: status.exitCode ?? 255, stdout };
    },
    close: async () => {
      await init.kill();
      await init.closed;
      fs.rmSync(depot, { recursive: true });
    },
  };
};

function read(source: ByteSource): Promise<string> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    source.start(
      (chunk) => chunks.push(chunk),
      () => resolve(Buffer.concat(chunks).toString()),
    );
  });
}
