import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { claimDepot } from './depot.ts';

const [LINUX, INSECURE] = ['Warden::Container::Linux', 'Warden::Container::Insecure'];

describe('the mark of a depot', () => {
  let depot: string;
  const mark = (): string => path.join(depot, '.backend');
  beforeEach(() => {
    depot = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-depot-'));
    claimDepot(depot, LINUX);
    fs.mkdirSync(path.join(depot, '1j1e29ie3sh'));
  });
  afterEach(() => fs.rmSync(depot, { recursive: true }));

  it('keeps one backend from the containers of the other', () => {
    expect(() => claimDepot(depot, INSECURE)).toThrow(`holds containers of ${LINUX}`);
    claimDepot(depot, LINUX);
    fs.rmSync(path.join(depot, '1j1e29ie3sh'), { recursive: true });
    claimDepot(depot, INSECURE);
    expect(fs.readFileSync(mark(), 'utf8')).toBe(`${INSECURE}\n`);
  });

  it.each(['', '\0'.repeat(25)])('that a power failure has left as %j is in nobody’s way', (content) => {
    fs.writeFileSync(mark(), content);
    claimDepot(depot, LINUX);
    expect(fs.readFileSync(mark(), 'utf8')).toBe(`${LINUX}\n`);
  });
});
