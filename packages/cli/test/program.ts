/** The program as a child process: what `npm run build` has made, since a child knows no TypeScript. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const PACKAGE: string = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const PROGRAM: string = path.join(PACKAGE, 'bin/warden.js');
