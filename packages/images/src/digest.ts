/** Digests as the image specification writes them: `algorithm:hex`. */
import { createHash, type Hash } from 'node:crypto';
import { invalid, told } from './failure.ts';

const LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** A digest that is one: its text is safe as a part of a path. */
export interface Digest {
  readonly text: string;
  readonly algorithm: string;
  readonly hex: string;
}

/** Errors: `INVALID_SPEC`. */
export function parseDigest(value: unknown, what: string): Digest {
  const [, algorithm, hex] =
    /^(sha256|sha512):([0-9a-f]{64,128})$/.exec(typeof value === 'string' ? value : '') ?? [];
  if (algorithm === undefined || hex!.length !== LENGTHS[algorithm])
    throw invalid(`${what} is no digest: ${told(value, 200)}`, { object: what });
  return { text: value as string, algorithm, hex: hex! };
}

/** Collects bytes and compares in the end. */
export class DigestCheck {
  readonly #expected: Digest;
  readonly #hash: Hash;
  /** Bytes so far. */
  bytes = 0;

  constructor(expected: Digest) {
    this.#expected = expected;
    this.#hash = createHash(expected.algorithm);
  }

  update(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
  }

  /** Errors: `INVALID_SPEC` naming both. Callable once. */
  finish(what: string): void {
    const found = this.#hash.digest('hex');
    if (found === this.#expected.hex) return;
    throw invalid(
      `${what} does not have its digest: expected ${this.#expected.text}, found ${this.#expected.algorithm}:${found}`,
      {
        object: this.#expected.text,
        found,
      },
    );
  }
}

/** The digest of bytes that are there. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
