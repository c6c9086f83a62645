/** The addresses of links that this driver knows to live, at both ends, and whose containers they are. */
import type { ContainerId, NetworkSpec } from '@warden/interface';
import { parseAddress } from './ipv4-address.ts';

/** See the file's head. */
export class LivingAddresses {
  readonly #owners = new Map<number, ContainerId>();
  readonly #ends = new Set<number>();

  get isEmpty(): boolean {
    return this.#owners.size === 0;
  }

  add(spec: NetworkSpec): void {
    for (const address of endsOf(spec)) this.#ends.add(address);
    this.#owners.set(parseAddress(spec.containerIp), spec.id);
  }

  remove(spec: NetworkSpec): void {
    for (const address of endsOf(spec)) this.#ends.delete(address);
    this.#owners.delete(parseAddress(spec.containerIp));
  }

  /** Whose container has the address; nobody's is one of the host's ends. */
  ownerOf(address: number): ContainerId | undefined {
    return this.#owners.get(address);
  }

  /** The container's end of each. */
  byContainer(): ReadonlyMap<ContainerId, number> {
    return new Map(Array.from(this.#owners, ([address, id]) => [id, address]));
  }

  /** Whether it is at either end of a link. */
  has(address: number): boolean {
    return this.#ends.has(address);
  }
}

function endsOf({ hostIp, containerIp }: NetworkSpec): readonly number[] {
  return [parseAddress(hostIp), parseAddress(containerIp)];
}
