/**
 * Many containers in one place: each has a published port, an egress rule, and a job that serves its own name
 * and prints what it is told.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { WardenClient } from '@warden/client';
import { HOST_ADDRESS, OUTSIDE_ADDRESS, patience, type TestPlace } from '@warden/test-harness';

const REACH = fileURLToPath(new URL('./reach.mjs', import.meta.url));
const SERVED_PORT = 8080;
/** UDP ports outside: what a rule of each container allows, and what none does. */
export const ALLOWED_PORT = 7001;
export const DENIED_PORT = 7002;
/** The status with which the job ends when it is told to. */
export const JOB_STATUS = 7;

/** One of them. */
export interface Member {
  readonly handle: string;
  readonly address: string;
  readonly port: number;
  readonly job: number;
}

const JOB = `
mkdir /tmp/www && printf %s "$1" > /tmp/www/index.html && mkfifo /tmp/orders
busybox httpd -f -p ${SERVED_PORT} -h /tmp/www &
exec 3<>/tmp/orders
echo ready
while read -r order <&3; do
  echo "$order"
  if [ "$order" = end ]; then kill %1; exit ${JOB_STATUS}; fi
done
`;

/** Makes one. */
export async function makeMember(warden: WardenClient): Promise<Member> {
  const box = await warden.create();
  const { hostPort } = await box.netIn({ containerPort: SERVED_PORT });
  await box.netOut({ network: OUTSIDE_ADDRESS, port: ALLOWED_PORT, protocol: 'udp' });
  const job = await box.spawn(JOB.replace('$1', box.handle));
  const { containerIp } = await box.info();
  return { handle: box.handle, address: containerIp!, port: hostPort, job: job.id };
}

/** Tells a member's job something, which it prints. */
export async function order(warden: WardenClient, { handle }: Member, ...words: string[]): Promise<void> {
  const script = `printf '%s\\n' ${words.join(' ')} > /tmp/orders`;
  await warden.container(handle).run(script, { check: true });
}

/** Tries what is allowed, what is not, and a neighbour's server; answers what came of the neighbour. */
export async function probe(warden: WardenClient, member: Member, neighbour: Member): Promise<string> {
  const script = `
printf x > /dev/udp/${OUTSIDE_ADDRESS}/${ALLOWED_PORT}
printf x > /dev/udp/${OUTSIDE_ADDRESS}/${DENIED_PORT}
if nc -w 1 ${neighbour.address} ${SERVED_PORT} < /dev/null > /dev/null 2>&1; then echo reached; else echo denied; fi`;
  return (await warden.container(member.handle).run(script)).stdoutText.trim();
}

/** Counts what arrives outside at the two UDP ports. Answers how to read it. */
export function countOutside(place: TestPlace): (port: number) => number {
  const { outside } = place.network;
  outside.run('nft', 'add table inet seen; add chain inet seen in { type filter hook input priority 0; }');
  for (const port of [ALLOWED_PORT, DENIED_PORT]) {
    outside.run('nft', `add counter inet seen port${port}`);
    outside.run('nft', `add rule inet seen in udp dport ${port} counter name port${port}`);
  }
  return (port) => Number(/packets (\d+)/.exec(outside.run('nft', `list counter inet seen port${port}`))![1]);
}

/**
 * From outside: every published port is asked; with `direct`, also every container's own address, which must
 * stay silent.
 */
export async function reach(
  place: TestPlace,
  members: readonly Member[],
  { direct = false }: { readonly direct?: boolean } = {},
): Promise<{ readonly failures: readonly string[]; readonly opened: readonly string[] }> {
  const question = {
    host: HOST_ADDRESS,
    asked: members.map(({ port, handle }) => ({ port, expected: handle })),
    silent: direct ? members.map(({ address }) => ({ address, port: SERVED_PORT })) : [],
  };
  const [program, ...words] = place.network.outside.enter([process.execPath, REACH]);
  const child = spawn(program!, words, { stdio: ['pipe', 'pipe', 'inherit'], timeout: patience(300_000) });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = once(child, 'close');
  child.stdin.end(JSON.stringify(question));
  await ended;
  return JSON.parse(text) as Awaited<ReturnType<typeof reach>>;
}
