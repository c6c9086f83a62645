/** Whether what the doctor tries can be tried by this process at all, and what to do where it cannot. */
import fs from 'node:fs';

/** capabilities(7), by linux/capability.h: links and rules; namespaces and mounts. */
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;

/** The one thing to do for whoever has no rights. */
export const LOOK_AS_ROOT = 'run wardend doctor as root to look';

/** What keeps a root with all capabilities from something is not the kernel's version or its modules. */
const CONFINED =
  'something confines this process (a user namespace, a container, a filter of system calls, a security module): run wardend on the host itself, or allow it there';

/** Tells whether this process may make network namespaces, links and rules, in its own user namespace. */
export function canTry(status: string = readStatus()): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (effective === undefined) return process.geteuid?.() === 0; // no /proc: what can be told without
  const held = BigInt(`0x${effective}`);
  return [CAP_NET_ADMIN, CAP_SYS_ADMIN].every((one) => (held >> one) & 1n);
}

function readStatus(): string {
  try {
    return fs.readFileSync('/proc/self/status', 'utf8');
  } catch {
    return '';
  }
}

/** What to do where the reason is that something is not permitted; nothing for other reasons, which are the host's. */
export function adviceWithoutRights(reason: string, hasRights: boolean): string | undefined {
  const isDenied = /\bEPERM\b|operation not permitted/i.test(reason);
  if (hasRights) return isDenied ? CONFINED : undefined;
  return isDenied || /\bEACCES\b|permission denied/i.test(reason) ? LOOK_AS_ROOT : undefined;
}
