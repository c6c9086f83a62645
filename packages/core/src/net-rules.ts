/**
 * What is open for a container: listed, and taken away again. (An extension: the original's daemon only ever
 * opens.)
 */
import {
  type EgressRule,
  type NetOutSpec,
  type NetRules,
  type NetRulesRemoval,
  type NetworkRules,
  toWardenError,
  WardenError,
} from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { type Engine, networkSpecOf, saveRecord, trySave } from './engine.ts';
import { checkPort, egressRule } from './net.ts';
import { parseAddress } from './pools.ts';

const OPERATION = 'net rules';
const EVERYWHERE = { first: '0.0.0.0', last: '255.255.255.255' };

/** Oldest first. */
export function listRules({ record }: ManagedContainer): NetRules {
  return {
    ports: record.mappings.map(({ hostPort, containerPort }) => ({ hostPort, containerPort })),
    egress: record.egress.map(egressSpec),
  };
}

/** Errors: see `Container.removeNetRules`. */
export async function removeRules(
  engine: Engine,
  container: ManagedContainer,
  { ports = [], egress = [] }: NetRulesRemoval,
): Promise<NetRules> {
  for (const port of ports) checkPort(port, OPERATION);
  const [goingPorts, goingRules] = [new Set(ports), new Set(egress.map(ruleOf).map(keyOf))];
  if (goingPorts.size === 0 && goingRules.size === 0) return listRules(container);
  const { name, supports } = engine.drivers.network;
  if (supports.withdrawal !== true) {
    throw new WardenError(
      'UNSUPPORTED',
      `the network driver ${name} cannot take back what it has opened; it stays so until the container is destroyed`,
      { fields: { operation: OPERATION, driver: name } },
    );
  }
  return container.exclusive(async () => {
    container.requireState('active', 'stopped');
    const { mappings, egress: rules } = container.record;
    const isGoing = (rule: EgressRule): boolean => goingRules.has(keyOf(rule));
    const withdrawn = {
      mappings: mappings.filter(({ hostPort }) => goingPorts.has(hostPort)),
      egress: rules.filter(isGoing),
    };
    const kept = {
      mappings: mappings.filter(({ hostPort }) => !goingPorts.has(hostPort)),
      egress: rules.filter((rule) => !isGoing(rule)),
    };
    if (withdrawn.mappings.length > 0 || withdrawn.egress.length > 0)
      await withdraw(engine, container, withdrawn, kept);
    return listRules(container);
  });
}

/**
 * First in the kernel, then in the record: a daemon that dies in between finds more recorded than is in force
 * and opens it again, as if nobody had asked. The other way round it would leave connections that nobody ends
 * any more.
 */
async function withdraw(
  engine: Engine,
  container: ManagedContainer,
  withdrawn: NetworkRules,
  kept: NetworkRules,
): Promise<void> {
  const { record } = container;
  const { failpoints, drivers, logger, pools } = engine;
  const before: NetworkRules = { mappings: [...record.mappings], egress: [...record.egress] };
  const change = (from: NetworkRules, to: NetworkRules): Promise<void> | undefined =>
    drivers.network.withdraw?.(networkSpecOf(engine, container), record.drivers.network, {
      withdrawn: from,
      kept: to,
    });
  const note = ({ mappings, egress }: NetworkRules): void => {
    record.mappings.splice(0, Infinity, ...mappings);
    record.egress.splice(0, Infinity, ...egress);
  };
  const pooled = withdrawn.mappings.map(({ hostPort }) => hostPort).filter((port) => record.ports.has(port));
  await change(withdrawn, kept);
  try {
    await failpoints.pass('net-rules.withdraw');
    note(kept);
    for (const port of pooled) record.ports.delete(port);
    saveRecord(engine, container);
  } catch (error) {
    note(before);
    for (const port of pooled) record.ports.add(port);
    await change({ mappings: [], egress: [] }, before)?.catch((suppressed: unknown) =>
      // closed although it is recorded as open: the next start of the daemon puts that right
      logger.error('net-rules-not-put-back', { handle: container.handle, error: suppressed }),
    );
    trySave(engine, container);
    throw error;
  }
  for (const port of pooled) pools.ports.release(port);
  logger.info('net-rules-removed', {
    handle: container.handle,
    ports: withdrawn.mappings.length,
    egress: withdrawn.egress.length,
  });
  await failpoints.pass('net-rules.record');
}

/** The rule as it was asked for. Errors: `INVALID_SPEC` with the texts of net out. */
function ruleOf(spec: NetOutSpec): EgressRule {
  try {
    return egressRule(spec);
  } catch (error) {
    const { code, message, fields } = toWardenError(error);
    throw new WardenError(code, message, { cause: error, fields: { ...fields, operation: OPERATION } });
  }
}

/** The same for rules about the same packets. */
function keyOf({ domain, network, ports, protocol, icmpType, icmpCode }: EgressRule): string {
  const range = network ?? (domain === undefined ? EVERYWHERE : undefined);
  return JSON.stringify([
    [domain, range?.first, range?.last].map((part) => part ?? null),
    [ports?.first, ports?.last, protocol, icmpType, icmpCode].map((part) => part ?? null),
  ]);
}

/** A request that makes this rule. */
function egressSpec({ domain, network, ports, protocol, icmpType, icmpCode, log }: EgressRule): NetOutSpec {
  return {
    protocol,
    ...(domain !== undefined && { domain }),
    ...(network && { network: networkText(network) }),
    ...(ports &&
      (ports.first === ports.last ? { port: ports.first } : { portRange: `${ports.first}:${ports.last}` })),
    ...(icmpType !== undefined && { icmpType }),
    ...(icmpCode !== undefined && { icmpCode }),
    ...(log && { log }),
  };
}

/** An address, a CIDR where it is one, otherwise `a-b`. */
function networkText({ first, last }: NonNullable<EgressRule['network']>): string {
  if (first === last) return first;
  const [from, to] = [parseAddress(first)!, parseAddress(last)!];
  const bits = Math.log2(to - from + 1);
  return Number.isInteger(bits) && from % 2 ** bits === 0 ? `${first}/${32 - bits}` : `${first}-${last}`;
}
