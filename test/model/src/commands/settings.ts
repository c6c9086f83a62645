/** Ports, rules, limits, copies, and what every client can ask of a daemon. */
import fs from 'node:fs';
import path from 'node:path';
import type { NetOutSpec } from '@warden/interface';
import fc from 'fast-check';
import { checkDenied, eventually, expectEnding, readable, refused, showBandwidth, within } from '../check.ts';
import { isActive, type Model, type ModelBox, pickBox, takenPorts } from '../model.ts';
import { type Step, step } from '../step.ts';
import { ALLOWED_PORT, DENIED_PORT, FIRST_PORT, type World } from '../world.ts';
import { refusalOf } from './jobs.ts';
import { number } from './lifecycle.ts';

const MIB = 1024n * 1024n;
const FULL_KIB = 8_192n;
const hasBox = (model: Readonly<Model>): boolean => model.boxes.size > 0;
const isUsable = (box: ModelBox): boolean => isActive(box) && !box.isInitDead;

const netIns = fc
  .record({
    n: number,
    hostPort: fc.constantFrom(undefined, undefined, FIRST_PORT, FIRST_PORT + 1, FIRST_PORT + 2, 8_080),
    containerPort: fc.constantFrom(undefined, 80, 8_080),
  })
  .map(({ n, hostPort, containerPort }) =>
    step({
      text: `NetIn ${n} ${hostPort}:${containerPort}`,
      when: hasBox,
      async run(model, world) {
        const box = pickBox(model, n)!;
        const asking = within(world.box(box.handle).netIn({ hostPort, containerPort }), 'net in');
        if (box.state !== 'active') return refused(asking, 'BAD_STATE');
        const owner = hostPort === undefined ? undefined : takenPorts(model).get(hostPort);
        const wanted = containerPort ?? hostPort;
        if (owner !== undefined && (owner !== box || box.ports.get(hostPort!) !== wanted))
          return refused(asking, 'ALREADY_EXISTS');
        const answer = await asking;
        if (hostPort === undefined && takenPorts(model).has(answer.hostPort))
          throw new Error(`port ${answer.hostPort} is taken and was given again`);
        const expected = { hostPort: hostPort ?? answer.hostPort, containerPort: wanted ?? answer.hostPort };
        if (answer.hostPort !== expected.hostPort || answer.containerPort !== expected.containerPort)
          throw new Error(
            `asked for ${hostPort}:${containerPort}, got ${answer.hostPort}:${answer.containerPort}`,
          );
        box.ports.set(answer.hostPort, answer.containerPort);
      },
    }),
  );

const netOuts = fc
  .record({ n: number, rule: fc.constantFrom('allow', 'range', 'icmp', 'empty', 'ports of all') })
  .map(({ n, rule }) =>
    step({
      text: `NetOut ${n} ${rule}`,
      when: hasBox,
      async run(model, world) {
        const box = pickBox(model, n)!;
        const specs: Record<string, NetOutSpec> = {
          allow: { network: world.outside, port: ALLOWED_PORT, protocol: 'udp' },
          range: { network: '198.51.100.0/24', portRange: '1:100' },
          icmp: { network: world.outside, protocol: 'icmp', icmpType: 8 },
          empty: {},
          'ports of all': { network: world.outside, port: 1, protocol: 'all' },
        };
        const asking = within(world.box(box.handle).netOut(specs[rule]!), 'net out');
        if (box.state !== 'active') return refused(asking, 'BAD_STATE');
        if (rule === 'empty' || rule === 'ports of all') return refused(asking, 'INVALID_SPEC');
        await asking;
        box.egress += 1;
        if (rule === 'allow') box.isAllowed = true;
      },
    }),
  );

/** One packet to a port that is denied to all, and one to a port that is allowed to some. */
export async function probe(world: World, box: ModelBox): Promise<void> {
  const send = (port: number): string => `printf x >/dev/udp/${world.outside}/${port}`;
  const before = world.seen(ALLOWED_PORT);
  await within(world.box(box.handle).run(`(${send(DENIED_PORT)}) 2>&-; (${send(ALLOWED_PORT)}) 2>&-`), 'run');
  if (box.isAllowed) {
    await eventually(async () => {
      if (world.seen(ALLOWED_PORT) > before) return;
      await world.box(box.handle).run(send(ALLOWED_PORT));
      throw new Error('an allowed packet does not come out');
    });
  } else if (world.seen(ALLOWED_PORT) !== before) throw new Error('a packet came out that nobody allowed');
  checkDenied(world);
}

const probes = number.map((n) =>
  step({
    text: `Probe ${n}`,
    when: (model) => pickBox(model, n, isUsable) !== undefined,
    run: (model, world) => probe(world, pickBox(model, n, isUsable)!),
  }),
);

const limits = fc
  .record({
    n: number,
    which: fc.constantFrom('memory', 'cpu', 'bandwidth', 'disk'),
    level: fc.integer({ min: 1, max: 4 }),
    isRead: fc.boolean(),
  })
  .map(({ n, which, level, isRead }) =>
    step({
      text: `Limit ${n} ${which} ${isRead ? 'read' : level}`,
      when: hasBox,
      run: (model, world) => limit(model, world, pickBox(model, n)!, { which, level, isRead }),
    }),
  );

async function limit(
  model: Model,
  world: World,
  box: ModelBox,
  { which, level, isRead }: { which: string; level: number; isRead: boolean },
): Promise<void> {
  const at = world.box(box.handle);
  const same = (what: string, found: unknown, wanted: unknown): void => {
    if (wanted !== undefined && found !== wanted) throw new Error(`${what} is ${found} instead of ${wanted}`);
  };
  if (which === 'memory') {
    const bytes = BigInt(level) * 64n * MIB;
    const answer = await within(at.limitMemory(isRead ? undefined : bytes), 'limit memory');
    if (!isRead) box.memory = bytes;
    same('memory limit', answer, box.memory);
  } else if (which === 'cpu') {
    const shares = BigInt(level) * 100n;
    const answer = await within(at.limitCpu(isRead ? undefined : shares), 'limit cpu');
    if (!isRead) box.cpu = shares;
    same('cpu shares', answer, box.cpu);
  } else if (which === 'bandwidth') {
    if (isRead) return;
    const limiting = within(at.limitBandwidth({ rate: BigInt(level) * MIB, burst: MIB }), 'limit bandwidth');
    // its link went with its init
    if (box.isInitDead) return refused(limiting, 'NATIVE_FAILED');
    await limiting;
    box.bandwidth = showBandwidth(await at.info());
  } else {
    const blockHard = BigInt(level) * FULL_KIB;
    const answer = await within(at.limitDisk(isRead ? {} : { blockHard }), 'limit disk');
    same('disk limits', answer !== undefined, model.settings.quota);
    if (!model.settings.quota) return;
    if (!isRead) box.blockHard = blockHard;
    same('disk limit', answer?.blockHard, box.blockHard);
  }
}

/** A container full to its limit: its jobs are told, and there is room again afterwards. */
const fills = number.map((n) =>
  step({
    text: `FillQuota ${n}`,
    when: (model) => model.settings.quota && pickBox(model, n, isUsable) !== undefined,
    async run(model, world) {
      const box = pickBox(model, n, isUsable)!;
      const at = world.box(box.handle);
      await within(at.limitDisk({ blockHard: FULL_KIB }), 'limit disk');
      box.blockHard = FULL_KIB;
      const full = await within(at.run('head -c 33554432 /dev/zero >/tmp/fill'), 'run');
      expectEnding(readable(full), { exitStatus: 1, reason: 'disk-limit', stdout: '' });
      for (const other of [...model.boxes.values()].filter((one) => one !== box && isUsable(one)))
        expectEnding(readable(await within(world.box(other.handle).run('exit 5'), 'run')), {
          exitStatus: 5,
          reason: 'exited',
        });
      expectEnding(readable(await within(at.run('rm /tmp/fill && echo x >/tmp/small'), 'run')), {
        exitStatus: 0,
        reason: 'exited',
      });
    },
  }),
);

const copiesIn = number.map((n) =>
  step({
    text: `CopyIn ${n}`,
    when: hasBox,
    async run(model, world) {
      const box = pickBox(model, n)!;
      const serial = model.serial++;
      const source = path.join(world.shared, `source-${serial}`);
      const content = `content ${serial}\n`;
      fs.writeFileSync(source, content);
      const target = `/tmp/copied-${serial}`;
      const copying = within(world.box(box.handle).copyIn(source, target), 'copy in');
      if (!isActive(box)) await refused(copying, refusalOf(box));
      else {
        await copying;
        box.files.set(target, content);
        const { stdoutText } = await within(world.box(box.handle).run(`cat ${target}`), 'run');
        if (stdoutText !== content) throw new Error(`copied in ${content}, found ${stdoutText}`);
      }
      fs.rmSync(source);
    },
  }),
);

const copiesOut = number.map((n) =>
  step({
    text: `CopyOut ${n}`,
    when: (model) => pickBox(model, n, ({ files }) => files.size > 0) !== undefined,
    async run(model, world) {
      const box = pickBox(model, n, ({ files }) => files.size > 0)!;
      const [from, content] = [...box.files][n % box.files.size]!;
      const target = path.join(world.shared, `out-${model.serial++}`);
      const copying = within(world.box(box.handle).copyOut(from, target), 'copy out');
      if (box.isInitDead) await refused(copying, 'UNAVAILABLE', 'COMMAND_FAILED', 'NATIVE_FAILED');
      else {
        await copying;
        const found = fs.readFileSync(target, 'utf8');
        if (found !== content) throw new Error(`copied out ${found} instead of ${content}`);
      }
      fs.rmSync(target, { force: true });
      const missing = within(world.box(box.handle).copyOut('/tmp/never-there', target), 'copy out');
      await refused(missing, 'COMMAND_FAILED', 'INVALID_SPEC', 'UNAVAILABLE', 'NATIVE_FAILED');
    },
  }),
);

const echoes = fc.uint8Array({ maxLength: 5_000 }).map((bytes) =>
  step({
    text: `Echo ${bytes.length}`,
    async run(_, world) {
      const answer = await within(world.client.echo(bytes), 'echo');
      if (Buffer.compare(Buffer.from(answer), Buffer.from(bytes)) !== 0)
        throw new Error('echo answered other bytes');
    },
  }),
);

export const SETTINGS: readonly fc.Arbitrary<Step>[] = [
  netIns,
  netIns,
  netOuts,
  probes,
  limits,
  limits,
  fills,
  copiesIn,
  copiesOut,
  echoes,
];
