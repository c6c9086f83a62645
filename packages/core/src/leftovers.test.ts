import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Logger, NO_FAILPOINTS, silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Leftovers, type LeftoversOptions, REMOVED_DIRECTORY, SPARE_DIRECTORY } from './leftovers.ts';

const LONG = 10_000;
let depot: string;
beforeEach(() => {
  depot = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-leftovers-'));
});
afterEach(() => fs.rmSync(depot, { recursive: true, force: true }));

const make = (options: Partial<LeftoversOptions> = {}): Leftovers =>
  new Leftovers({ depot, logger: silentLogger, failpoints: NO_FAILPOINTS, ...options });

function container(id: string): string {
  const directory = path.join(depot, id);
  fs.mkdirSync(path.join(directory, 'tmp/rootfs'), { recursive: true });
  fs.writeFileSync(path.join(directory, 'tmp/rootfs/file'), 'written inside');
  return directory;
}

const aside = (): string[] => fs.readdirSync(path.join(depot, REMOVED_DIRECTORY));

describe('what a destroyed container leaves', () => {
  it('is out of the way at once, and removed behind the answer', async () => {
    const leftovers = make();
    const directory = container('1');
    const moved = leftovers.moveAside(directory)!;
    leftovers.begin(moved);
    expect(fs.existsSync(directory)).toBe(false);
    expect(fs.existsSync(moved)).toBe(true); // nothing is done in the same turn
    await leftovers.close(LONG);
    expect(aside()).toEqual([]);
  });

  it('is out of the reach of other users', () => {
    make().moveAside(container('1'));
    expect(fs.statSync(path.join(depot, REMOVED_DIRECTORY)).mode & 0o777).toBe(0o700);
  });

  it('does not meet what another container of that name has left', () => {
    const leftovers = make();
    expect(leftovers.moveAside(container('1'))).not.toBe(leftovers.moveAside(container('1')));
    expect(aside()).toHaveLength(2);
    expect(leftovers.moveAside(path.join(depot, '1'))).toBeUndefined();
  });

  it('stays where it is when it cannot be moved', () => {
    const directory = container('1');
    fs.writeFileSync(path.join(depot, REMOVED_DIRECTORY), 'in the way');
    expect(() => make().moveAside(directory)).toThrow();
    expect(fs.existsSync(path.join(directory, 'tmp/rootfs/file'))).toBe(true);
  });

  it('is what the next daemon goes on with', async () => {
    const left = make().moveAside(container('1'));
    const next = make();
    expect(next.list()).toEqual([left]);
    next.sweep();
    await next.close(LONG);
    expect(next.list()).toEqual([]);
  });

  it('is tried again', async () => {
    const error = vi.fn();
    const logger: Logger = { ...silentLogger, error };
    const removeTree = vi.fn(async (one: string) => {
      if (removeTree.mock.calls.length === 1) throw new Error('busy');
      fs.rmSync(one, { recursive: true });
    });
    const leftovers = make({ removeTree, logger });
    leftovers.begin(leftovers.moveAside(container('once'))!);
    await leftovers.close(LONG);
    expect([removeTree.mock.calls.length, error.mock.calls.length, aside()]).toEqual([2, 0, []]);
  });

  it('is followed by what has waited for it, which is tried again, too', async () => {
    const leftovers = make();
    const moved = leftovers.moveAside(container('1'))!;
    const seen: boolean[] = [];
    const remove = async (): Promise<void> => {
      seen.push(fs.existsSync(moved));
      if (seen.length === 1) throw new Error('busy');
    };
    leftovers.begin(moved, { what: { id: '1' }, remove });
    await leftovers.close(LONG);
    expect(seen).toEqual([false, false]);
  });

  it('holds up nothing that has waited for it, when it stays or was never there', async () => {
    const error = vi.fn();
    const logger: Logger = { ...silentLogger, error };
    const leftovers = make({ removeTree: () => Promise.reject(new Error('never')), logger });
    const remove = vi.fn(() => Promise.reject(new Error('neither')));
    await leftovers.close(0);
    leftovers.begin(leftovers.moveAside(container('1')), { what: { id: '1' }, remove });
    leftovers.begin(undefined, { what: { id: '2' }, remove });
    await leftovers.close(LONG);
    expect(remove).toHaveBeenCalledTimes(2);
    expect(error.mock.calls.map(([, fields]) => fields)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ directory: expect.stringContaining('1-') }),
        expect.objectContaining({ id: '1' }),
        expect.objectContaining({ id: '2' }),
      ]),
    );
  });

  it('is told of when it stays, and an ending daemon does not try again', async () => {
    const error = vi.fn();
    const logger: Logger = { ...silentLogger, error };
    const leftovers = make({ removeTree: () => Promise.reject(new Error('never')), logger });
    leftovers.begin(leftovers.moveAside(container('1'))!);
    await leftovers.close(1);
    await vi.waitFor(() => expect(error).toHaveBeenCalledTimes(1), LONG);
    expect(error).toHaveBeenCalledWith('leftover-not-removed', expect.anything());
    expect(aside()).toHaveLength(1);
  });

  it('waits for the disk when too much waits already', async () => {
    let release: (() => void) | undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const leftovers = make({ removeTree: () => held });
    for (let at = 0; at < 64; at++) {
      expect(leftovers.isFull).toBe(false);
      leftovers.begin(`${depot}/${at}`);
    }
    expect(leftovers.isFull).toBe(true);
    release!();
    await leftovers.close(LONG);
    expect(leftovers.isFull).toBe(false);
  });

  it('holds up an ending daemon only so long', async () => {
    const leftovers = make({ removeTree: () => new Promise(() => {}) });
    leftovers.begin(leftovers.moveAside(container('1'))!);
    await leftovers.close(20);
    expect(aside()).toHaveLength(1);
  });
});

describe('what the next container begins with', () => {
  const spares = (): string[] => fs.readdirSync(path.join(depot, SPARE_DIRECTORY));
  const strip = async (directory: string, target: string): Promise<boolean> => {
    fs.rmSync(path.join(directory, 'tmp/rootfs'), { recursive: true });
    fs.renameSync(directory, target);
    return true;
  };
  const settled = async (leftovers: Leftovers): Promise<void> => {
    for (const id of Array.from({ length: 10 }, (_, at) => String(at)))
      leftovers.begin(leftovers.moveAside(container(id)));
    await vi.waitFor(() => expect(aside()).toEqual([]));
  };

  it('is what some of the others have left, each once', async () => {
    const leftovers = make();
    leftovers.spare(strip);
    expect(leftovers.take(path.join(depot, 'first'))).toBe(false);
    await settled(leftovers);
    expect(spares()).toHaveLength(8);
    for (let i = 0; i < 8; i++) expect(leftovers.take(path.join(depot, `next-${i}`))).toBe(true);
    expect(leftovers.take(path.join(depot, 'last'))).toBe(false);
    expect([spares(), fs.readdirSync(path.join(depot, 'next-0'))]).toEqual([[], ['tmp']]);
    await leftovers.close(LONG);
  });

  it('is nothing where what is left is not like the others', async () => {
    const leftovers = make();
    leftovers.spare(async () => false);
    await settled(leftovers);
    expect([spares(), leftovers.take(path.join(depot, 'next'))]).toEqual([[], false]);
    await leftovers.close(LONG);
  });

  it('goes with its daemon, and what was left by one that was killed with the next', async () => {
    const killed = make();
    killed.spare(strip);
    await settled(killed);
    const next = make();
    expect(next.list()).toHaveLength(8);
    next.sweep();
    next.spare(strip);
    await vi.waitFor(() => expect(next.list().every((one) => one.includes(SPARE_DIRECTORY))).toBe(true));
    await next.close(LONG);
    expect([aside(), spares()]).toEqual([[], []]);
  });
});
