/** Authorities and certificates of tests' own, so that TLS can be tried without any that counts outside. */
import { createSign, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';

/** What a server needs, as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Signs certificates. */
export interface Authority {
  /** Its own certificate, as PEM: who has it believes what it signs. */
  readonly cert: string;
  /** For these names and IPv4 addresses; `days` from now, the past for one that is over. */
  issue(names: readonly string[], days?: number): Certificate;
}

const ECDSA_WITH_SHA256 = [1, 2, 840, 10045, 4, 3, 2];
const COMMON_NAME = [2, 5, 4, 3];
const SUBJECT_ALTERNATIVE_NAME = [2, 5, 29, 17];
const BASIC_CONSTRAINTS = [2, 5, 29, 19];
const DAY_MS = 86_400_000;

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const octets = (...parts: readonly Uint8Array[]): Buffer => der(0x04, ...parts);
const bits = (bytes: Uint8Array): Buffer => der(0x03, Buffer.of(0), bytes);

function identifier([first = 0, second = 0, ...rest]: readonly number[]): Buffer {
  const base128 = (value: number): number[] => {
    const digits = [value & 0x7f];
    for (let left = value >> 7; left > 0; left >>= 7) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  };
  return der(0x06, Buffer.of(first * 40 + second, ...rest.flatMap(base128)));
}

function name(text: string): Buffer {
  return sequence(der(0x31, sequence(identifier(COMMON_NAME), der(0x0c, Buffer.from(text)))));
}

function time(at: number): Buffer {
  return der(0x18, Buffer.from(new Date(at).toISOString().replace(/[-:T]|\.\d+/g, '')));
}

function extension(of: readonly number[], value: Uint8Array): Buffer {
  return sequence(identifier(of), octets(value));
}

function alternative(text: string): Buffer {
  return /^[\d.]+$/.test(text)
    ? der(0x87, Buffer.from(text.split('.').map(Number)))
    : der(0x82, Buffer.from(text));
}

interface Content {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
  readonly until: number;
}

function signed({ subject, issuer, publicKey, extensions, until }: Content, key: KeyObject): string {
  const algorithm = sequence(identifier(ECDSA_WITH_SHA256));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1, ...randomBytes(8))),
    algorithm,
    name(issuer),
    sequence(time(Math.min(Date.now(), until) - DAY_MS), time(until)),
    name(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const whole = sequence(body, algorithm, bits(createSign('sha256').update(body).sign(key)));
  const lines = whole.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** Makes one that nobody knows yet. */
export function makeAuthority(issuer: string): Authority {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const isAuthority = extension(BASIC_CONSTRAINTS, sequence(der(0x01, Buffer.of(0xff))));
  const until = Date.now() + DAY_MS;
  const { publicKey, privateKey } = own;
  return {
    cert: signed({ subject: issuer, issuer, publicKey, extensions: [isAuthority], until }, privateKey),
    issue: (names, days = 1) => {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const content: Content = {
        ...{ subject: names[0] ?? 'nobody', issuer, publicKey: pair.publicKey },
        extensions: [extension(SUBJECT_ALTERNATIVE_NAME, sequence(...names.map(alternative)))],
        until: Date.now() + days * DAY_MS,
      };
      return {
        cert: signed(content, privateKey),
        key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}
