/** `warden run`: a program in a new container. The original's `run` is another one, see `isOriginalRun`. */

import path from 'node:path';
import type { ClientContainer, ClientJob } from '@warden/client';
import { type CreateSpec, isWardenError, type NetOutSpec, WardenError } from '@warden/interface';
import { CommandError } from '../command-error.ts';
import { parseEgress } from '../human/egress-text.ts';
import { shown } from '../human/shown.ts';
import { parseDuration, parsePairs, parseSize, parseWhole } from '../human/units.ts';
import { tell, writeOne } from '../human/write-answer.ts';
import { Interruption } from '../jobs/signals.ts';
import { followJob, JOB_FLAGS, OUTPUT_LIMIT_HELP, planJob, startJob } from '../jobs/start-job.ts';
import { emptyHandle, type Given } from './given.ts';
import { type Published, parsePublished } from './published.ts';
import type { Word, WordContext } from './word.ts';

/** See the file's head. */
export const run: Word = {
  name: 'run',
  summary: 'Run a program in a new container, with its input and output here, and exit with its status.',
  details: [
    "With --rm the container is gone when the program has ended, or this program has, however it ends. Without it the container stays, and its name is told; once nobody is connected to it, it is destroyed after its grace time (--grace-time, by default the daemon's).",
    'Signals, -t and exit statuses are as with exec.',
    OUTPUT_LIMIT_HELP,
    'The command of the original with the same name runs a script in a container that is there: it has --handle and --script, or stands behind --, as in: warden -- run --handle H --script S (warden -- run --help).',
  ],
  operands: [],
  command: 'optional',
  flags: [
    { name: 'rm', text: 'Destroy the container at the end.' },
    { name: 'image', value: 'IMAGE', kind: 'image', text: 'Stand on this image (see image ls).' },
    { name: 'rootfs', value: 'DIR', kind: 'file', text: "Stand on this directory of the daemon's host." },
    { name: 'name', value: 'HANDLE', text: 'Handle of the container; by default one is made up.' },
    ...JOB_FLAGS,
    { name: 'detach', short: 'd', text: "Write the container's handle and the job's id, and leave them." },
    {
      name: 'bind',
      short: 'v',
      value: 'SOURCE:TARGET[:ro|rw]',
      isMany: true,
      text: "Show a directory or file of the daemon's host inside; read-only unless :rw says otherwise.",
    },
    {
      name: 'publish',
      short: 'p',
      value: '[HOST:]PORT',
      isMany: true,
      text: 'Forward a port of the host to one of the container.',
    },
    {
      name: 'allow',
      value: 'RULE',
      isMany: true,
      text: 'Let it reach this, as 192.0.2.0/24:443 or registry.example.org:443 (see egress).',
    },
    {
      name: 'label',
      short: 'l',
      value: 'NAME=VALUE',
      isMany: true,
      text: 'A label, to find it by (ps --label).',
    },
    { name: 'memory', short: 'm', value: 'SIZE', text: 'Limit of memory, as 64m or 1g.' },
    {
      name: 'disk',
      value: 'SIZE',
      text: 'Limit of what it writes to its disk. Refused where the daemon has disk limits off (warden doctor).',
    },
    { name: 'cpu-shares', value: 'SHARES', text: 'Weight of its share of the processors.' },
    { name: 'grace-time', value: 'TIME', text: 'How long it lives when nobody is connected to it.' },
  ],
  examples: [
    ['warden run --rm -- id', "in a container of the daemon's own root file system"],
    ['warden run --rm --image busybox -it -- sh', 'a shell on an image'],
    ['warden run --rm --memory 64m --timeout 30s -v "$PWD:/work" -w /work -- python3 job.py', 'with limits'],
    ['warden run --rm --allow registry.example.org:443 -- ./fetch', 'that, and nothing else, can be reached'],
    ['warden run --name web -p 8080:80 -d --grace-time 24h -- ./serve', 'in the background'],
  ],
  async run(given, context) {
    const plan = planJob(given, context);
    const wishes = wishesOf(given);
    const client = await context.connect();
    using interruption = new Interruption(context.terminal);
    const box = await client.create(wishes.spec);
    const isTemporary = given.has('rm');
    let job: ClientJob | undefined;
    try {
      await prepare(box, wishes, context);
      if (interruption.exitCode === undefined) job = await startJob(box, plan);
    } finally {
      // nobody asked for a container without its program; what went wrong is the error, not this
      if (job === undefined) await remove(box).catch(() => undefined);
    }
    if (job === undefined) return interruption.exitCode!;
    if (given.has('detach')) {
      await writeOne(context, { handle: box.handle, jobId: job.id }, () => [
        `${shown(box.handle)} ${job.id}`,
      ]);
      return 0;
    }
    if (!isTemporary) {
      const status = await followJob(job, plan, context, interruption);
      await tell(
        context,
        `container ${shown(box.handle)} is kept: warden destroy --handle ${shown(box.handle)}`,
      );
      return status;
    }
    try {
      // what is left goes with the container, so there is no leaving
      return await followJob(job, { ...plan, detachKeys: new Uint8Array() }, context, interruption);
    } finally {
      await remove(box);
    }
  },
};

interface Wishes {
  readonly spec: CreateSpec;
  readonly ports: readonly Published[];
  readonly egress: readonly NetOutSpec[];
  readonly memory?: bigint;
  readonly diskBytes?: bigint;
  readonly shares?: bigint;
}

function wishesOf(given: Given): Wishes {
  if (given.has('rm') && given.has('detach'))
    throw new CommandError('run: --rm and --detach exclude each other: what is left goes with this program');
  if (given.has('rm') && given.has('grace-time'))
    throw new CommandError('run: --rm and --grace-time exclude each other');
  if (given.has('image') && given.has('rootfs'))
    throw new CommandError('run: --image and --rootfs exclude each other');
  if (given.has('rm') && (given.value('detach-keys') ?? 'none') !== 'none')
    throw new CommandError('run: with --rm there is nothing to come back to: --detach-keys can only be none');
  const [memory, disk, shares] = ['memory', 'disk', 'cpu-shares'].map((name) => given.value(name));
  const graceText = given.value('grace-time');
  const grace = graceText === undefined ? undefined : graceTime(graceText);
  if (given.has('detach') && grace === 0)
    throw new CommandError(
      'run: --detach and --grace-time 0 exclude each other: the container goes with this program',
    );
  if (given.value('name') === '') throw new CommandError(`run: ${emptyHandle('--name')}`);
  const properties = parsePairs(given.values('label'), '--label');
  const [handle, image, rootfs] = [given.value('name'), given.value('image'), given.value('rootfs')];
  return {
    spec: {
      ...(handle !== undefined && { handle }),
      ...(image !== undefined && { image }),
      ...(rootfs !== undefined && { rootfs: path.resolve(rootfs) }),
      ...(given.has('bind') && { bindMounts: given.values('bind').map(bindMount) }),
      ...(given.has('label') && { properties }),
      // 0: also when this program is killed, the daemon takes the container away
      ...(given.has('rm') ? { graceTime: 0 } : grace !== undefined && { graceTime: grace }),
    },
    ports: given.values('publish').map((text) => parsePublished(text, '--publish')),
    egress: given.values('allow').map((text) => parseEgress(text)),
    ...(memory !== undefined && { memory: sizeLimit(memory, '--memory') }),
    ...(disk !== undefined && { diskBytes: sizeLimit(disk, '--disk') }),
    ...(shares !== undefined && { shares: BigInt(parseWhole(shares, '--cpu-shares', [2, 262_144])) }),
  };
}

/** To the daemon, 0 is no limit of the disk: nobody who asks for a limit means that. */
function sizeLimit(text: string, flag: string): bigint {
  const size = parseSize(text, flag);
  if (size < 1n)
    throw new CommandError(`run: ${flag}: '${text}' is no limit; leave ${flag} out for none of its own`);
  return size;
}

function graceTime(text: string): number {
  return text === '0' ? 0 : Math.ceil(parseDuration(text, '--grace-time') / 1000);
}

function bindMount(text: string): NonNullable<CreateSpec['bindMounts']>[number] {
  const match = /^([^:]+):([^:]+)(?::(ro|rw))?$/.exec(text);
  if (match === null) throw new CommandError(`--bind: '${text}' is not of the form SOURCE:TARGET[:ro|rw]`);
  const [, source, target, mode = 'ro'] = match;
  return { source: path.resolve(source!), target: target!, mode: mode as 'ro' | 'rw' };
}

async function prepare(box: ClientContainer, wishes: Wishes, context: WordContext): Promise<void> {
  const { spec, memory, diskBytes, shares, ports, egress } = wishes;
  if (spec.bindMounts !== undefined) await requireOwnFiles(box, '--bind');
  if (spec.rootfs !== undefined) await requireOwnFiles(box, '--rootfs');
  if (memory !== undefined) await box.limitMemory(memory);
  if (diskBytes !== undefined) await limitDisk(box, diskBytes);
  if (shares !== undefined) await box.limitCpu(shares);
  for (const rule of egress) await box.netOut(rule);
  for (const wanted of ports) {
    const { hostPort, containerPort } = await box.netIn(wanted);
    if (wanted.hostPort === undefined)
      await tell(context, `port ${hostPort} of the host leads to ${containerPort}`);
  }
}

/**
 * The insecure backend passes over bind mounts and root file systems, as the original does: its jobs are
 * processes of the host. Error: `UNSUPPORTED`.
 */
async function requireOwnFiles(box: ClientContainer, flag: string): Promise<void> {
  const { unsafe = [] } = await box.info();
  if (!unsafe.includes('no-isolation')) return;
  throw new WardenError('UNSUPPORTED', `run: ${flag}: containers of this daemon have no files of their own`, {
    fields: {
      operation: 'run',
      object: flag,
      advice: `run it without ${flag}, or set server.container_klass: Warden::Container::Linux in the configuration of the daemon`,
    },
  });
}

/**
 * The original's daemon says nothing where it limits nothing; whoever runs foreign code by a limit has to
 * know. Error: `UNSUPPORTED`.
 */
async function limitDisk(box: ClientContainer, bytes: bigint): Promise<void> {
  const inForce = await box.limitDisk({ blockHard: (bytes + 1023n) / 1024n });
  if (inForce !== undefined) return;
  throw new WardenError('UNSUPPORTED', 'run: --disk: disk limits are off in this daemon', {
    fields: {
      operation: 'limit disk',
      object: '--disk',
      advice:
        'run it without --disk, or set server.quota.disk_quota_enabled: true in the configuration of the daemon; warden doctor tells which quota driver works on its host',
    },
  });
}

/** One that is gone already is fine: the daemon or the container's own end was faster. */
async function remove(box: ClientContainer): Promise<void> {
  try {
    await box.destroy();
  } catch (error) {
    if (!isWardenError(error, 'UNKNOWN_HANDLE') && !isWardenError(error, 'UNAVAILABLE')) throw error;
  }
}
