/** What the doctor says of the root file system that containers get which name none of their own. */
import fs from 'node:fs';
import path from 'node:path';
import { toWardenError } from '@warden/interface';
import { isDirectory } from './check-host.ts';
import { DEFAULT_ROOTFS, defaultRootfsPrograms, hasDefaultRootfs } from './default-rootfs.ts';
import type { Finding } from './survey.ts';

/**
 * Without a configured one it is the one that a daemon makes at its start: there already, or looked for what
 * it would be made of, by `programs`. Makes nothing. Never throws.
 */
export function findingOfRootfs(
  configured: string | undefined,
  byDefault: string = DEFAULT_ROOTFS,
  programs: typeof defaultRootfsPrograms = defaultRootfsPrograms,
): Finding {
  if (configured !== undefined) return ofConfigured(configured);
  const subject = `root file system ${byDefault}`;
  if (hasDefaultRootfs(byDefault)) return { subject, ok: true, found: 'has /bin/bash' };
  try {
    const { busybox, bash } = programs();
    return { subject, ok: true, found: `to be made of ${busybox} and ${bash}` };
  } catch (error) {
    return {
      subject,
      ok: false,
      found: 'cannot be made',
      advice: toWardenError(error).message,
      isNeeded: true,
    };
  }
}

function ofConfigured(rootfs: string): Finding {
  const subject = `root file system ${rootfs}`;
  if (fs.existsSync(path.join(rootfs, 'bin/sh'))) return { subject, ok: true, found: 'has /bin/sh' };
  const isThere = isDirectory(rootfs);
  return {
    subject,
    ok: false,
    found: isThere ? 'has no /bin/sh' : 'no directory',
    advice: `make one with warden rootfs build ${rootfs}, or name another by server.container_rootfs_path`,
    isNeeded: !isThere, // the daemon would not start
  };
}
