/** The links of all containers: made, looked for, cut off, and awaited until they have gone. */
import type { ContainerId, DriverState, Logger, NetworkSpec } from '@warden/interface';
import { WardenError } from '@warden/interface';
import {
  findLink,
  type LinkSettings,
  linkDisconnection,
  linkEquipment,
  linkRemoval,
  linkSearch,
  pairCreation,
} from './container-link.ts';
import { EndingLinks } from './ending-links.ts';
import { linkEnds } from './link-names.ts';
import type { Link } from './rtnetlink.ts';
import { mayBeLink, ownNamespace, switchOffIpv6 } from './sysctl.ts';
import type { TableAccess } from './table-access.ts';

/** See the file's head. */
export class ContainerLinks {
  /** In which links are made, as far as the kernel tells. */
  readonly namespace: string | undefined = ownNamespace();
  readonly #access: TableAccess;
  readonly #settings: LinkSettings;
  readonly #log: Logger;
  /** Those of living containers that were made here; those of an earlier daemon are looked for. */
  readonly #made = new Map<ContainerId, Link>();
  readonly #ending: EndingLinks;
  /** {@link closeToIpv6} has failed, and said so. */
  #isIpv6Left = false;

  constructor(access: TableAccess, settings: LinkSettings, log: Logger) {
    this.#access = access;
    this.#settings = settings;
    this.#log = log;
    this.#ending = new EndingLinks(() => access.patient(), log);
  }

  /** Makes the link of a container, with its far end in the network namespace of `pid`. */
  async make(spec: NetworkSpec, pid: number): Promise<void> {
    const link = await this.#access.patient().carryOut(pairCreation(spec, this.#settings, pid));
    const equipped = this.#access.patient().carryOut(linkEquipment(spec, this.#settings, link));
    // Beside it, and before the far end is up, with which the kernel would give the near one its routes.
    await Promise.all([equipped, this.closeToIpv6(link)]);
    this.#made.set(spec.id, link);
  }

  /** Removes what {@link make} has made; nothing where it has failed, which leaves nothing. */
  async unmake(id: ContainerId): Promise<void> {
    const made = this.#made.get(id);
    this.#made.delete(id);
    if (made !== undefined) await this.#access.patient().carryOut(linkRemoval(made));
  }

  /**
   * What comes by it is dropped by rules anyway. Beyond that, IPv6 gives each link that is up a route of its
   * own, and the kernel looks at those of all links whenever one goes down.
   */
  async closeToIpv6({ name, hasIpv6 }: Link): Promise<void> {
    if (!hasIpv6) return;
    try {
      await switchOffIpv6(name);
    } catch (error) {
      if (this.#isIpv6Left) return;
      this.#isIpv6Left = true;
      this.#log.warn('ipv6-left-on-links', {
        error,
        reason: 'what comes by it is dropped by rules; each link costs all others some time when it goes',
        advice: 'let the daemon write to /proc/sys/net/ipv6/conf',
      });
    }
  }

  /**
   * Cuts the container off, and answers the link that is there. Mostly its namespace has ended already; and a
   * search is another wait for the lock around all links.
   */
  async disconnect(spec: NetworkSpec): Promise<Link | undefined> {
    const { name } = linkEnds(spec.id).host;
    const made = this.#made.get(spec.id);
    this.#made.delete(spec.id);
    if (!mayBeLink(name)) return undefined;
    if (made !== undefined && (await this.#access.patient().carryOut(linkDisconnection(spec, made))))
      return made;
    const link = await this.#access.patient().carryOut(linkSearch(name));
    if (link !== undefined) await this.#access.patient().carryOut(linkDisconnection(spec, link));
    return link;
  }

  /** Sees to it that a link that was cut off goes, should its namespace live on. */
  awaitEnd(id: ContainerId, link: Link): void {
    this.#ending.add(id, link);
  }

  /** Whether it is one that was cut off and goes in a moment. */
  isEnding(id: ContainerId, link: Link): boolean {
    return this.#ending.has(id, link);
  }

  /** Errors: `NATIVE_FAILED` (ENODEV). */
  existing(operation: string, id: ContainerId): Link {
    const { name } = linkEnds(id).host;
    const link = findLink(this.#access.netlink(), name);
    if (link !== undefined) return link;
    throw new WardenError('NATIVE_FAILED', `the link ${name} is gone`, {
      fields: { operation, object: name, errno: 'ENODEV' },
    });
  }

  /**
   * The link of a container that an earlier daemon has recorded. One that is not here has not gone if it was
   * made in another namespace than the one of this process. Errors: `NATIVE_FAILED` (ENODEV, EXDEV).
   */
  recorded(id: ContainerId, { namespace }: DriverState): Link {
    try {
      return this.existing('restore', id);
    } catch (cause) {
      if (typeof namespace !== 'string' || namespace === this.namespace) throw cause;
      const { name } = linkEnds(id).host;
      throw new WardenError(
        'NATIVE_FAILED',
        `the link ${name} was made in the network namespace ${namespace}, and this daemon is in ${this.namespace ?? 'another one'}`,
        {
          cause,
          fields: {
            ...{ operation: 'restore', object: name, errno: 'EXDEV' },
            advice:
              'start the daemon in the network namespace in which the container was made: it is there again then; or end its init (the pid in run/wshd.pid, if it is still that), umount tmp in the directory if it is mounted, and remove the directory',
          },
        },
      );
    }
  }

  /** Those that are awaited are left to the next sweep. */
  close(): void {
    this.#ending.close();
  }
}
