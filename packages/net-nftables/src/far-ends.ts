/**
 * The containers' ends of the links, which lie in other network namespaces. Nobody enters one: a socket that
 * was opened there by a thread of its own reaches it from here.
 */
import { readdirSync } from 'node:fs';
import type { ContainerId } from '@warden/interface';
import { WardenError } from '@warden/interface';
import { findLink } from './container-link.ts';
import { linkEnds } from './link-names.ts';
import { isKernelError, NetlinkConnection } from './netlink-connection.ts';
import type { Link } from './rtnetlink.ts';
import { getNamespaceNumber, readNamespaceNumber } from './rtnetlink.ts';

/** A container's end, as seen from inside its namespace. */
export interface FarEnd {
  readonly connection: NetlinkConnection;
  readonly link: Link;
}

/** See the file's head. */
export class FarEnds {
  readonly #netlink: () => NetlinkConnection;
  /** A process in the namespace, as far as this daemon has seen one. */
  readonly #pids = new Map<ContainerId, number>();

  constructor(netlink: () => NetlinkConnection) {
    this.#netlink = netlink;
  }

  note(id: ContainerId, pid: number): void {
    this.#pids.set(id, pid);
  }

  forget(id: ContainerId): void {
    this.#pids.delete(id);
  }

  /**
   * Does something at the far end of `near`. Answers false when no process is left in its namespace. Errors:
   * those of `action`.
   */
  reach(id: ContainerId, near: Link, action: (end: FarEnd) => void): boolean {
    const end = this.#open(id, near);
    if (end === undefined) return false;
    try {
      action(end);
      return true;
    } finally {
      end.connection.close();
    }
  }

  #open(id: ContainerId, near: Link): FarEnd | undefined {
    const known = this.#pids.get(id);
    const found = known === undefined ? undefined : this.#openAt(known, id, near);
    if (found !== undefined) return found;
    for (const name of readdirSync('/proc')) {
      const pid = /^\d+$/.test(name) ? Number(name) : process.pid;
      const end = pid === process.pid || pid === known ? undefined : this.#openAt(pid, id, near);
      if (end === undefined) continue;
      this.#pids.set(id, pid);
      return end;
    }
    return undefined;
  }

  /** A number can be another process by now: the namespace must be the one the link leads to, and have the link. */
  #openAt(pid: number, id: ContainerId, near: Link): FarEnd | undefined {
    let connection: NetlinkConnection | undefined;
    try {
      const [received] = this.#netlink().route(getNamespaceNumber(pid));
      const number = received === undefined ? undefined : readNamespaceNumber(received);
      if (number === undefined || number !== near.farNamespace) return undefined;
      connection = NetlinkConnection.openInNamespaceOf(pid);
      const link = findLink(connection, linkEnds(id).container.name);
      if (link !== undefined) return { connection, link };
    } catch (error) {
      // it has ended, or ends just now
      if (!isKernelError(error, 'ESRCH', 'ENOENT', 'EINVAL')) throw error;
    }
    connection?.close();
    return undefined;
  }
}

/** Errors: `NATIVE_FAILED` for a container without processes. */
export function requireReached(isReached: boolean, id: ContainerId): void {
  if (isReached) return;
  throw new WardenError('NATIVE_FAILED', `no process is left in the network namespace of ${id}`, {
    fields: { operation: 'set-bandwidth', object: linkEnds(id).container.name, errno: 'ESRCH' },
  });
}
