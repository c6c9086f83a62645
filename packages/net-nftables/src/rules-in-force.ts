/**
 * What the table says of each container: its elements, rules and ports, changed in whole transactions that
 * are noted when the kernel has them.
 */
import type { ContainerId, EgressRule, NetworkSpec, PortMapping } from '@warden/interface';
import { WardenError } from '@warden/interface';
import {
  addPort,
  ensureContainer,
  ensureElements,
  ensureSource,
  insertEgress,
  removeContainer,
  removePorts,
  removeSource,
} from './container-rules.ts';
import type { PublishedPort } from './inventory.ts';
import type { AddressRange } from './ipv4-address.ts';
import { parseAddress } from './ipv4-address.ts';
import type { NamedEgress } from './named-egress.ts';
import { isKernelError } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';
import type { TableMessages } from './nftables-message.ts';
import { replacePublished } from './ruleset.ts';
import type { CommitOf, TableAccess } from './table-access.ts';

/** What a container's rules are to be. */
export interface RulesOfOne {
  readonly spec: NetworkSpec;
  readonly egress: readonly EgressRule[];
  readonly mappings: readonly PortMapping[];
  /** There were rules before, whatever is known of the kernel. */
  readonly hadRules?: boolean;
}

/** How they become so. */
interface Replacement {
  readonly changes: readonly MessageBody[];
  /** There are ports among them. */
  readonly publishes: boolean;
  /** Called when the kernel has them. */
  note(): void;
}

/** What {@link RulesInForce} needs of its driver. */
export interface RulesParts {
  readonly table: TableMessages;
  readonly access: TableAccess;
  readonly names: NamedEgress;
  /** The addresses of all containers. */
  pool(): AddressRange | undefined;
  /** The address by which the host goes out. */
  outward(): number | undefined;
}

/** See the file's head. */
export class RulesInForce {
  readonly #parts: RulesParts;

  constructor(parts: RulesParts) {
    this.#parts = parts;
  }

  /** Makes elements, rules and ports of each exactly these, all in one transaction. */
  replace(...all: readonly RulesOfOne[]): Promise<void> {
    return this.#parts.access.inTurn(async (commit) => {
      const replacements = all.map((one) => this.#replacement(one));
      const published = replacements.some(({ publishes }) => publishes) ? this.#publishedChanges() : [];
      const object = all.length === 1 ? all[0]!.spec.id : `${all.length} containers`;
      const changes = replacements.flatMap((replacement) => replacement.changes);
      await commit('replace-rules', object, [...published, ...changes]);
      for (const { note } of replacements) note();
    });
  }

  /** What is to be told the kernel, and what is known when that is done. */
  #replacement({ spec, egress, mappings, hadRules = false }: RulesOfOne): Replacement {
    const { table, access, names } = this.#parts;
    const { sources: before, askers: asking, chains: ruled } = access.containers();
    const admission = names.admission(spec, egress);
    const isNamed = egress.some(({ domain }) => domain !== undefined);
    const isDismissed = !isNamed && asking.has(spec.id);
    const address = parseAddress(spec.containerIp);
    const earlier = before.get(spec.id);
    const hasChain = hadRules || ruled.has(spec.id);
    const missing = mappings.filter((mapping) => !this.isPublished(spec, mapping));
    const wanted = new Set(mappings.map((mapping) => mapping.hostPort));
    const surplus = this.#portsOf(spec.id).filter((port) => !wanted.has(port));
    const changes = [
      ...ensureContainer(table, spec.id, { egress, pool: this.#parts.pool(), hasChain }),
      ...(isDismissed ? names.dismissal(spec.id) : admission),
      ...(earlier === undefined || earlier === address ? [] : [removeSource(table, spec.id, earlier)]),
      ensureSource(table, spec.id, address),
      ...removePorts(table, surplus),
      ...missing.map((mapping) => addPort(table, spec.id, spec.containerIp, mapping)),
    ];
    const note = (): void => {
      const { interfaces, chains, ports, sources, askers } = access.containers();
      interfaces.add(spec.id);
      if (egress.length > 0) chains.add(spec.id);
      else chains.delete(spec.id);
      sources.set(spec.id, address);
      if (isDismissed) this.#forgetNames(spec.id);
      else if (admission.length > 0) askers.add(spec.id);
      names.note(spec, egress);
      for (const port of surplus) ports.delete(port);
      for (const mapping of missing) ports.set(mapping.hostPort, publishedPort(spec, mapping));
    };
    return { changes, publishes: missing.length > 0, note };
  }

  /**
   * Publishes at the outward address, should that be another one by now; answers it then. Errors:
   * `NATIVE_FAILED`.
   */
  followOutward(): Promise<number | undefined> {
    const { access } = this.#parts;
    return access.inTurn(async (commit) => {
      const changes = this.#publishedChanges();
      if (changes.length === 0) return undefined;
      await commit('publish', 'the outward address', changes);
      return access.published;
    });
  }

  /** Lets all who have rules about names ask: when these were put in force nobody could answer. */
  admitAll(): Promise<void> {
    const { access, names } = this.#parts;
    return access.inTurn(async (commit) => {
      const { askers } = names;
      if (askers.length === 0) return;
      await commit('admit-askers', `${askers.length} containers`, names.admissions());
      for (const id of askers) access.containers().askers.add(id);
    });
  }

  /** One more rule, before the others. Errors: `NATIVE_FAILED`. */
  allow(spec: NetworkSpec, rule: EgressRule): Promise<void> {
    return this.#parts.access.inTurn(async (commit) => {
      try {
        await this.#commitEgress(spec, rule, commit);
      } catch (error) {
        if (!isKernelError(error, 'EEXIST', 'ENOENT')) throw error;
        // Somebody else has given it a chain, or taken it away. The inventory is read again now.
        await this.#commitEgress(spec, rule, commit);
      }
    });
  }

  async #commitEgress(spec: NetworkSpec, rule: EgressRule, commit: CommitOf): Promise<void> {
    const { table, access, names, pool } = this.#parts;
    const { askers, chains } = access.containers();
    const admission = askers.has(spec.id) ? [] : names.admission(spec, [rule]);
    const hasChain = chains.has(spec.id);
    const address = parseAddress(spec.containerIp);
    const change = insertEgress(table, spec.id, { rule, pool: pool(), address, hasChain });
    await commit('allow-egress', spec.id, [...admission, ...change]);
    const now = access.containers();
    now.chains.add(spec.id);
    if (admission.length > 0) now.askers.add(spec.id);
    names.add(spec, rule);
  }

  /** One more port. Errors: `NATIVE_FAILED`, of the kernel's EEXIST where somebody else has it in the table. */
  publish(spec: NetworkSpec, mapping: PortMapping): Promise<void> {
    const { table, access } = this.#parts;
    return access.inTurn(async (commit) => {
      const added = addPort(table, spec.id, spec.containerIp, mapping);
      await commit('map-port', String(mapping.hostPort), [...this.#publishedChanges(), added]);
      access.containers().ports.set(mapping.hostPort, publishedPort(spec, mapping));
    });
  }

  /** Tells whether exactly this mapping is in force. Errors: `ALREADY_EXISTS` when the port leads elsewhere. */
  isPublished(spec: NetworkSpec, mapping: PortMapping): boolean {
    const present = this.#parts.access.containers().ports.get(mapping.hostPort);
    if (present === undefined) return false;
    const { containerIp, containerPort, owner } = present;
    if (owner === spec.id && containerIp === spec.containerIp && containerPort === mapping.containerPort)
      return true;
    throw new WardenError('ALREADY_EXISTS', `port ${mapping.hostPort} is taken by container ${owner}`, {
      fields: { operation: 'map-port', object: String(mapping.hostPort), owner, containerIp, containerPort },
    });
  }

  /** Takes all of a container away; of one that has none, nothing. */
  remove(id: ContainerId): Promise<void> {
    return this.#parts.access.inTurn(async (commit) => {
      try {
        await this.#commitRemoval(id, 'present', commit);
      } catch (error) {
        if (!isKernelError(error, 'ENOENT')) throw error;
        // The table was changed by somebody else; the inventory is read again now.
        await this.#commitRemoval(id, 'uncertain', commit);
      }
    });
  }

  /**
   * Of what is `uncertain` parts may be missing already. What is added first can be removed for certain, all
   * within one transaction; but what adds a verdict makes the kernel look at the chains of all containers.
   */
  async #commitRemoval(id: ContainerId, parts: 'present' | 'uncertain', commit: CommitOf): Promise<void> {
    const { table, access, names } = this.#parts;
    const { interfaces, chains, sources, askers } = access.containers();
    const isNamed = askers.has(id);
    const owned = this.#portsOf(id);
    const address = sources.get(id);
    const hasChain = chains.has(id);
    const isThere = hasChain || interfaces.has(id);
    const added: MessageBody[] = [];
    if (parts === 'uncertain' && address !== undefined) added.push(ensureSource(table, id, address));
    if (parts === 'uncertain' && isThere) added.push(...ensureElements(table, id, { hasChain }));
    const source = address === undefined ? [] : [removeSource(table, id, address)];
    const dismissal = isNamed ? names.dismissal(id) : [];
    const rules = isThere ? removeContainer(table, id, { hasChain }) : [];
    const removals = [...removePorts(table, owned), ...source, ...dismissal, ...rules];
    await commit('remove-rules', id, [...added, ...removals]);
    if (isNamed) this.#forgetNames(id);
    const now = access.containers();
    now.interfaces.delete(id);
    now.chains.delete(id);
    now.sources.delete(id);
    for (const port of owned) now.ports.delete(port);
  }

  #forgetNames(id: ContainerId): void {
    this.#parts.names.forget(id);
    this.#parts.access.containers().askers.delete(id);
  }

  #portsOf(id: ContainerId): number[] {
    const owned: number[] = [];
    for (const [hostPort, { owner }] of this.#parts.access.containers().ports)
      if (owner === id) owned.push(hostPort);
    return owned;
  }

  /** The outward address may have changed since the last mapping. */
  #publishedChanges(): MessageBody[] {
    const { table, access } = this.#parts;
    const outward = this.#parts.outward();
    if (outward === undefined || outward === access.published) return [];
    access.published = outward;
    return replacePublished(table, [outward]);
  }
}

function publishedPort(spec: NetworkSpec, mapping: PortMapping): PublishedPort {
  return { owner: spec.id, containerIp: spec.containerIp, containerPort: mapping.containerPort };
}
