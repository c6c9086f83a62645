import type { Readable } from 'node:stream';

/** All that was written so far; from Node 26 on one `read()` answers one piece of it. */
export function writtenTo(stream: Readable): string {
  let text = '';
  for (let piece = stream.read(); piece !== null; piece = stream.read()) text += String(piece);
  return text;
}
