/**
 * Where the host's core_pattern names a socket (Linux 6.16), the kernel hands it the core file of whatever
 * crashes inside. For a program that it names a limit of 1 forbids that; for a socket the kernel asks no
 * limit, and no namespace is without it.
 */
import fs from 'node:fs';
import type { Logger } from '@warden/interface';
import { type Configuration, isInsecure } from './config.ts';

export interface CoreSocket {
  readonly pattern: string;
  readonly means: string;
  readonly advice: string;
}

/** Undefined where there is none, or nobody may look. */
export function coreSocket(): CoreSocket | undefined {
  let pattern: string;
  try {
    pattern = fs.readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim();
  } catch {
    return undefined;
  }
  if (!pattern.startsWith('@')) return undefined;
  return {
    pattern,
    means: 'that socket of the host is handed the core files of jobs, whatever limit they have',
    advice:
      'set the sysctl kernel.core_pattern to a file or a program (|...), or make sure that who serves the socket distrusts what comes from containers',
  };
}

/** Warns of it. */
export function checkCoreSocket(configuration: Configuration, logger: Logger): void {
  const found = isInsecure(configuration) ? undefined : coreSocket();
  if (found !== undefined) logger.warn('core-files-to-a-socket', { ...found });
}
