/** Memory for what clients have sent and nobody has worked off, shared by all of them. */
import { WardenError } from '@warden/interface';

/** So much a connection may hold in any case: small requests are taken however much others send. */
const FREE_BYTES = 64 * 1024;

/** The whole server's. */
export class ByteBudget {
  readonly limit: number;
  #used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** One connection's part of it. */
  open(): BudgetShare {
    let held = 0;
    return {
      set: (bytes) => {
        const counted = Math.max(0, bytes - FREE_BYTES);
        const grows = counted > held;
        this.#used += counted - held;
        held = counted;
        if (grows && this.#used > this.limit) throw exhausted(this.#used, this.limit);
      },
    };
  }
}

/** See {@link ByteBudget.open}. */
export interface BudgetShare {
  /**
   * Notes what the connection holds now. Errors: `UNAVAILABLE` when that is too much for all together; it is
   * noted all the same.
   */
  set(bytes: number): void;
}

function exhausted(used: number, limit: number): WardenError {
  return new WardenError(
    'UNAVAILABLE',
    `clients send more than the daemon holds at a time: ${used} bytes of ${limit}; repeat the request when others have been answered`,
    { fields: { operation: 'receive', used, limit } },
  );
}
