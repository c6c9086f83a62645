import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer } from '@warden/client';

/** The host's pid of a container's init. */
export async function initOf(box: ClientContainer): Promise<number> {
  const { containerPath } = await box.info();
  return Number(fs.readFileSync(path.join(containerPath!, 'run/wshd.pid'), 'utf8'));
}
