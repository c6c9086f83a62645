import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Connection } from './connection.ts';
import { ConnectionPool } from './connection-pool.ts';

/** A connection that nothing is sent on. */
function idleConnection(): Connection {
  const connection = {
    isAlive: true,
    isIdle: true,
    isSpent: false,
    onEnd: undefined as ((reason: unknown) => void) | undefined,
    destroy(reason: unknown) {
      if (!connection.isAlive) return;
      connection.isAlive = false;
      connection.onEnd?.(reason);
    },
  };
  return connection as unknown as Connection;
}

describe('what home references', () => {
  const HANDLES = 10_001;
  let pool: ConnectionPool;
  let home: Connection;
  beforeEach(async () => {
    vi.useFakeTimers();
    pool = new ConnectionPool({ open: async () => idleConnection(), maxConnections: 4, idleMs: 1_000 });
    home = await pool.home();
    for (let at = 0; at < HANDLES; at++) pool.keepAtHome(`h${at}`, home);
  });
  afterEach(() => {
    pool.close();
    vi.useRealTimers();
  });

  /** Whether a lane that has named it outlives its rest. */
  async function isKept(handle: string): Promise<boolean> {
    const { connection, release } = await pool.acquire({ handle });
    release();
    vi.advanceTimersByTime(1_000);
    return connection.isAlive;
  }

  it('is remembered of so many handles, and others get a keeper: those made elsewhere, and the oldest', async () => {
    expect(await isKept('h1')).toBe(false);
    expect(await isKept(`h${HANDLES - 1}`)).toBe(false);
    expect(await isKept('elsewhere')).toBe(true);
    expect(await isKept('h0')).toBe(true);
    pool.forget('h1');
    expect(await isKept('h1')).toBe(true);
  });

  it('is nothing any more when home has ended', async () => {
    home.destroy(undefined as never);
    expect(await isKept('h5')).toBe(true);
    pool.keepAtHome('h6', home);
    expect(await isKept('h6')).toBe(true);
  });
});
