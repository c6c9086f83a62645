/** What the parts of the driver share: the sockets, what the table is known to hold, and how it is changed. */
import type { Inventory } from './inventory.ts';
import type { NetlinkConnection } from './netlink-connection.ts';
import type { MessageBody } from './netlink-message.ts';

/** See the file's head. */
export interface KernelAccess {
  netlink(): NetlinkConnection;
  /** Read from the kernel when it is not known. */
  containers(): Inventory;
  /** One transaction. Errors: `NATIVE_FAILED` naming operation and object; the inventory is read again then. */
  commit(operation: string, object: string, changes: readonly MessageBody[]): void;
}
