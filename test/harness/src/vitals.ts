/** What a daemon under test tells of itself: how late its event loop was, and what it holds in memory. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { patience } from './patience.ts';

const INSIDE = fileURLToPath(new URL('../inside/vitals.mjs', import.meta.url));

/** Bytes, after a collection of garbage, and milliseconds since the question before. */
export interface Vitals {
  readonly loop: { readonly max: number; readonly p99: number; readonly median: number };
  readonly heapUsed: number;
  readonly external: number;
  readonly arrayBuffers: number;
  readonly rss: number;
  /** Timers, sockets and requests that keep its loop. */
  readonly resources: number;
}

/** How a process is started so that it can be asked, and how to ask. */
export interface VitalsProbe {
  readonly environment: Readonly<Record<string, string>>;
  read(pid: number): Promise<Vitals>;
}

/** For a Node process whose answer goes into `directory`. */
export function vitalsProbe(directory: string): VitalsProbe {
  const file = path.join(directory, 'vitals.json');
  return {
    environment: { NODE_OPTIONS: `--import ${INSIDE}`, WARDEN_TEST_VITALS: file },
    read: async (pid) => {
      fs.rmSync(file, { force: true });
      process.kill(pid, 'SIGPWR');
      const deadline = Date.now() + patience(60_000);
      while (!fs.existsSync(file)) {
        if (Date.now() > deadline) throw new Error(`process ${pid} does not tell of itself`);
        await delay(5);
      }
      return JSON.parse(fs.readFileSync(file, 'utf8')) as Vitals;
    },
  };
}
