import { describe, expect, it } from 'vitest';
import { ContainerIds } from './container-id.ts';

const numberOf = (id: string): bigint =>
  [...id].reduce((value, digit) => value * 32n + BigInt(Number.parseInt(digit, 32)), 0n);

describe('container ids (spec behaviour.md 4.1)', () => {
  it('begin one above the microseconds since the epoch, and count on', () => {
    const before = BigInt(Date.now()) * 1_000n;
    const ids = new ContainerIds();
    const after = BigInt(Date.now()) * 1_000n;
    const first = numberOf(ids.next());
    expect(first).toBeGreaterThan(before);
    expect(first).toBeLessThanOrEqual(after + 1n);
    expect(numberOf(ids.next())).toBe(first + 1n);
  });

  it.each([
    [1_795_424_222_253_216n, '1j0tn3fq451'],
    [0n, '00000000001'],
    [2n ** 55n - 2n, 'vvvvvvvvvvv'],
    [2n ** 55n - 1n, '00000000000'],
  ])('after %s have eleven digits of base 32, the highest first: %s', (now, id) =>
    expect(new ContainerIds(now).next()).toBe(id),
  );
});
