import fs from 'node:fs';

/**
 * Closes it. Some file systems (NFS, FUSE, one with quotas) tell only now that a write before has failed: that
 * goes to `tell`, and the descriptor is closed all the same.
 */
export function closeDescriptor(descriptor: number, tell: (error: unknown) => void): void {
  try {
    fs.closeSync(descriptor);
  } catch (error) {
    tell(error);
  }
}
