/** Egress rules of the fake: checked and compared as a daemon does, and of no effect. */
import { WardenError } from '@warden/interface';
import type { NetRule } from '@warden/protocol';

/** Numbers of the protocols that have no ports. */
const WITHOUT_PORTS: readonly number[] = [2, 3];
const LAST_PORT = 65_535;

/** The rule as a daemon lists it. Errors: `INVALID_SPEC`, naming what it was for. */
export function fakeRule(asked: NetRule, operation: 'net out' | 'net rules'): NetRule {
  try {
    return parsedRule(asked);
  } catch {
    throw new WardenError('INVALID_SPEC', `no network, name, port or range: ${JSON.stringify(asked)}`, {
      fields: { operation, object: asked.network ?? asked.domain ?? asked.port_range ?? asked.port },
    });
  }
}

/** Throws for what is none. */
function parsedRule(asked: NetRule): NetRule {
  const { network, port, port_range, protocol = 0, icmp_type = -1, icmp_code = -1, domain } = asked;
  const ports = port_range === undefined ? portsOf(port) : rangeOf(port_range);
  const isNamed = domain === undefined || /^(\*\.)?[\w-]+(\.[\w-]+)*\.?$/.test(domain);
  const isAbout = network !== undefined || ports !== undefined || domain !== undefined;
  if (!isNamed || !isAbout || (ports !== undefined && WITHOUT_PORTS.includes(protocol))) throw invalid(asked);
  const range = network === undefined ? undefined : networkOf(network);
  return {
    protocol,
    ...(domain !== undefined && { domain: domain.toLowerCase().replace(/\.$/, '') }),
    ...(range && { network: textOf(range) }),
    ...(ports && (ports[0] === ports[1] ? { port: ports[0] } : { port_range: ports.join(':') })),
    ...(protocol === 2 && icmp_type !== -1 && { icmp_type }),
    ...(protocol === 2 && icmp_type !== -1 && icmp_code !== -1 && { icmp_code }),
    ...(asked.log === true && { log: true }),
  };
}

/** Whether two that are listed are about the same packets. */
export function isSameRule(one: NetRule, other: NetRule): boolean {
  const key = ({ log: _log, ...rule }: NetRule): string => {
    const everywhere = rule.domain === undefined ? '0.0.0.0/0' : undefined;
    return JSON.stringify(Object.entries({ ...rule, network: rule.network ?? everywhere }).sort());
  };
  return key(one) === key(other);
}

type Range = readonly [first: number, last: number];

function portsOf(port: number | undefined): Range | undefined {
  if (port === undefined) return undefined;
  if (port < 1 || port > LAST_PORT) throw invalid({ port });
  return [port, port];
}

function rangeOf(port_range: string): Range {
  const [, low = '', colon, high = ''] = /^(\d{0,5})(:?)(\d{0,5})$/.exec(port_range) ?? [];
  if (colon === '' && low !== '') return portsOf(Number(low))!;
  const [first, last] = [Number(low), Number(high)];
  if (colon !== ':' || first >= last || last > LAST_PORT) throw invalid({ port_range });
  return [Math.max(1, first), last];
}

function networkOf(network: string): Range {
  const [, left = '', separator, right = ''] = /^([\d.]+)(?:([-/])([\d.]+))?$/.exec(network) ?? [];
  const first = addressOf(left);
  const last = separator === '-' ? addressOf(right) : first;
  if (separator === '/' && first !== undefined && /^(\d|[12]\d|3[012])$/.test(right)) {
    const size = 2 ** (32 - Number(right));
    return [first - (first % size), first - (first % size) + size - 1];
  }
  if (first === undefined || last === undefined || last < first || separator === '/')
    throw invalid({ network });
  return [first, last];
}

function addressOf(text: string): number | undefined {
  const parts = text.split('.').map(Number);
  const address = parts.reduce((sum, part) => sum * 256 + part, 0);
  const isOne = parts.length === 4 && parts.every((part) => part <= 255) && parts.join('.') === text;
  return isOne ? address : undefined;
}

function textOf([first, last]: Range): string {
  const text = (address: number): string =>
    [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
  const bits = Math.log2(last - first + 1);
  if (bits === 0) return text(first);
  return Number.isInteger(bits) && first % 2 ** bits === 0
    ? `${text(first)}/${32 - bits}`
    : `${text(first)}-${text(last)}`;
}

function invalid(rule: NetRule): RangeError {
  return new RangeError(JSON.stringify(rule));
}
