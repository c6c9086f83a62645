/** Output bytes as text. */
export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}
