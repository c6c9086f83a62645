/**
 * The shell for `hook-child-after-pivot.sh`. That hook runs in the container's root, where every program,
 * interpreter and library is the image's; so its script is read by a shell of the host that needs none of
 * them: a static one, passed by descriptor.
 */
import { closeSync, openSync, readSync, realpathSync } from 'node:fs';
import { WardenError } from '@warden/interface';

/** In this order: busybox brings mount, mkdir and the rest with it, which no other program could do there. */
const CANDIDATES = ['/bin/busybox', '/usr/bin/busybox', '/bin/bash-static', '/usr/bin/bash-static'];
const PT_INTERP = 3;

/** The configured shell, else the first static one of the host. Errors: `UNSUPPORTED` naming what to do. */
export function findHookShell(configured: string | undefined): string {
  const found = (configured === undefined ? CANDIDATES : [configured]).find(isStaticProgram);
  if (found !== undefined) return realpathSync(found);
  const reason =
    configured === undefined
      ? 'none was found: install busybox-static, or name one as drivers.hook_shell'
      : `${configured} is none`;
  throw new WardenError(
    'UNSUPPORTED',
    `hook-child-after-pivot.sh needs a static shell of the host, and ${reason}`,
    { fields: { operation: 'setup', object: configured ?? CANDIDATES[0] } },
  );
}

/** An ELF file of 64 bits that names no interpreter. Anything else, and what cannot be read, is none. */
export function isStaticProgram(path: string): boolean {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const header = Buffer.alloc(64);
    if (readSync(fd, header, 0, 64, 0) !== 64 || header.toString('latin1', 0, 5) !== '\x7fELF\x02')
      return false;
    const [offset, size, count] = [
      Number(header.readBigUInt64LE(32)),
      header.readUInt16LE(54),
      header.readUInt16LE(56),
    ];
    const table = Buffer.alloc(size * count);
    if (size < 4 || readSync(fd, table, 0, table.length, offset) !== table.length) return false;
    return !Array.from({ length: count }, (_, at) => table.readUInt32LE(at * size)).includes(PT_INTERP);
  } catch {
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
