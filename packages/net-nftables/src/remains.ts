/** What of this driver is in the kernel: whose it is, and how the last of it goes. */
import type { ContainerId } from '@warden/interface';
import { WardenError } from '@warden/interface';
import { chainNames } from './inventory.ts';
import type { TableMessages } from './nftables-message.ts';
import { ownLinks } from './own-links.ts';
import type { Link } from './rtnetlink.ts';
import { STATIC_CHAINS } from './ruleset.ts';
import type { TableAccess } from './table-access.ts';

/** See the file's head. */
export class Remains {
  readonly #access: TableAccess;
  readonly #table: TableMessages;
  readonly #alias: string;

  /** `alias`: that of the driver's links. */
  constructor(access: TableAccess, table: TableMessages, alias: string) {
    this.#access = access;
    this.#table = table;
    this.#alias = alias;
  }

  /** Everybody of whom anything is in the kernel, and the links. */
  owners(): { readonly found: ReadonlySet<ContainerId>; readonly links: ReadonlyMap<ContainerId, Link> } {
    this.#access.forgetContainers();
    const { interfaces, chains, limits, askers, ports, sources } = this.#access.containers();
    const { links, shapers } = ownLinks(this.#access.netlink(), this.#alias);
    const owners = Array.from(ports.values(), (port) => port.owner);
    const named = [...interfaces, ...chains, ...limits, ...askers];
    const found = new Set([...named, ...sources.keys(), ...links.keys(), ...shapers, ...owners]);
    return { found, links };
  }

  /** Whose link is there and was not cut off. */
  linked(): readonly ContainerId[] {
    const { links } = ownLinks(this.#access.netlink(), this.#alias);
    return [...links].filter(([, { isUp }]) => isUp).map(([id]) => id);
  }

  /** What there is besides what belongs to containers, in words. */
  standing(): readonly string[] {
    return chainNames(this.#access.netlink(), this.#table) === undefined ? [] : [this.#words()];
  }

  /** Removes that. Errors: `NATIVE_FAILED` when something is in it that is a container's, or a stranger's. */
  dismantle(): void {
    const names = chainNames(this.#access.netlink(), this.#table);
    if (names === undefined) return;
    this.#access.forgetContainers();
    const foreign = names.filter((name) => !STATIC_CHAINS.has(name));
    const { interfaces } = this.#access.containers();
    if (foreign.length > 0 || interfaces.size > 0) {
      const [chains, ids] = [foreign.join(', ') || 'none', [...interfaces].join(', ') || 'none'];
      throw new WardenError(
        'NATIVE_FAILED',
        `${this.#words()} holds more than the daemon's own: chains ${chains}, links of containers ${ids}`,
        {
          fields: { operation: 'dismantle', object: this.#table.table, foreign, containers: [...interfaces] },
        },
      );
    }
    this.#access.forgetContainers();
    this.#access.commit('dismantle', this.#table.table, [this.#table.deleteTable()]);
  }

  #words(): string {
    return `nftables table inet ${this.#table.table}`;
  }
}
