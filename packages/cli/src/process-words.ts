/** The program's words as the bytes they were given as. */
import { readFileSync } from 'node:fs';
import { decodeBytes } from '@warden/interface';

/** What Node puts in the place of bytes that are not UTF-8. */
const REPLACEMENT = '\ufffd';

/**
 * `words` as they are, unless Node has replaced bytes in them; then they are read from the kernel, which has
 * kept them. `commandLine`: the file with all words of the process, each ended by a NUL.
 */
export function losslessWords(
  words: readonly string[],
  commandLine = '/proc/self/cmdline',
): readonly string[] {
  if (!words.some((word) => word.includes(REPLACEMENT))) return words;
  const all = split(readFileSync(commandLine));
  // Before the program's own words stand those of the interpreter.
  return all.length < words.length ? words : all.slice(all.length - words.length);
}

function split(bytes: Uint8Array): string[] {
  const words: string[] = [];
  let start = 0;
  for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, start)) {
    words.push(decodeBytes(bytes.subarray(start, end)));
    start = end + 1;
  }
  return words;
}
