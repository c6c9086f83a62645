// A daemon from nothing to its first answer: as on a host, where an earlier start has compiled the program,
// and as the very first one.
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { COMPILED, startDaemon } from '../lib/daemon.mjs';

const KEPT_WITHIN_MS = 5_000;

export async function measureStarts({ samples, place, isShort }) {
  const start = async (name) => {
    const daemon = await startDaemon(place(name), { watchesLoop: false });
    await daemon.stop();
    return daemon.startedMs;
  };
  const isKept = await keepCompiled(place('start-and-keep'));
  const aside = `${COMPILED}.aside`;
  for (let i = 0; i < (isShort ? 5 : 50); i++) {
    samples.add('cold start ms', await start(`start-${i}`));
    if (!isKept) continue;
    fs.renameSync(COMPILED, aside);
    samples.add('very first start ms', await start(`first-start-${i}`));
    fs.renameSync(aside, COMPILED);
  }
}

/**
 * What an earlier start has left may be of another source. False where nothing is kept: in a checkout of
 * somebody who is not who measures.
 */
async function keepCompiled(place) {
  fs.rmSync(COMPILED, { force: true });
  const daemon = await startDaemon(place, { watchesLoop: false });
  for (const deadline = Date.now() + KEPT_WITHIN_MS; !fs.existsSync(COMPILED); await delay(50))
    if (Date.now() > deadline) break;
  await daemon.stop();
  return fs.existsSync(COMPILED);
}
