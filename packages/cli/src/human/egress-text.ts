/** Egress rules as they are typed and shown: `[PROTOCOL:]DESTINATION[:PORTS]`. */
import { isPort, type NetOutSpec, noPort, noPortRange } from '@warden/interface';
import { CommandError } from '../command-error.ts';
import { shown } from './shown.ts';

/** Any address. */
const ANY = 'any';
/** The same for the daemon, which takes a rule without a port only with a destination. */
const ANY_NETWORK = '0.0.0.0/0';
const FORM =
  'write [PROTOCOL:]DESTINATION[:PORTS], as 192.0.2.0/24:443, udp:192.0.2.53:53, registry.example.org:443 or any:8000-8010';

/** Errors: `CommandError`. Whether there are such networks and names is the daemon's to say. */
export function parseEgress(text: string, log = false): NetOutSpec {
  const match = /^(?:(tcp|udp|icmp|all):)?([^:]+)(?::([^:.]+))?$/.exec(text);
  if (match === null) throw new CommandError(`'${shown(text)}' is no egress rule; ${FORM}`);
  const [, protocol = 'tcp', destination = '', detail] = match;
  return {
    protocol: protocol as NonNullable<NetOutSpec['protocol']>,
    ...destinationOf(destination, detail !== undefined && protocol !== 'icmp'),
    ...(detail !== undefined && detailOf(detail, protocol, text)),
    ...(log && { log }),
  };
}

function destinationOf(text: string, hasPorts: boolean): NetOutSpec {
  if (text === ANY) return hasPorts ? {} : { network: ANY_NETWORK };
  if (/^[\d./-]+$/.test(text)) return { network: text };
  const [domain = '', network] = text.split('@', 2);
  return { domain, ...(network !== undefined && { network }) };
}

function detailOf(detail: string, protocol: string, text: string): NetOutSpec {
  try {
    return protocol === 'icmp' ? icmpOf(detail) : portsOf(detail);
  } catch (error) {
    throw error instanceof CommandError ? new CommandError(`'${shown(text)}': ${error.message}`) : error;
  }
}

function icmpOf(detail: string): NetOutSpec {
  const match = /^([0-9]+)(?:\/([0-9]+))?$/.exec(detail);
  if (match === null) throw new CommandError('of ICMP there are TYPE and TYPE/CODE');
  return { icmpType: Number(match[1]), ...(match[2] !== undefined && { icmpCode: Number(match[2]) }) };
}

function portsOf(detail: string): NetOutSpec {
  // perhaps no port was meant, but a protocol that there is not
  if (/[^0-9/-]/.test(detail)) throw new CommandError(`${noPort(shown(detail))}; ${FORM}`);
  if (/^[0-9]+$/.test(detail)) {
    if (!isPort(Number(detail))) throw new CommandError(noPort(detail));
    return { port: Number(detail) };
  }
  const ends = /^([0-9]+)-([0-9]+)$/.exec(detail);
  const [first, last] = [Number(ends?.[1]), Number(ends?.[2])];
  if (!isPort(first) || !isPort(last) || first >= last)
    throw new CommandError(noPortRange(detail, 'FIRST-LAST'));
  return { portRange: `${first}:${last}` };
}

/** What {@link parseEgress} takes. */
export function egressText({ protocol = 'tcp', network, domain, ...rest }: NetOutSpec): string {
  const { port, portRange, icmpType, icmpCode } = rest;
  const isAny = network === ANY_NETWORK && port === undefined && portRange === undefined;
  const place = isAny ? ANY : (network ?? ANY);
  const destination = domain === undefined ? place : [domain, network].filter(Boolean).join('@');
  const details = [
    portRange?.replace(':', '-') ?? port,
    icmpType === undefined || icmpCode === undefined ? icmpType : `${icmpType}/${icmpCode}`,
  ].filter((detail) => detail !== undefined);
  return shown([protocol, destination, ...details].join(':'));
}
