import { checkChoice, checkPath, checkUint32, checkUint64 } from './argument-checks.ts';
import { native } from './load-library.ts';
import { checked } from './native-failure.ts';

/** USRQUOTA and PRJQUOTA. */
const KINDS = { user: 0, project: 2 } as const;

/** Limits in blocks of 1024 bytes and in inodes; 0 = unlimited. */
export interface QuotaLimits {
  readonly blockSoft: bigint;
  readonly blockHard: bigint;
  readonly inodeSoft: bigint;
  readonly inodeHard: bigint;
}

/** Limits and what is used of them: `bytes` are bytes. */
export interface QuotaRecord extends QuotaLimits {
  readonly bytes: bigint;
  readonly inodes: bigint;
}

/**
 * The quota record of a user or project on the file system that holds `path`. Errors: `ENOSYS`, `ESRCH` or `EOPNOTSUPP`
 * when the file system keeps no such quota; `ENOENT` when it has no record of this id.
 */
export function quotaGet(path: string, kind: 'user' | 'project', id: number): QuotaRecord {
  const values = new BigUint64Array(6);
  const kindNumber = checkChoice(kind, 'kind', KINDS);
  checked(
    native().warden_quota_get(checkPath(path), kindNumber, checkUint32(id, 'id'), values),
    'quota-get',
    path,
  );
  const [blockSoft, blockHard, inodeSoft, inodeHard, bytes, inodes] = values as unknown as [
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  return { blockSoft, blockHard, inodeSoft, inodeHard, bytes, inodes };
}

/** Sets all four limits; usage and grace times stay the kernel's. Errors as {@link quotaGet}, and `ERANGE`. */
export function quotaSet(path: string, kind: 'user' | 'project', id: number, limits: QuotaLimits): void {
  const kindNumber = checkChoice(kind, 'kind', KINDS);
  const values = BigUint64Array.of(
    checkUint64(limits.blockSoft, 'blockSoft'),
    checkUint64(limits.blockHard, 'blockHard'),
    checkUint64(limits.inodeSoft, 'inodeSoft'),
    checkUint64(limits.inodeHard, 'inodeHard'),
  );
  checked(
    native().warden_quota_set(checkPath(path), kindNumber, checkUint32(id, 'id'), values),
    'quota-set',
    path,
  );
}

/**
 * Puts a file or directory into a project; what is made below a directory afterwards inherits it. Works in the initial
 * user namespace only. Errors: `EOPNOTSUPP` or `ENOTTY` when the file system has no projects.
 */
export function setProjectId(path: string, projectId: number): void {
  checked(
    native().warden_set_project(checkPath(path), checkUint32(projectId, 'projectId')),
    'set-project',
    path,
  );
}
