/**
 * Why an ended job ended, in `jobs/<id>/verdict` of its container's directory, for as long as nobody has taken
 * its result: init knows the status alone, and a later daemon neither who killed it for what, nor what its
 * container had been through by then.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ExitVerdict } from '@warden/interface';
import { readStateFile } from './state-file.ts';

const FILE = 'verdict';

/** Errors: those of the file. */
export function noteVerdict(directory: string, verdict: ExitVerdict): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o755 });
  const file = path.join(directory, FILE);
  fs.writeFileSync(`${file}.new`, JSON.stringify(verdict), { mode: 0o600 });
  fs.renameSync(`${file}.new`, file);
}

/** What an earlier daemon has noted, if it has. */
export function notedVerdict(directory: string): ExitVerdict | undefined {
  try {
    const noted = JSON.parse(readStateFile(path.join(directory, FILE))) as ExitVerdict;
    return typeof noted.reason === 'string' ? noted : undefined;
  } catch {
    return undefined;
  }
}
