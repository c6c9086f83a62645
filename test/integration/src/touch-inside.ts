/**
 * Makes a file in a container by the operator's tool, which needs no daemon. (Writing into the writable layer
 * from outside is not seen inside.)
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

export function touchInside(containerPath: string, file: string): void {
  const { status, stderr } = spawnSync(
    path.join(containerPath, 'bin/wsh'),
    ['--socket', path.join(containerPath, 'run/wshd.sock'), '/bin/touch', file],
    { encoding: 'utf8', timeout: 20_000 },
  );
  if (status !== 0) throw new Error(`wsh touch ${file}: ${status} ${stderr}`);
}
