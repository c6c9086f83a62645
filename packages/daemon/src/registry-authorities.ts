/**
 * The authorities that registries' certificates may be of, besides those that everybody knows: a file of the
 * operator's.
 */
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import { WardenError } from '@warden/interface';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/**
 * The file's text. What TLS could not read it would pass over, and every pull fail for it. Errors:
 * `INVALID_SPEC` naming the key.
 */
export function registryAuthorities(file: string | null | undefined): string | undefined {
  if (!file) return undefined;
  try {
    const text = fs.readFileSync(file, 'utf8');
    const found = text.match(CERTIFICATE);
    if (found === null) throw new Error(`${file} holds no certificate in PEM form`);
    for (const one of found) check(one, file);
    return text;
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', `images.certificates: ${(cause as Error).message}`, {
      cause,
      fields: { object: file },
    });
  }
}

function check(certificate: string, file: string): void {
  try {
    new X509Certificate(certificate);
  } catch (cause) {
    throw new Error(`a certificate in ${file} is damaged: ${(cause as Error).message}`, { cause });
  }
}
