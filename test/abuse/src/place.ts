/** What the suite puts on the host's side for the probe to look for, and how it knows that the host is unharmed. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { patience, type TestPlace } from '@warden/test-harness';

/** The short form is a slice of about 90 seconds. */
export const IS_SHORT: boolean = Boolean(process.env.WARDEN_ABUSE_SHORT);
/** A count of the full form, or of the short one. */
export function times(full: number, short: number): number {
  return IS_SHORT ? short : full;
}

/** Looks until `isTrue`; what it waits for has a limit of its own. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await delay(50);
}

/** A deadline for a machine that has nothing else to do, stretched by what this one has to do now. */
export function underLoad(ms: number): number {
  return patience(ms) * Math.max(1, os.loadavg()[0]! / os.cpus().length);
}

/** A file of the host that nobody inside may see. */
export function makeSentinel(place: TestPlace): string {
  const file = path.join(place.directory, 'sentinel/secret');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, `secret of the host ${Math.random()}\n`);
  return file;
}

/** Files and values of the host that must not change whatever happens inside. */
export function hostFacts(sentinel: string): string {
  const hash = createHash('sha256');
  const take = (file: string): void => {
    try {
      hash.update(`${file} ${fs.readFileSync(file, 'utf8')}`);
    } catch (error) {
      hash.update(`${file} ${(error as NodeJS.ErrnoException).code}`);
    }
  };
  for (const name of [
    'core_pattern',
    'modprobe',
    'hostname',
    'domainname',
    'sysrq',
    'panic',
    'randomize_va_space',
    'kptr_restrict',
    'shmmax',
  ])
    take(`/proc/sys/kernel/${name}`);
  for (const name of [
    'vm/overcommit_memory',
    'vm/swappiness',
    'fs/file-max',
    'fs/suid_dumpable',
    'user/max_user_namespaces',
    'net/ipv4/ip_forward',
  ])
    take(`/proc/sys/${name}`);
  for (const file of [
    '/etc/passwd',
    '/etc/group',
    '/etc/hosts',
    '/etc/resolv.conf',
    '/proc/mounts',
    '/proc/swaps',
    sentinel,
  ])
    take(file);
  for (const name of fs.readdirSync(path.dirname(sentinel))) hash.update(name);
  return hash.digest('hex');
}

/** Objects of the host's IPC namespace with the key that the probe asks for. */
export function makeForeignObjects(): () => void {
  const perl = (code: string): void => {
    execFileSync('perl', ['-e', code]);
  };
  const file = `/dev/shm/warden-abuse-${process.pid}`;
  perl(
    'defined shmget(0x5ab0,4096,01600) or die $!; defined semget(0x5ab0,1,01600) or die $!; defined msgget(0x5ab0,01600) or die $!',
  );
  fs.writeFileSync(file, 'x');
  return () => {
    perl('shmctl(shmget(0x5ab0,0,0),0,0); semctl(semget(0x5ab0,0,0),0,0,0); msgctl(msgget(0x5ab0,0),0,0)');
    fs.rmSync(file, { force: true });
  };
}

/** A helper of the test in one of its namespaces; ends with the test. */
export async function helper(command: readonly string[]): Promise<ChildProcess> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const failed = once(child, 'exit').then(() => {
    throw new Error(`${command.join(' ')} ended early`);
  });
  failed.catch(() => {});
  await Promise.race([once(child.stdout!, 'data'), failed]);
  return child;
}

const ECHO = `
import select, socket, sys
tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
for one in (tcp, udp): one.bind(('0.0.0.0', int(sys.argv[1])))
tcp.listen(64)
local = socket.socket(socket.AF_UNIX)
if len(sys.argv) > 2: local.bind('\\0' + sys.argv[2]); local.listen(8)
print('ready', flush=True)
while True:
    for one in select.select([tcp, udp] + ([local] if len(sys.argv) > 2 else []), [], [])[0]:
        if one is udp:
            data, sender = udp.recvfrom(512)
            udp.sendto(data, sender)
        else:
            client, sender = one.accept()
            if one is tcp: print('from', sender[0], flush=True)
            client.close()
`;

/**
 * The words that start an echo server for TCP, UDP and, with a name, an abstract unix socket. Each TCP caller
 * is told on standard output.
 */
export function echoServer(port: number, abstract?: string): string[] {
  return ['python3', '-c', ECHO, String(port), ...(abstract === undefined ? [] : [abstract])];
}
