/** Output bytes as text, for comparisons. */
export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}
