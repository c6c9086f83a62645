/** The program as a child process. It runs from dist, since a child knows no TypeScript; the build is incremental. */
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const PACKAGE: string = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const PROGRAM: string = path.join(PACKAGE, 'bin/warden.js');

/** For `beforeAll`. */
export function buildProgram(): void {
  const typescript = path.dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  execFileSync(process.execPath, [
    path.join(typescript, 'bin/tsc'),
    '-b',
    path.join(PACKAGE, 'tsconfig.json'),
  ]);
}
