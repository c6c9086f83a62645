/** Ports and egress of a container: requests checked, recorded before they take effect, and undone when they fail (spec behaviour.md 5). */
import { type EgressRule, type NetOutSpec, type PortMapping, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { type Engine, networkSpecOf, saveRecord } from './engine.ts';
import { trySave } from './init-connection.ts';
import { formatAddress, parseAddress } from './pools.ts';

/** Errors: see `Container.netIn`. */
export function publishPort(
  engine: Engine,
  container: ManagedContainer,
  wanted: { readonly hostPort?: number | undefined; readonly containerPort?: number | undefined },
): Promise<PortMapping> {
  container.requireState('active');
  for (const port of [wanted.hostPort, wanted.containerPort]) {
    if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
      throw new WardenError('INVALID_SPEC', `port ${port} is not in 1..65535`, {
        fields: { operation: 'net in', object: port },
      });
    }
  }
  return container.exclusive(async () => {
    container.requireState('active');
    const { drivers, pools } = engine;
    const { record } = container;
    // a given port of the pool is taken from it too, so that nobody gets it picked
    const isPooled = wanted.hostPort === undefined || pools.ports.take(wanted.hostPort);
    const hostPort = wanted.hostPort ?? pools.acquirePort();
    const mapping = { hostPort, containerPort: wanted.containerPort ?? hostPort };
    if (isPooled) record.ports.add(hostPort);
    record.mappings.push(mapping);
    try {
      saveRecord(engine, container);
      await drivers.network.mapPort(networkSpecOf(engine, container), record.drivers.network, mapping);
    } catch (error) {
      record.mappings.splice(record.mappings.indexOf(mapping), 1);
      if (isPooled) {
        record.ports.delete(hostPort);
        pools.ports.release(hostPort);
      }
      trySave(engine, container);
      throw error;
    }
    return mapping;
  });
}

/** Errors: see `Container.netOut`. */
export function allowEgress(engine: Engine, container: ManagedContainer, spec: NetOutSpec): Promise<void> {
  container.requireState('active');
  const rule = egressRule(spec);
  return container.exclusive(async () => {
    container.requireState('active');
    const { record } = container;
    record.egress.push(rule);
    try {
      saveRecord(engine, container);
      await engine.drivers.network.allowEgress(
        networkSpecOf(engine, container),
        record.drivers.network,
        rule,
      );
    } catch (error) {
      record.egress.splice(record.egress.indexOf(rule), 1);
      trySave(engine, container);
      throw error;
    }
  });
}

/** Turns the request into a rule. Errors: `INVALID_SPEC` with the original's texts. */
export function egressRule(spec: NetOutSpec): EgressRule {
  const { network, port, portRange, protocol = 'tcp', icmpType, icmpCode, log = false } = spec;
  if (!network && port === undefined && !portRange)
    throw invalid('Please specify network, port, and/or port_range.', spec);
  const ports = portRange
    ? parseRange(portRange)
    : port === undefined
      ? undefined
      : { first: checkPort(port), last: port };
  if (ports && (protocol === 'icmp' || protocol === 'all'))
    throw invalid(`ports have no meaning for protocol ${protocol}`, spec);
  return {
    protocol,
    log,
    ...(network ? { network: parseNetwork(network) } : {}),
    ...(ports ? { ports } : {}),
    ...(protocol === 'icmp' && icmpType !== undefined && icmpType !== -1
      ? { icmpType: checkByte(icmpType) }
      : {}),
    ...(protocol === 'icmp' &&
    icmpType !== undefined &&
    icmpType !== -1 &&
    icmpCode !== undefined &&
    icmpCode !== -1
      ? { icmpCode: checkByte(icmpCode) }
      : {}),
  };
}

function parseRange(text: string): { first: number; last: number } {
  const [low = '', high = ''] = text.split(':');
  const [first, last] = [Number(low || '0'), Number(high || '0')];
  if (!/^\d*:\d*$/.test(text)) throw invalid(`port range ${text} is not of the form low:high`, text);
  if (first >= last) throw invalid('Port range maximum must be greater than minimum', text);
  return { first: Math.max(1, first), last: checkPort(last) };
}

function parseNetwork(text: string): { first: string; last: string } {
  const [left = '', right] = text.split(/[-/]/);
  const first = parseAddress(left);
  const isRange = text.includes('-');
  const last = right === undefined ? first : isRange ? parseAddress(right) : undefined;
  const prefix = right !== undefined && !isRange && /^\d{1,2}$/.test(right) ? Number(right) : undefined;
  if (first !== undefined && prefix !== undefined && prefix <= 32) {
    const size = 2 ** (32 - prefix);
    const base = first - (first % size);
    return { first: formatAddress(base), last: formatAddress(base + size - 1) };
  }
  if (first === undefined || last === undefined || last < first)
    throw invalid(`${text} is no address, CIDR or range of addresses`, text);
  return { first: formatAddress(first), last: formatAddress(last) };
}

function checkPort(port: number): number {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw invalid(`port ${port} is not in 1..65535`, port);
}

function checkByte(value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= 255) return value;
  throw invalid(`icmp type or code ${value} is not in -1..255`, value);
}

function invalid(message: string, object: unknown): WardenError {
  return new WardenError('INVALID_SPEC', message, { fields: { operation: 'net out', object } });
}
