/**
 * Ports and egress of a container: requests checked, recorded before they take effect, and undone when they
 * fail (spec behaviour.md 5).
 */
import {
  type EgressRule,
  isPort,
  isWardenError,
  type NetOutSpec,
  noPort,
  noPortRange,
  PORT_RANGE_ADVICE,
  type PortMapping,
  WardenError,
} from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { domainOf, isDomain } from './domain.ts';
import { type Engine, networkSpecOf, saveRecord, trySave } from './engine.ts';
import { formatAddress, parseAddress as parsePoolAddress } from './pools.ts';

/** Errors: see `Container.netIn`. */
export function publishPort(
  engine: Engine,
  container: ManagedContainer,
  wanted: { readonly hostPort?: number | undefined; readonly containerPort?: number | undefined },
): Promise<PortMapping> {
  container.requireState('active');
  for (const port of [wanted.hostPort, wanted.containerPort])
    if (port !== undefined) checkPort(port, 'net in');
  const { hostPort, containerPort } = wanted;
  return container.exclusive(async () => {
    container.requireState('active');
    if (hostPort === undefined) return publishPicked(engine, container, containerPort);
    const mapping = { hostPort, containerPort: containerPort ?? hostPort };
    if (isPublished(engine, container, mapping)) {
      await mapPort(engine, container, mapping);
      return mapping;
    }
    // a given port of the pool is taken from it too, so that nobody gets it picked
    return publish(engine, container, mapping, engine.pools.ports.take(hostPort));
  });
}

/** Picks from the pool, passing by what somebody else on the host uses. Errors: `POOL_EXHAUSTED`. */
async function publishPicked(
  engine: Engine,
  container: ManagedContainer,
  containerPort: number | undefined,
): Promise<PortMapping> {
  const { ports } = engine.pools;
  for (let attempts = ports.size; attempts > 1; attempts--) {
    const hostPort = engine.pools.acquirePort();
    const mapping = { hostPort, containerPort: containerPort ?? hostPort };
    try {
      return await publish(engine, container, mapping, true);
    } catch (error) {
      // given back, it has become the last in the pool
      if (!isWardenError(error, 'ALREADY_EXISTS')) throw error;
      engine.logger.warn('port-of-pool-in-use', { hostPort, error });
    }
  }
  const hostPort = engine.pools.acquirePort();
  return publish(engine, container, { hostPort, containerPort: containerPort ?? hostPort }, true);
}

/** Tells whether the container has exactly this mapping. Errors: `ALREADY_EXISTS` naming the owner of the port. */
function isPublished(engine: Engine, container: ManagedContainer, mapping: PortMapping): boolean {
  const { hostPort, containerPort } = mapping;
  for (const other of engine.containers.values()) {
    const present = other.record.mappings.find((one) => one.hostPort === hostPort);
    if (present === undefined) continue;
    if (other === container && present.containerPort === containerPort) return true;
    throw new WardenError('ALREADY_EXISTS', `port ${hostPort} is taken by container ${other.handle}`, {
      fields: {
        operation: 'net in',
        object: hostPort,
        owner: other.handle,
        containerPort: present.containerPort,
      },
    });
  }
  return false;
}

/** Recorded before it is in force, so that a killed daemon leaves nothing unknown; undone when it fails. */
async function publish(
  engine: Engine,
  container: ManagedContainer,
  mapping: PortMapping,
  isPooled: boolean,
): Promise<PortMapping> {
  const { record } = container;
  const { failpoints } = engine;
  const { hostPort } = mapping;
  if (isPooled) record.ports.add(hostPort);
  record.mappings.push(mapping);
  try {
    await failpoints.pass('net-in.port');
    saveRecord(engine, container);
    await failpoints.pass('net-in.record');
    await mapPort(engine, container, mapping);
  } catch (error) {
    record.mappings.splice(record.mappings.indexOf(mapping), 1);
    if (isPooled) {
      record.ports.delete(hostPort);
      engine.pools.ports.release(hostPort);
    }
    trySave(engine, container);
    throw error;
  }
  await failpoints.pass('net-in.map');
  return mapping;
}

function mapPort(engine: Engine, container: ManagedContainer, mapping: PortMapping): Promise<void> {
  const { record } = container;
  return engine.drivers.network.mapPort(networkSpecOf(engine, container), record.drivers.network, mapping);
}

/**
 * Every packet may meet all of them, every change writes them all down, and a restart sends them to the
 * kernel at once.
 */
const MAX_EGRESS_RULES = 1_024;

function tooManyRules(used: number): WardenError {
  return new WardenError(
    'POOL_EXHAUSTED',
    `the container has ${used} egress rules, the most it may have; name networks and port ranges instead of single ones`,
    { fields: { operation: 'net out', pool: 'egress rules', used, limit: MAX_EGRESS_RULES } },
  );
}

/** Errors: see `Container.netOut`. */
export function allowEgress(engine: Engine, container: ManagedContainer, spec: NetOutSpec): Promise<void> {
  container.requireState('active');
  const rule = egressRule(spec);
  const { name, supports } = engine.drivers.network;
  if (rule.domain !== undefined && supports.namedEgress !== true) {
    throw new WardenError(
      'UNSUPPORTED',
      `the network driver ${name} has no rules about names here; allow addresses, or see what wardend doctor says about it`,
      { fields: { operation: 'net out', object: rule.domain, driver: name } },
    );
  }
  return container.exclusive(async () => {
    container.requireState('active');
    const { record } = container;
    if (record.egress.length >= MAX_EGRESS_RULES) throw tooManyRules(record.egress.length);
    record.egress.push(rule);
    try {
      saveRecord(engine, container);
      await engine.failpoints.pass('net-out.record');
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
    await engine.failpoints.pass('net-out.rule');
  });
}

/** Turns the request into a rule. Errors: `INVALID_SPEC` with the original's texts. */
export function egressRule(spec: NetOutSpec): EgressRule {
  const { network, port, portRange, protocol = 'tcp', icmpType, icmpCode, log = false, domain } = spec;
  if (!network && port === undefined && !portRange && domain === undefined)
    throw invalid(
      'Please specify network, port, and/or port_range.',
      spec,
      'name what may be reached: a network, a port, a port_range, or a domain',
    );
  const ports = portRange
    ? parseRange(portRange)
    : port === undefined
      ? undefined
      : { first: checkPort(port), last: port };
  if (ports && (protocol === 'icmp' || protocol === 'all'))
    throw invalid(`command exited with failure: protocol ${protocol} has no ports`, spec);
  return {
    protocol,
    log,
    ...(domain === undefined ? {} : { domain: parseDomain(domain) }),
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

/** `low:high` with 0 for what is left out, or a single port, as the original's packet filter takes it. */
function parseRange(text: string): { first: number; last: number } {
  const [, low = '', colon, high = ''] = /^(\d{0,5})(:?)(\d{0,5})$/.exec(text) ?? [];
  if (colon === '' && low !== '') return { first: checkPort(Number(low)), last: Number(low) };
  if (colon !== ':') throw invalid(noPortRange(show(text), 'FIRST:LAST'), text);
  const [first, last] = [Number(low), Number(high)];
  if (first >= last)
    throw invalid('Port range maximum must be greater than minimum', text, PORT_RANGE_ADVICE);
  return { first: Math.max(1, first), last: checkPort(last) };
}

/** Errors: `INVALID_SPEC`. */
function parseDomain(text: string): string {
  const domain = domainOf(text);
  if (isDomain(domain)) return domain;
  const advice = /^[\x20-\x7e]*$/.test(text) ? '' : '; write it in its ASCII form (xn--…)';
  throw invalid(
    `${show(text)} is no name of a host, as registry.example.org, nor *. and one for all names below it${advice}`,
    text,
  );
}

/** An address, a CIDR (host bits are ignored) or `a-b`. */
function parseNetwork(text: string): { first: string; last: string } {
  const [, left = '', separator, right = ''] = /^([\d.]+)(?:([-/])([\d.]+))?$/.exec(text) ?? [];
  const first = parseAddress(left);
  const last = separator === '-' ? parseAddress(right) : first;
  if (separator === '/' && first !== undefined && /^(\d|[12]\d|3[012])$/.test(right)) {
    const size = 2 ** (32 - Number(right));
    const base = first - (first % size);
    return { first: formatAddress(base), last: formatAddress(base + size - 1) };
  }
  if (first === undefined || last === undefined || separator === '/' || last < first) throw noAddress(text);
  return { first: formatAddress(first), last: formatAddress(last) };
}

/** Leading zeros are refused: some programs read them as octal. */
function parseAddress(text: string): number | undefined {
  const address = text.includes('.') ? parsePoolAddress(text) : undefined;
  return address !== undefined && formatAddress(address) === text ? address : undefined;
}

/** What a client sent, fit for a message. */
function show(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text).slice(1, -1);
}

/** Errors: `INVALID_SPEC`. */
export function checkPort(port: number, operation = 'net out'): number {
  if (isPort(port)) return port;
  throw new WardenError('INVALID_SPEC', noPort(port), {
    fields: { operation, object: port },
  });
}

function checkByte(value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= 255) return value;
  throw invalid(`icmp type or code ${value} is not in -1..255`, value);
}

function invalid(message: string, object: unknown, advice?: string): WardenError {
  return new WardenError('INVALID_SPEC', message, {
    fields: { operation: 'net out', object, ...(advice !== undefined && { advice }) },
  });
}

function noAddress(text: string): WardenError {
  const advice = isDomain(domainOf(text)) ? 'a name is allowed by domain, not by network' : undefined;
  return invalid(`${show(text)} is no address, CIDR or range of addresses`, text, advice);
}
