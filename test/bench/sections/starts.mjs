// A daemon from nothing to its first answer.
import { startDaemon } from '../lib/daemon.mjs';

export async function measureStarts({ samples, place, isShort }) {
  for (let i = 0; i < (isShort ? 5 : 20); i++) {
    const daemon = await startDaemon(place(`start-${i}`), { watchesLoop: false });
    samples.add('cold start ms', daemon.startedMs);
    await daemon.stop();
  }
}
