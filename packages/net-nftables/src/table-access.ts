/** The driver's sockets, and what its table is known to hold. */
import { WardenError } from '@warden/interface';
import { failure } from './failure.ts';
import { type Inventory, readInventory, tableIdentity } from './inventory.ts';
import type { KernelAccess } from './kernel-access.ts';
import { isKernelError, NetlinkConnection, PatientConnection } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';
import type { TableMessages } from './nftables-message.ts';

/** With fewer chains, and fewer changes, a transaction takes no longer than to have a thread do it. */
const MANY_CHAINS = 100;
const MANY_CHANGES = 100;

/** One transaction. Errors: `NATIVE_FAILED` naming operation and object; the inventory is read again then. */
export type CommitOf = (operation: string, object: string, changes: readonly MessageBody[]) => Promise<void>;

/** See the file's head. Nothing is opened before it is needed. */
export class TableAccess implements KernelAccess {
  /** The address at which the table publishes ports; of what is not known, nothing. */
  published: number | undefined;
  readonly #table: TableMessages;
  #connection: NetlinkConnection | undefined;
  #patientConnection: PatientConnection | undefined;
  #inventory: Inventory | undefined;
  #identity: string | undefined;

  constructor(table: TableMessages) {
    this.#table = table;
  }

  netlink(): NetlinkConnection {
    this.#connection ??= NetlinkConnection.open();
    return this.#connection;
  }

  /** For what the kernel may take its time for while others are to be served. */
  patient(): PatientConnection {
    this.#patientConnection ??= PatientConnection.open();
    return this.#patientConnection;
  }

  containers(): Inventory {
    this.#inventory ??= readInventory(this.netlink(), this.#table);
    return this.#inventory;
  }

  /** What containers have in the table is read again when it is asked for next. */
  forgetContainers(): void {
    this.#inventory = undefined;
  }

  /** From now on the table that is there is this driver's. */
  adoptTable(): void {
    this.#identity = tableIdentity(this.netlink(), this.#table);
  }

  /** Whether the table that was adopted is gone, or another one has its name. Errors: `NATIVE_FAILED`. */
  isTableLost(): boolean {
    return this.#identity !== undefined && tableIdentity(this.netlink(), this.#table) !== this.#identity;
  }

  /** On the event loop, for what is rare or has its own part of the table. */
  commit(operation: string, object: string, changes: readonly MessageBody[]): void {
    try {
      this.netlink().commit(changes);
    } catch (cause) {
      this.#doubt();
      throw this.#failure(operation, object, cause);
    }
  }

  /**
   * For what others wait for meanwhile: on a thread where the kernel has the chains of many containers to
   * look at, or many rules to make. `change` is called when all changes that were asked for before are made
   * and noted, so that it knows what is there. What it notes itself it notes in the inventory of that moment,
   * which may be another one than before.
   */
  inTurn<T>(change: (commit: CommitOf) => Promise<T>): Promise<T> {
    return this.patient().inTurn((commit) =>
      change(async (operation, object, changes) => {
        try {
          const { chains, limits, askers } = this.containers();
          const isShort =
            chains.size + limits.size + askers.size < MANY_CHAINS && changes.length < MANY_CHANGES;
          if (isShort) this.netlink().commit(changes);
          else await commit(changes);
        } catch (cause) {
          this.#doubt();
          throw this.#failure(operation, object, cause);
        }
      }),
    );
  }

  async close(): Promise<void> {
    const patient = this.#patientConnection;
    this.#patientConnection = undefined;
    await patient?.close();
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** The kernel has the same words for a table that is missing and for anything in it. */
  #failure(operation: string, object: string, cause: unknown): WardenError {
    const error = failure(operation, object, cause);
    if (!isKernelError(cause, 'ENOENT') || !this.isTableLost()) return error;
    return new WardenError(
      'NATIVE_FAILED',
      `${operation} ${object}: another program has removed the nftables table inet ${this.#table.table}, which is about to be put back; try again in a second`,
      { cause, fields: error.fields },
    );
  }

  /** Whatever was thought to be in the kernel may not be: look again before the next change. */
  #doubt(): void {
    this.forgetContainers();
    this.published = undefined;
  }
}
